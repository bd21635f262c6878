//! Calls on a wgpu device whose errors come back as ours, instead of reaching the host's.

#[cfg(all(target_family = "wasm", feature = "webgpu"))]
mod fill;
#[cfg(target_family = "wasm")]
mod late;

use std::{
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::error::{Error, Result};
#[cfg(all(target_family = "wasm", feature = "webgpu"))]
pub(crate) use fill::{FILLED, fill};
#[cfg(target_family = "wasm")]
pub(crate) use late::Checks;

/// What a buffer is created with so that [`fill`] can write to it.
#[cfg(not(all(target_family = "wasm", feature = "webgpu")))]
pub(crate) const FILLED: (wgpu::BufferUsages, bool) = (wgpu::BufferUsages::empty(), true);

/// Writes `bytes` to the start of a buffer that was created so.
#[cfg(not(all(target_family = "wasm", feature = "webgpu")))]
pub(crate) fn fill(_: &wgpu::Device, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
    let mut view = buffer.slice(..).get_mapped_range_mut().map_err(lost)?;
    view.slice(..bytes.len()).copy_from_slice(bytes);
    drop(view);
    buffer.unmap();
    Ok(())
}

/// A mapping of our own fails only on a lost device.
pub(crate) fn lost(error: impl fmt::Display) -> Error {
    Error::DeviceLost {
        reason: error.to_string(),
    }
}

/// Makes something on `device` and catches what wgpu says against it, so that it reaches neither the host's own error
/// scopes nor its error callback. In a browser the answer comes later than we can wait: there it goes to the host, or to
/// [`Checks`].
pub(crate) fn checked<T>(device: &wgpu::Device, what: &str, make: impl FnOnce() -> T) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return Ok(make());
    }
    let filters = [
        wgpu::ErrorFilter::Internal,
        wgpu::ErrorFilter::OutOfMemory,
        wgpu::ErrorFilter::Validation,
    ];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let made = make();
    let mut first = None;
    for scope in scopes.into_iter().rev() {
        if let Poll::Ready(Some(error)) =
            pin!(scope.pop()).poll(&mut Context::from_waker(Waker::noop()))
        {
            first.get_or_insert(error);
        }
    }
    match first {
        None => Ok(made),
        Some(error) => Err(told(&error, what)),
    }
}

/// The checks of a device: outside the browser, each is answered at once.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Default)]
pub(crate) struct Checks;

#[cfg(not(target_family = "wasm"))]
impl Checks {
    /// As [`checked`].
    #[expect(clippy::unused_self, reason = "in a browser it keeps the answers")]
    pub(crate) fn checked<T>(
        &self,
        device: &wgpu::Device,
        what: &str,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        checked(device, what, make)
    }

    /// The first error since this was last asked.
    #[expect(clippy::unused_async, reason = "in a browser it waits for the answers")]
    pub(crate) async fn settle(&self) -> Result<()> {
        Ok(())
    }
}

fn told(error: &wgpu::Error, what: &str) -> Error {
    let what = what.into();
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what },
        _ => Error::Refused {
            what,
            reason: one_line(&error.to_string()),
        },
    }
}

/// wgpu explains itself over several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
