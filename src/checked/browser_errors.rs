//! Error checks in a browser, where errors arrive later, through the event loop.
//!
//! 1. [`Checks::checked`] opens error scopes, makes the call, closes the scopes, and returns without waiting. A task
//!    waits for each scope's answer: the error that it caught, or none.
//! 2. The task counts the answer and keeps the first error.
//! 3. [`Checks::settle`], called by everything that waits for the device, waits until the answers of all scopes closed
//!    so far have arrived, and returns the first error.
//!
//! Step 1 cannot wait, because the browser sends an answer only after the code has returned to the event loop. A
//! function that is not `async` therefore cannot return the error of its own call. The next call that waits returns it.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use super::from_wgpu;
use crate::error::{Error, Result};

/// The error checks of a device, and the answers so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    answers: Arc<Mutex<Answers>>,
}

#[derive(Debug, Default)]
struct Answers {
    /// The number of error scopes whose answer was requested.
    requested: u64,
    /// The number of answers that have arrived. They arrive in the order of the requests, so this number shows which
    /// requests are answered.
    arrived: u64,
    first_error: Option<Error>,
    waiting: Vec<Waker>,
}

impl Checks {
    /// Does what [`checked`](super::checked) does, except that [`Checks::settle`] returns the error.
    #[expect(clippy::unnecessary_wraps, reason = "outside the browser it may fail")]
    pub(crate) fn checked<T>(
        &self,
        device: &wgpu::Device,
        what: &str,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        // No scope catches internal errors, because wgpu 30 panics if a scope returns one
        // (wgpu-30.0.1/src/backend/webgpu.rs, `fn from_js`). Such an error leaves an invalid object, for example a
        // pipeline, and the first use of that object is a validation error.
        let filters = [
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Validation,
        ];
        let scopes = filters.map(|filter| device.push_error_scope(filter));
        let made = make();
        for scope in scopes.into_iter().rev() {
            let (answer, what) = (scope.pop(), what.to_owned());
            lock(&self.answers).requested += 1;
            let answers = Arc::clone(&self.answers);
            wasm_bindgen_futures::spawn_local(async move {
                let error = answer.await;
                let mut answers = lock(&answers);
                answers.arrived += 1;
                if let Some(error) = error {
                    answers
                        .first_error
                        .get_or_insert_with(|| from_wgpu(&error, &what));
                }
                answers.waiting.drain(..).for_each(Waker::wake);
            });
        }
        Ok(made)
    }

    /// Waits for the answers of all checks so far, and returns the first error since the last call.
    pub(crate) async fn settle(&self) -> Result<()> {
        let requested = lock(&self.answers).requested;
        poll_fn(|context| {
            let mut answers = lock(&self.answers);
            if answers.arrived >= requested {
                Poll::Ready(answers.first_error.take().map_or(Ok(()), Err))
            } else {
                answers.waiting.push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}
