//! Handles Ctrl-C and other signals that end the process, so that they leave no half-written file.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The paths of the temporary files that this process has created. The path of a finished file stays in the list, but
/// no longer exists.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Installs handlers that remove the unfinished files when a signal arrives, and end the process. A signal that the
/// process ignored from its start, for example because of `nohup`, stays ignored.
pub(crate) fn listen() {
    // If the handlers cannot be installed, signals keep their default effect.
    #[cfg(unix)]
    let _ = unix::listen();
    // ctrlc does not say which signal has arrived, so the exit code is always that of Ctrl-C.
    #[cfg(not(target_os = "linux"))]
    let _ = ctrlc::try_set_handler(|| end(130));
}

/// Locks the list of unfinished files.
pub(crate) fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the unfinished files and ends the process.
fn end(exit_code: i32) {
    // Holds the lock until the process ends, so that no other thread creates or renames a file.
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = fs::remove_file(path);
    }
    // Does not run exit handlers. `std::process::exit` would run those of the drivers while other threads may still use
    // the drivers, which has crashed Mesa.
    signal_hook::low_level::exit(exit_code);
}

/// Handles each signal separately. The crate ctrlc handles only three signals, and either all of them or none, so one
/// ignored signal would leave the others unhandled.
#[cfg(unix)]
mod unix {
    use std::{
        fs, io,
        sync::{Arc, mpsc},
        thread,
    };

    use signal_hook::{consts::*, flag, iterator::Signals};

    /// The signals that are handled here. On Linux, /proc lists the signals that this process ignores. On other systems
    /// that list is not available, so ctrlc handles SIGINT, SIGTERM and SIGHUP, the signals that a process most
    /// often ignores from its start.
    #[cfg(target_os = "linux")]
    const SIGNALS: [i32; 8] = [
        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM,
    ];
    #[cfg(not(target_os = "linux"))]
    const SIGNALS: [i32; 5] = [SIGQUIT, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM];

    pub(super) fn listen() -> io::Result<()> {
        // Registers handlers that only set a flag, which nothing reads. A write beyond the limit on file sizes, or to a
        // pipe without a reader, then returns an error instead of ending the process. Rust's runtime ignores SIGPIPE,
        // but `exec` in main.rs resets that even if it fails.
        for signal in [SIGXFSZ, SIGPIPE] {
            flag::register(signal, Arc::default())?;
        }
        // Handles all signals if the mask cannot be read.
        let ignored = ignored().unwrap_or(0);
        let handled = SIGNALS
            .into_iter()
            .filter(move |signal| ignored >> (signal - 1) & 1 == 0);
        let (sender, receiver) = mpsc::channel();
        // Registers the signals in the thread that handles them. If the thread cannot be started, no signal is
        // registered, and all keep their default effect. A registered signal without a thread would have no effect.
        thread::Builder::new().spawn(move || match Signals::new(handled) {
            Ok(mut signals) => {
                let _ = sender.send(Ok(()));
                for signal in signals.forever() {
                    super::end(128 + signal); // the exit code that shells report for a signal
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        })?;
        receiver.recv().unwrap_or(Ok(()))
    }

    /// Returns the signals that this process ignores, as a mask: bit 0 is signal 1 (see `SigIgn` in
    /// `proc_pid_status(5)`).
    fn ignored() -> io::Result<u64> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mask = status.lines().find_map(|line| {
            let mask = line.strip_prefix("SigIgn:")?.trim();
            u64::from_str_radix(mask, 16).ok()
        });
        mask.ok_or(io::ErrorKind::InvalidData.into())
    }
}
