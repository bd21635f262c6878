//! Open file descriptors as outputs: standard output, and the paths that stand for descriptors.

#[cfg(unix)]
use std::{
    fs::{self, File},
    io,
    path::{Component, Path},
};

#[cfg(unix)]
use anyhow::{Result, bail, ensure};
#[cfg(unix)]
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Returns the descriptor that a path stands for, such as `/dev/stdout`, `/dev/fd/3` and `/proc/self/fd/3`, or a link
/// to one of them. Opening such a path would open the file behind the descriptor anew, and lose its position.
#[cfg(unix)]
pub(super) fn number(path: &Path) -> Option<i32> {
    /// The number of links that Linux follows in a path.
    const MAX_LINKS: usize = 40;

    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..MAX_LINKS {
        if let Some(number) = by_name(&path) {
            return Some(number);
        }
        // Resolves `..` and links in the path, but not a link at its end.
        path = fs::canonicalize(path.parent()?)
            .ok()?
            .join(path.file_name()?);
        if let Some(number) = by_name(&path) {
            return Some(number);
        }
        let link = fs::read_link(&path).ok()?;
        path = path.parent()?.join(link);
    }
    None
}

#[cfg(unix)]
fn by_name(path: &Path) -> Option<i32> {
    let names: Option<Vec<&str>> = path
        .components()
        .filter(|component| *component != Component::RootDir)
        .map(|component| component.as_os_str().to_str())
        .collect();
    match names?[..] {
        ["dev", "stdin"] => Some(0),
        ["dev", "stdout"] => Some(1),
        ["dev", "stderr"] => Some(2),
        ["dev", "fd", number] => number.parse().ok(),
        ["proc", process, "fd", number] | ["proc", process, "task", _, "fd", number]
            if ["self", "thread-self"].contains(&process)
                || process.parse() == Ok(std::process::id()) =>
        {
            number.parse().ok()
        }
        _ => None,
    }
}

/// Duplicates a descriptor that the caller of this command opened for writing. The duplicate shares the position and
/// the flags, such as appending.
#[cfg(unix)]
pub(super) fn duplicate(number: i32) -> Result<File> {
    let name = match number {
        1 => "standard output".to_owned(),
        _ => format!("file descriptor {number}"),
    };
    let duplicate = filedescriptor::FileDescriptor::dup(&number)
        .and_then(|descriptor| descriptor.as_file())
        .ok()
        .filter(|_| !was_closed_at_start(number) && !is_own(number));
    let Some(file) = duplicate else {
        match number {
            1 => bail!("{name} is closed"),
            _ => bail!("{name} is not open"),
        }
    };
    let mode = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
    ensure!(mode != OFlag::O_RDONLY, "{name} is open only for reading");
    Ok(file)
}

/// Returns whether this command opened the descriptor itself, for example for its signals. Its own descriptors have the
/// flag `O_CLOEXEC`, and those that it received from its caller cannot have it. The flag is read from Linux's /proc; on
/// other systems, this function returns `false`.
#[cfg(unix)]
fn is_own(number: i32) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else {
        return false;
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| OFlag::from_bits_truncate(flags).contains(OFlag::O_CLOEXEC))
}

/// Closes a duplicate of the file's descriptor. Network file systems report errors when a descriptor is closed, for
/// example that a quota is exceeded; Rust ignores them.
#[cfg(unix)]
pub(super) fn close_a_duplicate(file: &File) -> io::Result<()> {
    Ok(nix::unistd::close(file.try_clone()?)?)
}

/// Returns whether standard input, output or error was closed when the process started.
pub(crate) fn a_standard_stream_is_closed() -> bool {
    #[cfg(unix)]
    return (0..3).any(was_closed_at_start);
    #[cfg(not(unix))]
    false
}

/// Returns whether this is the descriptor of a standard stream that was closed when the process started. Rust's runtime
/// then opens `/dev/null` in its place, and everything that is written would be lost without an error.
#[cfg(unix)]
fn was_closed_at_start(number: i32) -> bool {
    let closed = usize::try_from(number).map(|number| at_start::CLOSED.get(number));
    closed.is_ok_and(|closed| {
        closed.is_some_and(|closed| closed.load(std::sync::atomic::Ordering::Relaxed))
    })
}

#[cfg(unix)]
mod at_start {
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering},
    };

    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
    };

    /// Whether each standard stream is closed: input, output and error.
    pub(super) static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

    /// Runs before Rust's runtime.
    #[ctor::ctor]
    fn look_at_the_standard_streams() {
        let flags = [
            fcntl(io::stdin(), FcntlArg::F_GETFD),
            fcntl(io::stdout(), FcntlArg::F_GETFD),
            fcntl(io::stderr(), FcntlArg::F_GETFD),
        ];
        for (closed, flags) in CLOSED.iter().zip(flags) {
            closed.store(flags == Err(Errno::EBADF), Ordering::Relaxed);
        }
    }
}
