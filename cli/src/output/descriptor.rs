//! Open file descriptors as outputs: standard output, and the paths that stand for descriptors.

#[cfg(unix)]
use std::{
    fs::{self, File},
    io,
    path::{Component, Path},
};

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

/// Duplicates a descriptor. The duplicate shares the position and the flags, such as appending.
#[cfg(unix)]
pub(super) fn duplicate(number: i32) -> io::Result<File> {
    let not_open = || io::Error::other(format!("file descriptor {number} is not open"));
    let descriptor = filedescriptor::FileDescriptor::dup(&number).map_err(|_| not_open())?;
    descriptor.as_file().map_err(|_| not_open())
}

/// Returns whether standard output was closed when the process started. Rust's runtime then opens `/dev/null` in its
/// place, and everything that is written would be lost without an error.
pub(crate) fn stdout_is_closed() -> bool {
    #[cfg(unix)]
    return at_start::STDOUT_IS_CLOSED.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(unix))]
    false
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

    pub(super) static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

    /// Runs before Rust's runtime.
    #[ctor::ctor]
    fn look_at_stdout() {
        let flags = fcntl(io::stdout(), FcntlArg::F_GETFD);
        STDOUT_IS_CLOSED.store(flags == Err(Errno::EBADF), Ordering::Relaxed);
    }
}
