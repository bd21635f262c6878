//! The tokens of Python literals, as far as headers of supported arrays contain them.

use anyhow::{Result, bail, ensure};

/// A token. For everything that the header of a supported array cannot contain, [`Token::Other`] names it.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    /// One of `( ) [ ] { } , : + -`.
    Mark(char),
    /// A string, without its quotes and escapes. Half a surrogate pair is replaced with U+FFFD.
    Text(String),
    /// An integer without its sign, or `None` if it exceeds `u64`.
    Integer(Option<u64>),
    /// `True` or `False`.
    Truth(bool),
    /// Something else, described for error messages. The tokens after it are not meaningful.
    Other(String),
    /// The end of the header.
    End,
}

/// Splits a header into tokens.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    /// The text. Each line ends in `\n`.
    text: &'a str,
    /// The position in bytes after the last token.
    position: usize,
    /// The number of open parentheses and braces.
    depth: usize,
    /// Whether integers may have the suffix `L` of Python 2.
    allows_long: bool,
}

impl<'a> Tokens<'a> {
    /// Splits `text`, in which each line must end in `\n`. `allows_long` permits the suffix `L` of Python 2's integers.
    pub(super) fn new(text: &'a str, allows_long: bool) -> Self {
        // `ast.literal_eval` also ignores these at the start, where they would be an indentation.
        let start = text.len() - text.trim_start_matches([' ', '\t']).len();
        Self {
            text: &text[start..],
            position: 0,
            depth: 0,
            allows_long,
        }
    }

    /// Returns the text between two positions.
    pub(super) fn between(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }

    /// Returns the next token, and the positions of its start and its end.
    ///
    /// # Errors
    ///
    /// Returns an error for a string without an end, for an invalid escape, for too many open brackets, and for an
    /// indentation before the first token.
    pub(super) fn advance(&mut self) -> Result<(Token, usize, usize)> {
        let is_first = self.position == 0;
        self.skip(true);
        let start = self.position;
        if is_first {
            let line = self.text[..start].rsplit(['\n', '\x0c']).next();
            ensure!(line == Some(""), "the first line is indented");
        }
        let token = self.token()?;
        Ok((token, start, self.position))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// Skips whitespace and joined lines, and also line breaks and comments if `lines` is set.
    fn skip(&mut self, lines: bool) {
        loop {
            let rest = self.rest();
            self.position += match rest.as_bytes() {
                [b' ' | b'\t' | b'\x0c', ..] => 1,
                [b'\n', ..] if lines => 1,
                [b'#', ..] if lines => rest.find('\n').unwrap_or(rest.len()),
                // Joins the line with the next one, which must exist.
                [b'\\', b'\n', _, ..] => 2,
                _ => return,
            };
        }
    }

    fn token(&mut self) -> Result<Token> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        let after = &rest[first.len_utf8()..];
        match first {
            '0'..='9' => return Ok(self.number()),
            '.' if after.starts_with(|c: char| c.is_ascii_digit()) => return Ok(self.number()),
            '\'' | '"' => return self.string(false),
            c if is_of_word(c) => return self.word(),
            _ => {}
        }
        self.position += first.len_utf8();
        match first {
            '(' | '{' => {
                self.depth += 1;
                ensure!(
                    self.depth <= MAX_DEPTH,
                    "more than {MAX_DEPTH} open brackets"
                );
            }
            ')' | '}' => self.depth = self.depth.saturating_sub(1),
            '[' | ']' | ',' | ':' | '+' | '-' => {}
            c => return Ok(Token::Other(format!("the character {c:?}"))),
        }
        Ok(Token::Mark(first))
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let end = rest.find(|c| !is_of_word(c) && c != '.');
        let number = &rest[..end.unwrap_or(rest.len())];
        self.position += number.len();
        let long = number.strip_suffix('L').filter(|_| self.allows_long);
        if let Some(value) = integer(long.unwrap_or(number)) {
            while self.allows_long && self.skip_long() {}
            return Token::Integer(value);
        }
        Token::Other(match number.contains(['.', 'e', 'E', 'j', 'J']) {
            true => "a number that is not an integer".into(),
            false => format!("the malformed number {}", excerpt(number)),
        })
    }

    /// Skips a suffix `L` that is separate from its integer, as NumPy does. Returns whether one was found.
    fn skip_long(&mut self) -> bool {
        let before = self.position;
        self.skip(false);
        let after = self.rest().strip_prefix('L');
        let found = after.is_some_and(|after| !after.starts_with(is_of_word));
        self.position = if found { self.position + 1 } else { before };
        found
    }

    /// Reads a word, or a string that starts with letters.
    fn word(&mut self) -> Result<Token> {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
        self.position += word.len();
        let is_prefix = self.rest().starts_with(['\'', '"']);
        Ok(match word {
            "u" | "U" if is_prefix => return self.string(false),
            "r" | "R" if is_prefix => return self.string(true),
            _ if is_prefix && word.len() <= 2 => {
                Token::Other(format!("a string with the prefix {}", excerpt(word)))
            }
            "True" => Token::Truth(true),
            "False" => Token::Truth(false),
            _ => Token::Other(format!("the word {}", excerpt(word))),
        })
    }

    /// Reads a string from its first quote. In a raw string, backslashes are kept.
    fn string(&mut self, is_raw: bool) -> Result<Token> {
        let rest = self.rest();
        let quote = &rest[..1];
        let quote = match rest.starts_with(&quote.repeat(3)) {
            true => &rest[..3],
            false => quote,
        };
        let mut chars = rest[quote.len()..].chars();
        let mut text = String::new();
        while !chars.as_str().starts_with(quote) {
            match chars.next() {
                Some('\\') if is_raw => {
                    text.push('\\');
                    text.extend(chars.next());
                }
                Some('\\') => text.extend(escape(&mut chars)?),
                Some('\n') if quote.len() == 1 => bail!("a string has no closing quote"),
                Some(c) => text.push(c),
                None => bail!("a string has no closing quote"),
            }
        }
        self.position += rest.len() - chars.as_str().len() + quote.len();
        Ok(Token::Text(text))
    }
}

/// Returns a part of a header for an error message, shortened if it is long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

// ---- Internals ----

/// The largest number of open brackets, as in Python.
const MAX_DEPTH: usize = 200;

/// Returns whether a word or a number may contain this character.
fn is_of_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Parses an integer without a sign. Returns `None` if it is malformed, and `Some(None)` if it exceeds `u64`.
fn integer(number: &str) -> Option<Option<u64>> {
    let (radix, digits) = match number.get(..2) {
        Some("0x" | "0X") => (16, &number[2..]),
        Some("0o" | "0O") => (8, &number[2..]),
        Some("0b" | "0B") => (2, &number[2..]),
        _ => (10, number),
    };
    let is_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_digit(radix));
    let groups = match radix {
        10 => digits,
        _ => digits.strip_prefix('_').unwrap_or(digits),
    };
    let mut digits = digits.chars().filter_map(|c| c.to_digit(radix));
    let has_leading_zero =
        radix == 10 && number.starts_with('0') && digits.clone().any(|digit| digit != 0);
    if has_leading_zero || !groups.split('_').all(is_digits) {
        return None;
    }
    Some(digits.try_fold(0u64, |value, digit| {
        value.checked_mul(radix.into())?.checked_add(digit.into())
    }))
}

/// Reads an escape after its backslash, and returns the characters that it stands for.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<impl Iterator<Item = char> + use<>> {
    let mut kept = None;
    let c = match chars.next() {
        Some('\n') => None,
        Some('a') => Some('\x07'),
        Some('b') => Some('\x08'),
        Some('f') => Some('\x0c'),
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('t') => Some('\t'),
        Some('v') => Some('\x0b'),
        Some('x') => Some(code(chars, 2)?),
        Some('u') => Some(code(chars, 4)?),
        Some('U') => Some(code(chars, 8)?),
        Some('N') => bail!("a string has the escape \\N, which is not supported"),
        Some(digit @ '0'..='7') => {
            let mut value = digit.to_digit(8);
            for _ in 0..2 {
                let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(8)) else {
                    break;
                };
                chars.next();
                value = value.map(|value| 8 * value + digit);
            }
            value.and_then(char::from_u32)
        }
        Some(c @ ('\\' | '\'' | '"')) => Some(c),
        // As in Python, an unknown escape keeps its backslash.
        other => {
            kept = Some('\\');
            other
        }
    };
    Ok(kept.into_iter().chain(c))
}

/// Reads the character whose code has this number of hexadecimal digits.
fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Result<char> {
    let code = chars
        .as_str()
        .get(..digits)
        .filter(|code| code.chars().all(|c| c.is_ascii_hexdigit()));
    let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
    let Some(code) = code.filter(|&code| code <= char::MAX.into()) else {
        bail!("a string has an invalid escape");
    };
    chars.nth(digits - 1);
    Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}
