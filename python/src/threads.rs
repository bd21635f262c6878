//! The threads that compute: this process's own pool of rayon threads, or the calling thread.

use std::{
    env,
    hint::black_box,
    mem, process,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The length of the shortest slice for which the pool is started. `wgpu_elu::cpu` divides no shorter slice among
/// threads.
const MIN_LEN_FOR_THREADS: usize = 1 << 18;

/// The length of the shortest slice for which the calling thread detaches from the interpreter, which takes about as
/// long as computing 100 elements.
const MIN_LEN_TO_DETACH: usize = 1 << 12;

/// Calls `work`, which computes `len` elements, on the calling thread or in the pool.
pub(crate) fn run<R: Send>(py: Python<'_>, len: usize, work: impl FnOnce() -> R + Send) -> R {
    let flushes = flushes_subnormals();
    if len < MIN_LEN_TO_DETACH && !flushes {
        return work();
    }
    let pool = if len >= MIN_LEN_FOR_THREADS || flushes {
        pool()
    } else {
        None
    };
    py.detach(|| match pool {
        Some(pool) => pool.install(work),
        None => work(),
    })
}

/// Starts the threads. They inherit from the calling thread whether subnormal numbers are flushed to zero, so a module
/// whose functions are called by threads that flush calls this when it is imported.
#[pyfunction]
pub(crate) fn start_threads() {
    pool();
}

// ---- Internals ----

/// Returns the pool of this process, or `None` if its threads cannot be started: `wgpu_elu::cpu` then runs on the calling
/// thread.
///
/// The pool is not rayon's global pool, because a process that was forked has none of its parent's threads, and would
/// wait for them forever. The lock is held only while the thread is attached to the interpreter. Before it forks, Python
/// waits until no other thread runs attached: with the GIL always, and without it by stopping all threads. So the child
/// never inherits a locked lock. Code that is not Python's must not fork while other threads call this module.
fn pool() -> Option<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*pool {
        Some((process, pool)) if *process == process::id() => return Some(Arc::clone(pool)),
        _ => {}
    }
    let new = ThreadPoolBuilder::new()
        .num_threads(wanted())
        .build()
        .map(Arc::new)
        .ok()?;
    let old = pool.replace((process::id(), Arc::clone(&new)));
    mem::forget(old); // the parent's: to end its threads, which do not exist here, might wait for them
    Some(new)
}

/// Returns the number of threads that `wgpu_elu::cpu` would start.
fn wanted() -> usize {
    let variable = env::var("RAYON_NUM_THREADS").ok();
    let number = variable.and_then(|number| number.parse().ok());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    number
        .filter(|&number| number > 0)
        .unwrap_or(cores)
        .min(wgpu_elu::cpu::max_threads())
}

/// Returns whether the calling thread replaces subnormal numbers by zero, as the threads of XLA and TensorFlow do: in
/// operands, in results, or in both.
fn flushes_subnormals() -> bool {
    black_box(f32::from_bits(3)) * black_box(0.5) == 0.0
}
