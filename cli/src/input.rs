//! The input of `elu run`: a file, a pipe or standard input, whose format is known when it is open.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use wgpu_elu::DType;

use crate::{
    bytes::fill,
    content::{self, Format, NEEDED, START_LEN},
};

/// An input that is known to be readable, of which nothing has been read yet. A file is open only while it is read, so
/// that the number of inputs is not limited.
pub(crate) struct Input {
    name: String,
    format: Format,
    source: Source,
}

impl Input {
    /// Opens a file or a pipe, and recognizes its format. The path `-` is standard input. With `raw`, the input
    /// contains elements of this dtype without a header, and its content is not looked at.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`content::format`] and of opening and reading the file, with the file's path.
    pub(crate) fn open(path: &Path, raw: Option<DType>) -> Result<Self> {
        let name = name(path);
        let raw = raw.map(Format::Raw);
        let open = || -> Result<(Format, Source)> {
            if path == Path::new("-") {
                return Source::pipe(io::stdin().lock(), path, raw);
            }
            let needed = raw.map_or(NEEDED, |_| "a file");
            ensure!(!path.is_dir(), "needed {needed}, found a directory");
            let mut file = File::open(path)?;
            if !file.metadata()?.is_file() {
                return Source::pipe(file, path, raw);
            }
            let format = match raw {
                Some(raw) => raw,
                None => content::format(&read_start(&mut file)?, path)?,
            };
            Ok((format, Source::File(path.into())))
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
    ///
    /// # Errors
    ///
    /// Returns the errors of opening the file, with its path.
    pub(crate) fn into_reader(self) -> Result<(Box<dyn Read>, Option<u64>)> {
        let Self { name, source, .. } = self;
        match source {
            Source::File(path) => {
                let open = || -> io::Result<(Box<dyn Read>, Option<u64>)> {
                    let file = File::open(path)?;
                    let size = file.metadata()?.len();
                    Ok((Box::new(file), Some(size)))
                };
                open().context(name)
            }
            Source::Pipe(reader) => Ok((reader, None)),
        }
    }

    /// Returns the file.
    ///
    /// # Errors
    ///
    /// Returns the errors of opening the file, or an error if the input is a pipe, with the input's name.
    pub(crate) fn into_file(self) -> Result<File> {
        let Self {
            name,
            format,
            source,
        } = self;
        match source {
            Source::File(path) => File::open(path).context(name),
            Source::Pipe(_) => bail!(
                "{name}: a .{} file cannot be read from a pipe, because {}: save it to a file first",
                format.id(),
                match format {
                    Format::Npz => "its list of contents is at its end",
                    _ => "it is not read in order",
                }
            ),
        }
    }
}

/// Returns the name of an input for messages.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

// ---- Internals ----

enum Source {
    /// The path of a regular file.
    File(PathBuf),
    /// Anything that cannot be read twice.
    Pipe(Box<dyn Read>),
}

impl Source {
    /// Recognizes the format of a pipe, unless it is known.
    fn pipe(
        mut reader: impl Read + 'static,
        path: &Path,
        known: Option<Format>,
    ) -> Result<(Format, Self)> {
        if let Some(format) = known {
            return Ok((format, Self::Pipe(Box::new(reader))));
        }
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
