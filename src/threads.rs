//! The threads that long work on the CPU is divided among: those of rayon's pool.

/// Returns the number of threads that can work together: those of the pool that this thread belongs to, or else those
/// of rayon's global pool, which the first call starts. Without the feature `threads` it returns 1.
///
/// It also returns 1 if the threads cannot be started, for example because a container limits the number of processes.
/// The caller must then not use rayon, which would try again to start the threads, and panic.
pub(crate) fn count() -> usize {
    #[cfg(feature = "threads")]
    return pool::count();
    #[cfg(not(feature = "threads"))]
    1
}

/// Returns the largest number of threads that this crate starts: 256, or one for each core if there are more cores. The
/// limit only keeps a mistyped `RAYON_NUM_THREADS` from starting thousands of threads.
pub(crate) fn max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.max(256)
}

#[cfg(feature = "threads")]
mod pool {
    use std::{error::Error, panic::catch_unwind, sync::OnceLock};

    use rayon::ThreadPoolBuilder;

    pub(super) fn count() -> usize {
        static GLOBAL: OnceLock<usize> = OnceLock::new();
        if rayon::current_thread_index().is_some() {
            return rayon::current_num_threads();
        }
        *GLOBAL.get_or_init(|| {
            let threads = wanted().min(super::max());
            match ThreadPoolBuilder::new().num_threads(threads).build_global() {
                // The error has a source if a thread could not be started, but not if the pool already exists.
                Err(error) if error.source().is_some() => {
                    log::warn!("the CPU path runs on the calling thread: {error}");
                    1
                }
                // The pool has been started, now or before by the host. If the host's attempt failed, rayon panics.
                _ => catch_unwind(rayon::current_num_threads).unwrap_or(1),
            }
        })
    }

    /// Returns the number in `RAYON_NUM_THREADS`, or the number of cores if the variable is not set, empty or 0. Logs a
    /// number that is too large, which rayon would accept, and a value that is no number.
    fn wanted() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let Some(value) = std::env::var_os("RAYON_NUM_THREADS") else {
            return cores;
        };
        match value.to_str().map(str::parse) {
            Some(Ok(0)) => cores,
            Some(Err(_)) if value.is_empty() => cores,
            Some(Ok(wanted)) => {
                let max = super::max();
                if wanted > max {
                    log::warn!("RAYON_NUM_THREADS is {wanted}: starting {max} threads");
                }
                wanted
            }
            _ => {
                log::warn!("RAYON_NUM_THREADS is {value:?}: needed a number of threads");
                cores
            }
        }
    }
}
