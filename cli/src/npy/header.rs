//! Parses the header of a `.npy` file: a dictionary of Python.
//!
//! NumPy reads it with Python's own parser (`numpy.lib.format`, `ast.literal_eval`), so it accepts every spelling of
//! the dictionary. This parser accepts the same spellings, except those that `cli/tests/npy_headers.rs` lists. It does
//! not need Python's whole grammar, because a header of a supported array contains only strings, integers, `True`,
//! `False` and tuples.

mod tokens;

use anyhow::{Error, Result, anyhow, bail, ensure};

use super::descr;
use tokens::{Token, Tokens};

pub(crate) use tokens::excerpt;

/// The values of a header.
#[derive(Debug)]
pub(super) struct Header {
    /// NumPy's description of the dtype, such as `<f4`.
    pub(super) descr: String,
    /// Whether the elements are in Fortran order.
    pub(super) fortran_order: bool,
    /// The dimensions.
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Parses the dictionary. `allows_long` permits the suffix `L` of Python 2's integers.
    ///
    /// # Errors
    ///
    /// Returns an error unless the text is a dictionary of the keys `descr`, `fortran_order` and `shape`, each once and
    /// with a value of the type above.
    pub(super) fn parse(text: &str, allows_long: bool) -> Result<Self> {
        ensure!(!text.contains('\0'), bad("it contains the character NUL"));
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Parser::new(Tokens::new(&text, allows_long))?.header()
    }
}

// ---- Internals ----

/// A value of the dictionary.
#[derive(Debug)]
enum Value {
    Text(String),
    /// An integer. `magnitude` is `None` if it exceeds `u64`.
    Integer {
        sign: Option<char>,
        magnitude: Option<u64>,
    },
    Truth(bool),
    Tuple(Vec<Self>),
    /// Something else, described for error messages. The parser stopped in it.
    Other(String),
    /// A tuple that contains something else.
    TupleWith(String),
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    token: Token,
    /// The position of the token's start.
    start: usize,
    /// The position of the previous token's end.
    end_of_previous: usize,
    /// The position of the token's end.
    end: usize,
}

/// Builds the error for a header that is invalid.
fn bad(problem: impl std::fmt::Display) -> Error {
    anyhow!("bad .npy header: {problem}")
}

impl<'a> Parser<'a> {
    fn new(tokens: Tokens<'a>) -> Result<Self> {
        let mut parser = Self {
            tokens,
            token: Token::End,
            start: 0,
            end_of_previous: 0,
            end: 0,
        };
        parser.advance()?;
        Ok(parser)
    }

    /// Returns the current token and reads the next one.
    fn advance(&mut self) -> Result<Token> {
        let (token, start, end) = self.tokens.advance().map_err(bad)?;
        self.end_of_previous = self.end;
        (self.start, self.end) = (start, end);
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Reads a mark if it is the current token. Returns whether it was.
    fn takes(&mut self, mark: char) -> Result<bool> {
        let is_mark = self.token == Token::Mark(mark);
        if is_mark {
            self.advance()?;
        }
        Ok(is_mark)
    }

    fn needs(&mut self, mark: char, place: &str) -> Result<()> {
        if self.takes(mark)? {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{mark}' {place}")))
    }

    /// Builds the error for a token that is not the needed one.
    fn unexpected(&self, needed: &str) -> Error {
        let found = match &self.token {
            Token::Mark(mark) => format!("'{mark}'"),
            Token::Text(_) => "a string".into(),
            Token::Integer(_) => "an integer".into(),
            Token::Truth(_) => "True or False".into(),
            Token::Other(what) => what.clone(),
            Token::End => "its end".into(),
        };
        bad(format!("needed {needed}, found {found}"))
    }

    /// Reads the whole header.
    fn header(mut self) -> Result<Header> {
        let mut parentheses = 0;
        while self.takes('(')? {
            parentheses += 1;
        }
        self.needs('{', "at its start")?;
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !self.takes('}')? {
            let Value::Text(key) = self.value()? else {
                bail!(bad("a key is not a string"));
            };
            self.needs(':', &format!("after the key '{}'", excerpt(&key)))?;
            let is_new = match &*key {
                "descr" => descr.replace(self.descr()?).is_none(),
                "fortran_order" => fortran_order.replace(self.fortran_order()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => bail!(bad(format!("unknown key '{}'", excerpt(&key)))),
            };
            ensure!(is_new, bad(format!("key '{key}' appears twice")));
            if !self.takes(',')? {
                self.needs('}', "or ',' after a value")?;
                break;
            }
        }
        for _ in 0..parentheses {
            self.needs(')', "at its end")?;
        }
        if self.token != Token::End {
            return Err(self.unexpected("nothing after the dictionary"));
        }
        let missing = |key| bad(format!("missing key '{key}'"));
        Ok(Header {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }

    fn descr(&mut self) -> Result<String> {
        let is_list = self.token == Token::Mark('[');
        match self.value_and_text()? {
            (Value::Text(descr), _) => Ok(descr),
            (Value::Tuple(_) | Value::TupleWith(_), _) => Err(descr::structured()),
            (Value::Other(_), _) if is_list => Err(descr::structured()),
            (value, text) => Err(wrong("descr", &value, text, "a string such as '<f4'")),
        }
    }

    fn fortran_order(&mut self) -> Result<bool> {
        match self.value_and_text()? {
            (Value::Truth(value), _) => Ok(value),
            (value, text) => Err(wrong("fortran_order", &value, text, "True or False")),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let (value, text) = self.value_and_text()?;
        let Value::Tuple(dimensions) = value else {
            return Err(wrong("shape", &value, text, "a tuple of integers"));
        };
        let dimension = |value| match value {
            Value::Integer {
                sign: Some('-'),
                magnitude,
            } if magnitude != Some(0) => Err(bad(format!(
                "shape {} has a negative dimension",
                excerpt(text)
            ))),
            Value::Integer { magnitude, .. } => magnitude
                .and_then(|size| usize::try_from(size).ok())
                .ok_or_else(|| super::too_large(text)),
            _ => Err(bad(format!(
                "shape {} is not a tuple of integers",
                excerpt(text)
            ))),
        };
        dimensions.into_iter().map(dimension).collect()
    }

    /// Reads a value. Returns it with its text.
    fn value_and_text(&mut self) -> Result<(Value, &'a str)> {
        let start = self.start;
        let value = self.value()?;
        Ok((value, self.tokens.between(start, self.end_of_previous)))
    }

    /// Reads a value. The tokens limit the depth of the recursion.
    fn value(&mut self) -> Result<Value> {
        let sign = match self.token {
            Token::Mark(sign @ ('+' | '-')) => {
                self.advance()?;
                Some(sign)
            }
            _ => None,
        };
        let value = match self.advance()? {
            Token::Mark('(') => self.parentheses()?,
            Token::Mark('[') => Value::Other("a list".into()),
            Token::Mark('{') => Value::Other("a dictionary".into()),
            Token::Mark(mark) => bail!(bad(format!("needed a value, found '{mark}'"))),
            Token::Text(mut text) => {
                while let Token::Text(more) = &self.token {
                    text += more;
                    self.advance()?;
                }
                Value::Text(text)
            }
            Token::Integer(magnitude) => Value::Integer {
                sign: None,
                magnitude,
            },
            Token::Truth(value) => Value::Truth(value),
            Token::Other(what) => Value::Other(what),
            Token::End => bail!(bad("needed a value, found its end")),
        };
        match (sign, value) {
            (None, value) => Ok(value),
            (
                sign @ Some(_),
                Value::Integer {
                    sign: None,
                    magnitude,
                },
            ) => Ok(Value::Integer { sign, magnitude }),
            (Some(sign), _) => Err(bad(format!("needed an integer after '{sign}'"))),
        }
    }

    /// Reads what follows an opening parenthesis: a tuple, or one value in parentheses.
    fn parentheses(&mut self) -> Result<Value> {
        let mut values = Vec::new();
        while !self.takes(')')? {
            match self.value()? {
                Value::Other(what) | Value::TupleWith(what) => return Ok(Value::TupleWith(what)),
                value => values.push(value),
            }
            if !self.takes(',')? {
                self.needs(')', "or ',' in parentheses")?;
                if values.len() == 1 {
                    return Ok(values.remove(0));
                }
                break;
            }
        }
        Ok(Value::Tuple(values))
    }
}

/// Builds the error for a value of the wrong type.
fn wrong(key: &str, value: &Value, text: &str, needed: &str) -> Error {
    bad(match value {
        Value::Other(what) => format!("{key} is {what}, needed {needed}"),
        Value::TupleWith(what) => format!("{key} contains {what}, needed {needed}"),
        _ => format!("{key} {} is not {needed}", excerpt(text)),
    })
}
