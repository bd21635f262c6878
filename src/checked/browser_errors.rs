//! In a browser, errors arrive later, through the event loop.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use super::from_wgpu;
use crate::error::{Error, Result};

/// The checks of a device, and their results.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    answers: Arc<Mutex<Answers>>,
}

#[derive(Debug, Default)]
struct Answers {
    /// The number of checks.
    asked: u64,
    /// The number of answers so far. A device answers in order.
    there: u64,
    first_error: Option<Error>,
    waiting: Vec<Waker>,
}

impl Checks {
    /// Does what [`checked`](super::checked) does, but an error is returned by [`Checks::settle`].
    #[expect(clippy::unnecessary_wraps, reason = "outside the browser it may fail")]
    pub(crate) fn checked<T>(
        &self,
        device: &wgpu::Device,
        what: &str,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        // Not internal errors: wgpu 30 panics when a browser reports one (wgpu-30.0.1/src/backend/webgpu.rs, `fn from_js`).
        // Its result, such as an invalid pipeline, is refused later.
        let filters = [
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Validation,
        ];
        let scopes = filters.map(|filter| device.push_error_scope(filter));
        let made = make();
        for scope in scopes.into_iter().rev() {
            let (answer, what) = (scope.pop(), what.to_owned());
            lock(&self.answers).asked += 1;
            let answers = Arc::clone(&self.answers);
            wasm_bindgen_futures::spawn_local(async move {
                let error = answer.await;
                let mut answers = lock(&answers);
                answers.there += 1;
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

    /// The first error since this was last asked, once all calls so far are answered.
    pub(crate) async fn settle(&self) -> Result<()> {
        let asked = lock(&self.answers).asked;
        poll_fn(|context| {
            let mut answers = lock(&self.answers);
            if answers.there >= asked {
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
