//! The outputs of the commands. Files appear completely or not at all, because they are written to a temporary file
//! that is renamed at the end. Standard output, pipes and device files are written directly.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::interrupt::unfinished;

/// An output that is known to be writable.
pub(crate) enum Output {
    Stdout,
    /// A device file, such as `/dev/null`, or a pipe.
    Special(PathBuf, File),
    File {
        /// The path that the user gave, for errors.
        path: PathBuf,
        /// The file that is written: the file that `path` points to if it is a link, else `path`.
        target: PathBuf,
        /// The permissions of the file that is replaced, or `None` if the file is new.
        permissions: Option<fs::Permissions>,
    },
}

impl Output {
    /// Checks whether `path` can be written; `-` is standard output. An existing file is accepted only if `replace` is
    /// set.
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
        // If the path is a link, replaces the file that it points to, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        ensure!(
            directory(&target).is_dir(),
            "directory {} does not exist",
            directory(&target).display()
        );
        // Checks before the work that the directory accepts a file. The file is removed immediately.
        Temporary::create_next_to(&target)?;
        Ok(Self::File {
            path: path.into(),
            target,
            permissions,
        })
    }

    /// Returns whether both outputs are the same file, even if their paths are written differently.
    ///
    /// If the file does not exist, `..` and links in the paths are not resolved, so two such paths to one file count as
    /// different. Writing the second output then fails, because a new file never replaces an existing one.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { target: one, .. }, Self::File { target: other, .. }) => {
                let absolute = |path: &Path| std::path::absolute(path).ok();
                absolute(one) == absolute(other)
            }
            _ => false,
        }
    }

    /// Writes `text` as the complete output.
    pub(crate) fn write_text(self, text: &str) -> Result<()> {
        self.write(text.as_bytes())
    }

    /// Writes `bytes` as the complete output.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<()> {
        let mut pending = self.begin()?;
        let written = pending.write_all(bytes);
        written.with_context(|| pending.name())?;
        pending.finish()
    }

    /// Starts writing. A file appears at its path only when [`Pending::finish`] succeeds.
    pub(crate) fn begin(self) -> Result<Pending> {
        let (path, target) = match self {
            Self::Stdout => (None, Target::Stdout(io::stdout())),
            Self::Special(path, file) => (Some(path), Target::Special(file)),
            Self::File {
                path,
                target,
                permissions,
            } => {
                let file = Temporary::create_next_to(&target)
                    .with_context(|| path.display().to_string())?;
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

/// An output that is being written. If it is dropped before [`Pending::finish`], the temporary file is removed, and the
/// buffered bytes are discarded.
pub(crate) struct Pending {
    /// The path for errors, or `None` for standard output.
    path: Option<PathBuf>,
    /// The buffered writer, or `None` after the output is finished or dropped.
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

    /// Writes the buffered bytes, and renames the temporary file to its path.
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
        // A `BufWriter` writes its buffer when it is dropped. Taking it apart discards the buffer.
        let _ = self.writer.take().map(BufWriter::into_parts);
    }
}

// ---- Internals ----

/// Returns the directory that contains `path`.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// The place that a [`Pending`] writes to.
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

/// A temporary file. Unless it is persisted, it is removed when it is dropped or when a signal ends the process.
struct Temporary(NamedTempFile);

impl Temporary {
    /// Creates the file in the directory of `path`, so that it can be renamed to `path`.
    fn create_next_to(path: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elu-").suffix(".tmp");
        // The umask still applies, as for any new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut unfinished = unfinished();
        let file = builder
            .tempfile_in(directory(path))
            // Drops tempfile's message, because it names the temporary file, which the user does not know.
            .map_err(|error| io::Error::from(error.kind()))
            .with_context(|| format!("cannot write to directory {}", directory(path).display()))?;
        // Nothing removes the path from the list. This is harmless, because no other file gets this random name.
        unfinished.push(file.path().into());
        Ok(Self(file))
    }

    /// Renames the file to `target`. If `permissions` are given, `target` may exist and is replaced; otherwise an
    /// existing `target` is an error.
    fn persist(self, target: &Path, permissions: Option<fs::Permissions>) -> io::Result<()> {
        // The lock delays the signal handler until the file is renamed.
        let _unfinished = unfinished();
        if let Some(permissions) = permissions {
            self.0.as_file().set_permissions(permissions)?;
            self.0.persist(target).map_err(|error| error.error)?;
        } else {
            // Does not overwrite a file that another process created since `target` was checked.
            let persisted = self.0.persist_noclobber(target);
            persisted.map_err(|error| error.error)?;
        }
        Ok(())
    }
}
