//! The threads that long work on the CPU is divided among: those of rayon's pool.

/// Returns the number of threads that can work together: those of the pool that this thread belongs to, or else those of
/// rayon's global pool, which the first call starts. Returns 1 if the threads cannot be started, for example because a
/// container limits the number of processes, and without the feature `threads`. rayon must then not be called: it would
/// try again to start the threads, and panic.
pub(crate) fn count() -> usize {
    #[cfg(feature = "threads")]
    return pool::count();
    #[cfg(not(feature = "threads"))]
    1
}

/// Returns the largest number of threads that this crate starts: 256, or one for each core if there are more cores.
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
            let mut builder = ThreadPoolBuilder::new();
            // rayon itself accepts every number, and starts as many threads.
            let wanted = std::env::var("RAYON_NUM_THREADS").ok();
            let wanted: Option<usize> = wanted.and_then(|number| number.parse().ok());
            if let Some(wanted) = wanted
                && wanted > super::max()
            {
                log::warn!(
                    "RAYON_NUM_THREADS is {wanted}: starting {} threads",
                    super::max()
                );
                builder = builder.num_threads(super::max());
            }
            match builder.build_global() {
                Err(error) if error.source().is_some() => {
                    log::warn!("the CPU path runs on the calling thread: {error}");
                    1
                }
                // The pool has been started, now or before by the host. If the host's attempt failed, rayon panics.
                _ => catch_unwind(rayon::current_num_threads).unwrap_or(1),
            }
        })
    }
}
