//! The outputs of the commands. Files appear completely or not at all: see [`atomic_file`]. Standard output, other open
//! descriptors, pipes and device files are written directly.

mod atomic_file;
mod descriptor;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use atomic_file::{AtomicFile, Replace};
pub(crate) use atomic_file::{create_directory, directory};
pub(crate) use descriptor::a_standard_stream_is_closed;

/// An output that is known to be writable.
pub(crate) enum Output {
    Stdout,
    /// An open descriptor, such as `/dev/fd/3`, a device file, such as `/dev/null`, or a pipe.
    Special(PathBuf, File),
    File {
        /// The path that the user gave, for errors.
        path: PathBuf,
        /// The file that is written: the file that `path` points to if it is a link, else `path`.
        target: PathBuf,
        replace: bool,
    },
}

impl Output {
    /// Checks whether `path` can be written; `-` is standard output. An existing file is accepted only if `replace` is
    /// set.
    pub(crate) fn open(path: &Path, replace: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Self::stdout();
        }
        Self::open_path(path, replace).with_context(|| path.display().to_string())
    }

    /// Returns standard output. Fails if it is closed or open only for reading.
    pub(crate) fn stdout() -> Result<Self> {
        Stdout::open()?;
        Ok(Self::Stdout)
    }

    fn open_path(path: &Path, replace: bool) -> Result<Self> {
        #[cfg(unix)]
        match descriptor::number(path) {
            Some(1) => return Self::stdout(),
            Some(number) => {
                let file = descriptor::duplicate(number)?;
                return Ok(Self::Special(path.into(), file));
            }
            None => {}
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("needed a file to write, found a directory"),
            Ok(found) if found.is_file() => {
                ensure!(replace, "already exists: use --force to replace it");
            }
            Ok(found) => {
                ensure!(
                    replace || !is_block_device(&found),
                    "is a block device: use --force to overwrite its data"
                );
                let file = File::options().write(true).open(path)?;
                return Ok(Self::Special(path.into(), file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ensure!(
                    !path.is_symlink(),
                    "is a link to a file that does not exist"
                );
                ensure!(
                    ends_in_a_name(path),
                    "directory {} does not exist",
                    path.display()
                );
            }
            Err(error) => return Err(error.into()),
        }
        // If the path is a link, replaces the file that it points to, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        ensure!(
            directory(&target).is_dir(),
            "directory {} does not exist",
            directory(&target).display()
        );
        let output = Self::File {
            path: path.into(),
            target,
            replace,
        };
        // Checks before the work that the directory accepts a file. The file is removed immediately.
        output.create()?;
        Ok(output)
    }

    /// Returns whether both outputs are the same file, even if their paths are written differently.
    ///
    /// If the file does not exist, `..` and links in the paths are not resolved, so two such paths to one file count as
    /// different. Writing the second output then fails, unless existing files are replaced.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        let place = |output: &Self| match output {
            Self::Stdout => None,
            Self::Special(path, _) | Self::File { target: path, .. } => {
                std::path::absolute(path).ok()
            }
        };
        place(self).is_some_and(|one| Some(one) == place(other))
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
        let file = self
            .create()
            .with_context(|| self.path().unwrap_or(Path::new("-")).display().to_string())?;
        let path = self.path().map(Path::to_owned);
        let target = match (self, file) {
            (Self::File { .. }, Some(file)) => Target::File(Box::new(file)),
            (Self::Special(_, file), _) => Target::Special(file),
            _ => Target::Stdout(Stdout::open()?),
        };
        let writer = Some(BufWriter::with_capacity(1 << 20, target));
        Ok(Pending { path, writer })
    }

    /// Returns the name of the output for errors.
    pub(crate) fn name(&self) -> String {
        name(self.path())
    }

    /// Returns the path for errors, or `None` for standard output.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::Special(path, _) | Self::File { path, .. } => Some(path),
        }
    }

    /// Creates the file, which has no content and is not at its path yet. Returns `None` if the output is not a file.
    fn create(&self) -> Result<Option<AtomicFile>> {
        let Self::File {
            target, replace, ..
        } = self
        else {
            return Ok(None);
        };
        let replace = if *replace {
            match fs::metadata(target) {
                Ok(replaced) => Replace::Yes(Some(replaced)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Replace::Yes(None),
                // Without its permissions, a secret file could be replaced by one that everybody can read.
                Err(error) => return Err(error.into()),
            }
        } else {
            Replace::No
        };
        AtomicFile::create(target, replace).map(Some)
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
        name(self.path.as_deref())
    }

    /// Returns whether the output can be changed after it was written: files can, descriptors and pipes cannot.
    pub(crate) fn is_seekable(&self) -> bool {
        let target = self.writer.as_ref().map(BufWriter::get_ref);
        matches!(target, Some(Target::File(_)))
    }

    /// Writes the buffered bytes. Syncs a file to the disk and moves it to its path.
    pub(crate) fn finish(mut self) -> Result<()> {
        let finish = |pending: &mut Self| -> io::Result<()> {
            pending.flush()?;
            match pending.writer.take().map(|writer| writer.into_parts().0) {
                Some(Target::File(file)) => file.commit(),
                #[cfg(unix)]
                Some(Target::Special(file) | Target::Stdout(Stdout(file))) => {
                    descriptor::close_a_duplicate(&file)
                }
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

impl Seek for Pending {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::NotSeekable)?;
        writer.seek(position)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // A `BufWriter` writes its buffer when it is dropped. Taking it apart discards the buffer.
        let _ = self.writer.take().map(BufWriter::into_parts);
    }
}

// ---- Internals ----

/// Returns the name of an output for errors. Standard output has no path.
fn name(path: Option<&Path>) -> String {
    path.map_or("standard output".into(), |path| path.display().to_string())
}

/// The place that a [`Pending`] writes to.
enum Target {
    Stdout(Stdout),
    Special(File),
    File(Box<AtomicFile>),
}

/// Standard output. On Unix this is a duplicate of its descriptor, because [`io::Stdout`] ignores `EBADF`, the error of
/// a descriptor that is closed or open only for reading.
struct Stdout(#[cfg(unix)] File, #[cfg(not(unix))] io::Stdout);

impl Stdout {
    fn open() -> Result<Self> {
        #[cfg(unix)]
        return Ok(Self(descriptor::duplicate(1)?));
        #[cfg(not(unix))]
        Ok(Self(io::stdout()))
    }
}

impl Target {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(stdout) => &mut stdout.0,
            Self::Special(file) => file,
            Self::File(file) => file.file(),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes).map_err(explained)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush().map_err(explained)
    }
}

impl Seek for Target {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.file().seek(position),
            Self::Special(_) | Self::Stdout(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

/// Returns whether the path ends in a name. A path that ends in a separator, `.` or `..` can only be a directory.
fn ends_in_a_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    !name.is_empty() && path.as_os_str().as_encoded_bytes().ends_with(name)
}

fn is_block_device(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type());
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Replaces the system's words if a file exceeds the limit on file sizes: "File too large" does not say that this limit
/// is the cause.
fn explained(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.kind() == io::ErrorKind::FileTooLarge {
        use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

        if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_FSIZE)
            && limit != RLIM_INFINITY
        {
            return io::Error::other(format!(
                "needed a file of more than {limit} bytes, the limit of `ulimit -f`"
            ));
        }
    }
    error
}
