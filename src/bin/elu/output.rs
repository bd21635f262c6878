//! Where results go: whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

/// A place that can be written to, checked before any work is done.
pub(crate) enum Output {
    Stdout,
    /// A device or a pipe: there is nothing to replace.
    Special(PathBuf, File),
    File {
        path: PathBuf,
        /// Beside `path`; it disappears unless it takes `path`'s place.
        temporary: NamedTempFile,
        replace: bool,
    },
}

impl Output {
    /// `-` is standard output. A file that exists is replaced only if `replace` says so.
    pub(crate) fn open(path: &Path, replace: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Self::open_file(path, replace).with_context(|| path.display().to_string())
    }

    fn open_file(path: &Path, replace: bool) -> Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("needed a file to write, found a folder"),
            Ok(found) if found.is_file() => {
                ensure!(replace, "exists already, give --force to replace it")
            }
            Ok(_) => {
                return Ok(Self::Special(
                    path.into(),
                    File::options().write(true).open(path)?,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // The file that a link points to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elu-").suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as any new file
        let temporary = builder
            .tempfile_in(folder)
            // tempfile's own text names the temporary file, which tells a user nothing.
            .map_err(|error| io::Error::from(error.kind()))
            .with_context(|| format!("cannot write to folder {}", folder.display()))?;
        Ok(Self::File {
            path,
            temporary,
            replace,
        })
    }

    /// Lets `write` write it all, and only then puts it in place.
    pub(crate) fn write(self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let buffered = |file: &mut dyn Write| -> Result<()> {
            let mut writer = BufWriter::with_capacity(1 << 20, file);
            write(&mut writer)?;
            writer.flush()?;
            Ok(())
        };
        match self {
            Self::Stdout => buffered(&mut io::stdout().lock()).context("standard output"),
            Self::Special(path, mut file) => {
                buffered(&mut file).with_context(|| path.display().to_string())
            }
            Self::File {
                path,
                mut temporary,
                replace,
            } => {
                let put = || -> Result<()> {
                    buffered(temporary.as_file_mut())?;
                    if replace {
                        temporary.persist(&path).map_err(|error| error.error)?;
                    } else {
                        // Someone may have made it meanwhile.
                        temporary
                            .persist_noclobber(&path)
                            .map_err(|error| error.error)?;
                    }
                    Ok(())
                };
                put().with_context(|| path.display().to_string())
            }
        }
    }
}
