//! Ctrl-C and other signals that ask the process to end: it leaves nothing half-written.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// As a shell reports it.
const EXIT_CODE: i32 = 130;

/// Files that are not whole yet.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From here on, a signal removes them.
pub(crate) fn listen() {
    // A signal that somebody has ignored for us, such as nohup, stays ignored; then, and where there are no signals, the
    // others do what they ever do.
    let _ = ctrlc::try_set_handler(|| {
        // Held to the end, so that none of them is made or put in place any more.
        let unfinished = unfinished();
        for path in unfinished.iter() {
            let _ = fs::remove_file(path);
        }
        // std's own exit calls the drivers', while other threads are in there: Mesa's has crashed.
        signal_hook::low_level::exit(EXIT_CODE);
    });
}

/// The list, for whoever adds to it or takes from it.
pub(crate) fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
