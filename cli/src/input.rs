//! The input of `elu run`: a file, a pipe or standard input, whose format is known when it is open.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    bytes::fill,
    content::{self, Format, NEEDED, START_LEN},
};

/// An open input, of which nothing has been read yet.
pub(crate) struct Input {
    name: String,
    format: Format,
    source: Source,
}

impl Input {
    /// Opens a file or a pipe, and recognizes its format. The path `-` is standard input.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`content::format`] and of opening and reading the file, with the file's path.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin {
            "standard input".into()
        } else {
            path.display().to_string()
        };
        let open = || -> Result<(Format, Source)> {
            if is_stdin {
                return Source::pipe(io::stdin().lock(), path);
            }
            ensure!(!path.is_dir(), "needed {NEEDED}, found a directory");
            let mut file = File::open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Source::pipe(file, path);
            }
            let format = content::format(&read_start(&mut file)?, path)?;
            file.rewind()?;
            Ok((format, Source::File(file, metadata.len())))
        };
        let (format, source) = open().with_context(|| name.clone())?;
        Ok(Self {
            name,
            format,
            source,
        })
    }

    /// Returns the name for error messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the format of the content.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Returns a reader of all bytes, and their number if it is known.
    pub(crate) fn into_reader(self) -> (Box<dyn Read>, Option<u64>) {
        match self.source {
            Source::File(file, size) => (Box::new(file), Some(size)),
            Source::Pipe(reader) => (reader, None),
        }
    }

    /// Returns the file.
    ///
    /// # Errors
    ///
    /// Returns an error with the input's name if the input is a pipe.
    pub(crate) fn into_file(self) -> Result<File> {
        match self.source {
            Source::File(file, _) => Ok(file),
            Source::Pipe(_) => bail!(
                "{}: a .{} file cannot be read from a pipe, because its list of contents is at its end: save it to a \
                 file first",
                self.name,
                self.format.extension()
            ),
        }
    }
}

// ---- Internals ----

enum Source {
    /// A regular file and its size in bytes.
    File(File, u64),
    /// Anything that cannot be read twice.
    Pipe(Box<dyn Read>),
}

impl Source {
    /// Recognizes the format of a pipe.
    fn pipe(mut reader: impl Read + 'static, path: &Path) -> Result<(Format, Self)> {
        let start = read_start(&mut reader)?;
        let format = content::format(&start, path)?;
        let whole = Cursor::new(start).chain(reader);
        Ok((format, Self::Pipe(Box::new(whole))))
    }
}

/// Reads the bytes that [`content::format`] needs.
fn read_start(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = vec![0; START_LEN];
    let count = fill(reader, &mut start)?;
    start.truncate(count);
    Ok(start)
}
