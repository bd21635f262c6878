//! Ctrl-C and other signals that ask the process to end: it leaves nothing half-written.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Files that are not whole yet.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From here on, a signal removes them. One that somebody has ignored for us, as nohup does, stays ignored.
pub(crate) fn listen() {
    // Where that is refused, signals do what they ever do.
    #[cfg(target_os = "linux")]
    let _ = linux::listen();
    #[cfg(not(target_os = "linux"))]
    let _ = ctrlc::try_set_handler(|| end(130));
}

/// The list, for whoever adds to it or takes from it.
pub(crate) fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(exit_code: i32) {
    // Held to the end, so that none of them is made or put in place any more.
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = fs::remove_file(path);
    }
    // std's own exit calls the drivers', while other threads are in there: Mesa's has crashed.
    signal_hook::low_level::exit(exit_code);
}

/// ctrlc listens to no signal if it may not listen to all.
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
        // The thread first: signals that nobody listens to would end nothing any more.
        thread::Builder::new().spawn(move || match Signals::new(heard) {
            Ok(mut signals) => {
                let _ = sender.send(Ok(()));
                for signal in signals.forever() {
                    super::end(128 + signal); // as a shell reports it
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        })?;
        receiver.recv().unwrap_or(Ok(()))
    }

    /// A bit for each signal, from 1 up (`proc_pid_status(5)`).
    fn ignored() -> io::Result<u64> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mask = status.lines().find_map(|line| {
            let mask = line.strip_prefix("SigIgn:")?.trim();
            u64::from_str_radix(mask, 16).ok()
        });
        mask.ok_or(io::ErrorKind::InvalidData.into())
    }
}
