//! Files that appear completely or not at all, and that survive a power cut once they have appeared:
//!
//! 1. The bytes go to a temporary file in the same directory. On Linux, a new file has no name until it is complete
//!    (`O_TMPFILE`), so that nothing is left even if the process is killed.
//! 2. The file is synced to the disk before it gets its name. Otherwise the name could survive a power cut without the
//!    bytes.
//! 3. The file gets its name: a link, which fails if the name exists, or a rename, which replaces an existing file.
//! 4. The directory is synced to the disk, so that the name survives as well.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

#[cfg(unix)]
use super::descriptor::close_a_duplicate;
use crate::interrupt::unfinished;

/// What happens to a file that exists already.
pub(super) enum Replace {
    /// It is an error.
    No,
    /// It is replaced. The new file gets the owner, group and permissions of a file with this metadata.
    Yes(Option<fs::Metadata>),
}

/// A file that is being written. If it is dropped before [`AtomicFile::commit`], nothing is left.
pub(super) struct AtomicFile {
    temporary: Temporary,
    target: PathBuf,
    replace: Replace,
}

enum Temporary {
    /// A file without a name.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile),
}

impl AtomicFile {
    /// Creates the temporary file in the directory of `target`.
    pub(super) fn create(target: &Path, replace: Replace) -> Result<Self> {
        let temporary = Temporary::create(directory(target), &replace).with_context(|| {
            format!("cannot write to directory {}", directory(target).display())
        })?;
        Ok(Self {
            temporary,
            target: target.into(),
            replace,
        })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.temporary.file()
    }

    /// Syncs the file, gives it its name, and syncs the directory.
    pub(super) fn commit(mut self) -> io::Result<()> {
        if let Replace::Yes(Some(replaced)) = &self.replace {
            #[cfg(unix)]
            keep_owner_and_mode(self.temporary.file(), replaced)?;
            #[cfg(not(unix))]
            self.temporary
                .file()
                .set_permissions(replaced.permissions())?;
        }
        let file = self.temporary.file();
        sync(file)?;
        #[cfg(unix)]
        close_a_duplicate(file)?;
        #[cfg(unix)]
        let file = file.try_clone()?;
        match (self.temporary, self.replace) {
            (Temporary::Named(named), Replace::Yes(_)) => {
                let _unfinished = unfinished(); // delays the signal handler until the file has its name
                fs::rename(named.path(), &self.target)?;
                forget(named);
            }
            (Temporary::Named(named), Replace::No) => {
                rename_to_new(named, &self.target).map_err(explained)?;
            }
            #[cfg(target_os = "linux")]
            (Temporary::Unnamed(file), _) => link(file, &self.target).map_err(explained)?,
        }
        #[cfg(unix)]
        sync_directory(&file, directory(&self.target)).map_err(|error| {
            io::Error::other(format!(
                "written, but a power cut may lose it, because its directory was not synced: {error}"
            ))
        })?;
        Ok(())
    }
}

/// Creates a directory and its missing parents, unless it exists. Syncs the directory of each new one to the disk, so
/// that a power cut cannot lose the files in it.
pub(crate) fn create_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let name = || path.display().to_string();
    ensure!(
        !path.is_file(),
        "{}: needed a directory, found a file",
        name()
    );
    create_directory(directory(path))?;
    match fs::create_dir(path) {
        // Another process has created it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
    .with_context(name)?;
    #[cfg(unix)]
    File::open(path)
        .and_then(|new| sync_directory(&new, directory(path)))
        .with_context(name)?;
    Ok(())
}

/// Returns the directory that contains `path`.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

// ---- Internals ----

impl Temporary {
    fn create(directory: &Path, replace: &Replace) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if matches!(replace, Replace::No)
            && let Some(file) = unnamed(directory)
        {
            return Ok(Self::Unnamed(file));
        }
        let may_be_secret = matches!(replace, Replace::Yes(Some(_)));
        create_named(directory, may_be_secret).map(Self::Named)
    }

    fn file(&mut self) -> &mut File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }
}

/// Creates a file without a name. Returns `None` if the file system has no such files, or if they cannot get a name
/// because /proc is not mounted.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = File::options();
    options.read(true).write(true).mode(0o666); // minus the umask, as for any new file
    options.custom_flags(nix::fcntl::OFlag::O_TMPFILE.bits());
    let file = options.open(directory).ok()?;
    fs::symlink_metadata(path_of(&file)).is_ok().then_some(file)
}

/// Returns a path in /proc that leads to an open file.
#[cfg(target_os = "linux")]
fn path_of(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;

    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Creates a file with a random name, which is removed when it is dropped or when a signal ends the process. Only this
/// user can read the file if it may be secret.
fn create_named(directory: &Path, may_be_secret: bool) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".elu-").suffix(".tmp");
    let mut unfinished = unfinished();
    // `tempfile_in` would return an error without the system's code and message.
    let file = builder.make_in(directory, |path| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            if may_be_secret { 0o600 } else { 0o666 },
        );
        options.open(path)
    })?;
    #[cfg(not(unix))]
    let _ = may_be_secret;
    let (file, path) = file.into_parts();
    // Nothing removes the path from the list. This is harmless, because no other file gets this random name.
    unfinished.push(path.to_path_buf());
    Ok(NamedTempFile::from_parts(file, path))
}

/// Gives a file without a name its name.
#[cfg(target_os = "linux")]
fn link(mut file: File, target: &Path) -> io::Result<()> {
    use nix::{errno::Errno, fcntl::AT_FDCWD, fcntl::AtFlags, unistd::linkat};

    let from = path_of(&file);
    match linkat(
        AT_FDCWD,
        &from,
        AT_FDCWD,
        target,
        AtFlags::AT_SYMLINK_FOLLOW,
    ) {
        Ok(()) => Ok(()),
        Err(error @ Errno::EEXIST) => Err(error.into()),
        // The file system has unnamed files but no links. Copies the bytes into a file with a name.
        Err(_) => {
            let mut named = create_named(directory(target), false)?;
            io::Seek::rewind(&mut file)?;
            io::copy(&mut file, named.as_file_mut())?;
            sync(named.as_file())?;
            close_a_duplicate(named.as_file())?;
            rename_to_new(named, target)
        }
    }
}

/// Explains why a name is taken although it was free when the work started.
fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(
            error.kind(),
            "another program created this file during the work: use --force to replace it",
        ),
        _ => error,
    }
}

/// Renames the file to `target`, which must not exist.
fn rename_to_new(file: NamedTempFile, target: &Path) -> io::Result<()> {
    let _unfinished = unfinished(); // delays the signal handler until the file has its name
    match fs::hard_link(file.path(), target) {
        Ok(()) => return file.close(), // removes the temporary name
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {} // The file system has no links.
    }
    // Reserves the name, so that the rename replaces no file of another process.
    drop(File::options().write(true).create_new(true).open(target)?);
    if let Err(error) = fs::rename(file.path(), target) {
        let _ = fs::remove_file(target);
        return Err(error);
    }
    forget(file);
    Ok(())
}

/// Closes a file that no longer has its temporary name, without an attempt to remove it.
fn forget(file: NamedTempFile) {
    let (file, mut path) = file.into_parts();
    path.disable_cleanup(true);
    drop(file);
}

/// Gives the file the owner, group and permissions of the file that it replaces, as far as this user may set them. It
/// does not keep the bits set-user-ID and set-group-ID.
#[cfg(unix)]
fn keep_owner_and_mode(file: &File, replaced: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let mut mode = replaced.mode() & 0o1777;
    let own = file.metadata()?;
    let owner = (own.uid() != replaced.uid()).then_some(replaced.uid());
    let group = (own.gid() != replaced.gid()).then_some(replaced.gid());
    if (owner.is_some() || group.is_some())
        && fchown(file, owner, group).is_err()
        && group.is_some()
        && fchown(file, None, group).is_err()
    {
        // The new file keeps its own group. That group gets the permissions that the replaced file has for others, not
        // those that it has for its group.
        mode = mode & !0o070 | (mode & 0o007) << 3;
    }
    if own.mode() & 0o7777 == mode && owner.is_none() && group.is_none() {
        return Ok(());
    }
    match file.set_permissions(fs::Permissions::from_mode(mode)) {
        // The file system has no permissions, or this user may not set those of another owner's file. The file then
        // keeps the mode 0600 that it was created with, so that only its owner can read it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || is_unsupported(&error) => {
            Ok(())
        }
        set => set,
    }
}

/// Syncs a file or a directory to the disk. If the file system cannot sync, as is the case on some network mounts,
/// this is no error, because the result is still the best that is possible.
fn sync(file: &File) -> io::Result<()> {
    let synced = file.sync_all();
    // On Apple's systems, `sync_all` uses `F_FULLFSYNC`, which also flushes the cache of the disk. Some file systems
    // refuse that.
    #[cfg(target_vendor = "apple")]
    let synced = match synced {
        Err(error) if is_unsupported(&error) => nix::unistd::fsync(file).map_err(io::Error::from),
        synced => synced,
    };
    match synced {
        Err(error) if is_unsupported(&error) => Ok(()),
        synced => synced,
    }
}

/// Returns whether a file system returns this error because it lacks an operation.
fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use nix::errno::Errno;

        let unsupported = [
            Errno::EINVAL,
            Errno::ENOSYS,
            Errno::ENOTSUP,
            Errno::EOPNOTSUPP,
        ];
        let code = error.raw_os_error();
        code.is_some_and(|code| unsupported.contains(&Errno::from_raw(code)))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}

/// Syncs the directory to the disk. If it cannot be opened or synced on its own, syncs the file system of `file`.
#[cfg(unix)]
fn sync_directory(file: &File, directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || is_unsupported(&error) => {
            #[cfg(target_os = "linux")]
            return Ok(nix::unistd::syncfs(file)?);
            #[cfg(not(target_os = "linux"))]
            {
                let _ = file;
                nix::unistd::sync();
                Ok(())
            }
        }
        synced => synced,
    }
}
