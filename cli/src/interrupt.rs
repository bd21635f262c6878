//! Ctrl-C and other signals that end the process. They leave no half-written file.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The files that are not complete yet.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Installs a handler that removes these files when a signal arrives. A signal that is ignored, for example by nohup,
/// stays ignored.
pub(crate) fn listen() {
    // If the handler cannot be installed, signals keep their default effect.
    #[cfg(target_os = "linux")]
    let _ = linux::listen();
    #[cfg(not(target_os = "linux"))]
    let _ = ctrlc::try_set_handler(|| end(130));
}

/// Locks the list of unfinished files.
pub(crate) fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(exit_code: i32) {
    // The lock is held until the process ends, so that no file is created or renamed meanwhile.
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = fs::remove_file(path);
    }
    // std's own exit runs the drivers' exit handlers while other threads may still use them, which has crashed Mesa.
    signal_hook::low_level::exit(exit_code);
}

/// Listens to each signal separately, because ctrlc listens to none if it cannot listen to all.
#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, io, sync::mpsc, thread};

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };

    pub(super) fn listen() -> io::Result<()> {
        let ignored = ignored().unwrap_or(0);
        let heard = [SIGINT, SIGTERM, SIGHUP].into_iter();
        let heard = heard.filter(move |s| ignored >> (s - 1) & 1 == 0);
        let (sender, receiver) = mpsc::channel();
        // Starts the thread before the signals are registered. A registered signal without a thread would have no
        // effect.
        thread::Builder::new().spawn(move || match Signals::new(heard) {
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

    /// Returns a bit for each ignored signal, starting with signal 1 (`proc_pid_status(5)`).
    fn ignored() -> io::Result<u64> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mask = status.lines().find_map(|line| {
            let mask = line.strip_prefix("SigIgn:")?.trim();
            u64::from_str_radix(mask, 16).ok()
        });
        mask.ok_or(io::ErrorKind::InvalidData.into())
    }
}
