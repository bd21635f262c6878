//! Outputs: files, which appear completely or not at all, and standard output, pipes and devices, which are written
//! directly.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::interrupt::unfinished;

/// An output that was checked before any work is done.
pub(crate) enum Output {
    Stdout,
    /// A device or a pipe, which is written directly.
    Special(PathBuf, File),
    File {
        path: PathBuf,
        /// The file that `path` links to if it is a link, else `path`.
        target: PathBuf,
        /// The permissions of the file that is replaced, if it exists.
        permissions: Option<fs::Permissions>,
    },
}

impl Output {
    /// Checks an output; `-` is standard output. An existing file is accepted only if `replace` is set.
    pub(crate) fn open(path: &Path, replace: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Self::open_file(path, replace).with_context(|| path.display().to_string())
    }

    fn open_file(path: &Path, replace: bool) -> Result<Self> {
        let permissions = match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("needed a file to write, found a directory"),
            Ok(found) if found.is_file() => {
                ensure!(replace, "already exists: use --force to replace it");
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
        // If the path is a link, the file that it points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        ensure!(
            folder(&target).is_dir(),
            "directory {} does not exist",
            folder(&target).display()
        );
        // Tests now, before the work, that a file can be created. It is removed immediately.
        Temporary::beside(&target)?;
        Ok(Self::File {
            path: path.into(),
            target,
            permissions,
        })
    }

    /// Returns whether both are the same file, however their paths are written.
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
        self.write(text.as_bytes())
    }

    pub(crate) fn write(self, bytes: &[u8]) -> Result<()> {
        let mut pending = self.begin()?;
        let written = pending.write_all(bytes);
        written.with_context(|| pending.name())?;
        pending.finish()
    }

    /// Starts writing. The file appears only in [`Pending::finish`].
    pub(crate) fn begin(self) -> Result<Pending> {
        let (path, target) = match self {
            Self::Stdout => (None, Target::Stdout(io::stdout())),
            Self::Special(path, file) => (Some(path), Target::Special(file)),
            Self::File {
                path,
                target,
                permissions,
            } => {
                let file =
                    Temporary::beside(&target).with_context(|| path.display().to_string())?;
                let target = Target::File {
                    file,
                    target,
                    permissions,
                };
                (Some(path), target)
            }
        };
        let writer = Some(BufWriter::with_capacity(1 << 20, target));
        Ok(Pending { path, writer })
    }
}

/// An output that is being written. If it is dropped before [`Pending::finish`], no file is left, and the buffered
/// bytes are not written.
pub(crate) struct Pending {
    path: Option<PathBuf>,
    /// `None` once it is finished or dropped.
    writer: Option<BufWriter<Target>>,
}

impl Pending {
    /// Returns the name of the output for errors.
    pub(crate) fn name(&self) -> String {
        match &self.path {
            None => "standard output".into(),
            Some(path) => path.display().to_string(),
        }
    }

    /// Writes the buffered bytes, and moves the file to its path.
    pub(crate) fn finish(mut self) -> Result<()> {
        let finish = |pending: &mut Self| -> io::Result<()> {
            pending.flush()?;
            match pending.writer.take().map(|writer| writer.into_parts().0) {
                Some(Target::File {
                    file,
                    target,
                    permissions,
                }) => file.persist(&target, permissions),
                _ => Ok(()),
            }
        };
        finish(&mut self).with_context(|| self.name())
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer
            .as_mut()
            .map_or(Ok(0), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Dropping the `BufWriter` itself would write its buffer.
        let _ = self.writer.take().map(BufWriter::into_parts);
    }
}

// ---- Internals ----

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

enum Target {
    Stdout(io::Stdout),
    Special(File),
    File {
        file: Temporary,
        target: PathBuf,
        permissions: Option<fs::Permissions>,
    },
}

impl Target {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::Special(file) => file,
            Self::File { file, .. } => file.0.as_file_mut(),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

/// A temporary file that is removed when it is dropped or when a signal ends the process, unless it is persisted.
struct Temporary(NamedTempFile);

impl Temporary {
    fn beside(path: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elu-").suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // minus the umask, like any new file
        let mut unfinished = unfinished();
        let file = builder
            .tempfile_in(folder(path))
            // tempfile's own message names the temporary file, which does not help the user.
            .map_err(|error| io::Error::from(error.kind()))
            .with_context(|| format!("cannot write to directory {}", folder(path).display()))?;
        // The path stays in the list after the drop, which is harmless, because no other file has this random name.
        unfinished.push(file.path().into());
        Ok(Self(file))
    }

    /// Renames the file to `target`. If `permissions` are given, `target` exists and is replaced.
    fn persist(self, target: &Path, permissions: Option<fs::Permissions>) -> io::Result<()> {
        // The lock delays a signal until this is done.
        let _unfinished = unfinished();
        if let Some(permissions) = permissions {
            self.0.as_file().set_permissions(permissions)?;
            self.0.persist(target).map_err(|error| error.error)?;
        } else {
            // The target may have been created meanwhile; it must not be overwritten.
            let persisted = self.0.persist_noclobber(target);
            persisted.map_err(|error| error.error)?;
        }
        Ok(())
    }
}
