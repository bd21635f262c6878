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
        /// What `path` links to, if it is a link; else `path`.
        target: PathBuf,
        /// Of the file that is replaced, if there is one.
        permissions: Option<fs::Permissions>,
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
        let permissions = match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("needed a file to write, found a folder"),
            Ok(found) if found.is_file() => {
                ensure!(replace, "exists already, give --force to replace it");
                Some(found.permissions())
            }
            Ok(_) => {
                return Ok(Self::Special(
                    path.into(),
                    File::options().write(true).open(path)?,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ensure!(
                    !path.is_symlink(),
                    "is a link to a file that does not exist"
                );
                None
            }
            Err(error) => return Err(error.into()),
        };
        // The file that a link points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        ensure!(
            folder(&target).is_dir(),
            "there is no folder {}",
            folder(&target).display()
        );
        // Now rather than after the work. It is gone at once.
        temporary(&target)?;
        Ok(Self::File {
            path: path.into(),
            target,
            permissions,
        })
    }

    /// Whether both are one file, however its path is written.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { target: one, .. }, Self::File { target: other, .. }) => {
                let whole = |path: &Path| std::path::absolute(path).ok();
                whole(one) == whole(other)
            }
            _ => false,
        }
    }

    pub(crate) fn write_text(self, text: &str) -> Result<()> {
        self.write(|writer| Ok(writer.write_all(text.as_bytes())?))
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
                target,
                permissions,
            } => {
                let put = || -> Result<()> {
                    let mut temporary = temporary(&target)?;
                    buffered(temporary.as_file_mut())?;
                    if let Some(permissions) = permissions {
                        temporary.as_file().set_permissions(permissions)?;
                        temporary.persist(&target).map_err(|error| error.error)?;
                    } else {
                        // Someone may have made it meanwhile.
                        temporary
                            .persist_noclobber(&target)
                            .map_err(|error| error.error)?;
                    }
                    Ok(())
                };
                put().with_context(|| path.display().to_string())
            }
        }
    }
}

// ---- Internals ----

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file beside `path`, which disappears unless it takes `path`'s place.
fn temporary(path: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".elu-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as any new file
    builder
        .tempfile_in(folder(path))
        // tempfile's own text names the temporary file, which tells a user nothing.
        .map_err(|error| io::Error::from(error.kind()))
        .with_context(|| format!("cannot write to folder {}", folder(path).display()))
}
