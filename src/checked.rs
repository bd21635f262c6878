//! Calls on a wgpu device whose errors are returned as [`Error`] and do not reach the host.

#[cfg(target_family = "wasm")]
mod browser_errors;
#[cfg(all(target_family = "wasm", feature = "webgpu"))]
mod browser_upload;

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::error::{Error, Result};
#[cfg(target_family = "wasm")]
pub(crate) use browser_errors::Checks;

/// Returns the size of a buffer for `bytes` bytes: whole words, which mappings and copies need, and at least one word.
/// Fails if the size exceeds the device's limit.
pub(crate) fn buffer_size(device: &wgpu::Device, bytes: u64) -> Result<u64> {
    let needed = whole_words(bytes).max(wgpu::COPY_BUFFER_ALIGNMENT);
    let found = device.limits().max_buffer_size;
    if needed <= found {
        Ok(needed)
    } else {
        Err(Error::Limit {
            limit: "max_buffer_size",
            needed,
            found,
        })
    }
}

/// Rounds `bytes` up to whole words of 4 bytes, which mappings and copies need. A size that would overflow becomes
/// [`u64::MAX`], which exceeds the limit of every device.
pub(crate) fn whole_words(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT)
        .unwrap_or(u64::MAX)
}

/// Creates a buffer that holds `bytes` followed by zeros.
pub(crate) fn filled(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
    bytes: &[u8],
) -> Result<wgpu::Buffer> {
    #[cfg(all(target_family = "wasm", feature = "webgpu"))]
    if let Some(filled) = browser_upload::filled(device, descriptor, bytes) {
        return filled;
    }
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        mapped_at_creation: true,
        ..descriptor.clone()
    });
    let view = buffer.slice(..).get_mapped_range_mut();
    let mut view = view.map_err(|_| unmapped())?;
    view.slice(..bytes.len()).copy_from_slice(bytes);
    drop(view);
    buffer.unmap();
    Ok(buffer)
}

/// Returns the error for a failed mapping. The mappings that this crate requests fail only on a lost device.
pub(crate) fn unmapped() -> Error {
    lost("a buffer could not be mapped")
}

/// Returns the error for a lost device, with the error that revealed the loss.
pub(crate) fn lost(error: impl fmt::Display) -> Error {
    Error::DeviceLost {
        reason: error.to_string(),
    }
}

/// Calls `make` inside error scopes and returns the error that it caused, if any. `what` names the object or the call
/// in the error. Neither the host's own error scopes nor its error callback see that error.
///
/// Returns [`Error::DeviceLost`] if the error came from using an invalid handle (see [`probe_alive`]), and if wgpu
/// panics, which it does where a driver returns an error that it does not expect. `make` must not run a host's
/// callbacks, whose panics belong to the host.
///
/// In a browser, where errors arrive later, this only calls `make`. [`Checks`] catches errors there.
pub(crate) fn checked<T>(device: &wgpu::Device, what: &str, make: impl FnOnce() -> T) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return Ok(make());
    }
    match caught(device, make)? {
        (made, None) => Ok(made),
        (_, Some(error)) => {
            probe_alive(device)?;
            Err(from_wgpu(&error, what))
        }
    }
}

/// Fails if the device is lost. wgpu reports a loss only to the lost-device callback, which belongs to the device's
/// owner, and keeps returning handles that are silently invalid. Only mapping fails, so this creates a 4-byte buffer
/// and maps it.
pub(crate) fn probe_alive(device: &wgpu::Device) -> Result<()> {
    // In a browser the error would arrive too late, and the browser reports the loss itself.
    if cfg!(target_family = "wasm") {
        return Ok(());
    }
    let (mapped, error) = caught(device, || {
        let probe = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu_elu.probe"),
            size: wgpu::COPY_BUFFER_ALIGNMENT,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        probe.slice(..).get_mapped_range_mut().map(drop)
    })?;
    match error {
        None => mapped.map_err(|_| unmapped()),
        Some(_) => Ok(()), // The probe could not be created, for example for lack of memory.
    }
}

/// Awaits `work`. If it panics, returns a description of the panic.
pub(crate) async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(made)) => Poll::Ready(Ok(made)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        },
    )
    .await
}

/// Describes a panic in wgpu.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "wgpu panicked: {}",
        one_line(message.unwrap_or("no message"))
    )
}

/// Calls `make` inside error scopes, and returns the first error that it caused. Works only outside the browser, where
/// the first poll of a popped scope returns its error.
fn caught<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<(T, Option<wgpu::Error>)> {
    let filters = [
        wgpu::ErrorFilter::Internal,
        wgpu::ErrorFilter::OutOfMemory,
        wgpu::ErrorFilter::Validation,
    ];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let made = catch_unwind(AssertUnwindSafe(make));
    let mut first = None;
    // Scopes form a stack, so the last one is popped first.
    for scope in scopes.into_iter().rev() {
        if let Poll::Ready(Some(error)) =
            pin!(scope.pop()).poll(&mut Context::from_waker(Waker::noop()))
        {
            first.get_or_insert(error);
        }
    }
    let made = made.map_err(|panic| lost(panicked(&*panic)))?;
    Ok((made, first))
}

/// The error checks of a device. Outside the browser each call returns its own error, so there is nothing to keep.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Default)]
pub(crate) struct Checks;

#[cfg(not(target_family = "wasm"))]
impl Checks {
    /// Does what the function [`checked`] does.
    #[expect(clippy::unused_self, reason = "in a browser it keeps the answers")]
    pub(crate) fn checked<T>(
        &self,
        device: &wgpu::Device,
        what: &str,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        checked(device, what, make)
    }

    /// Does nothing, because [`Checks::checked`] has returned every error.
    #[expect(clippy::unused_async, reason = "in a browser it waits for the answers")]
    pub(crate) async fn settle(&self) -> Result<()> {
        Ok(())
    }
}

/// Converts an error of wgpu that `what`, an object or a call, caused.
fn from_wgpu(error: &wgpu::Error, what: &str) -> Error {
    let what = what.into();
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what },
        _ => Error::Refused {
            what,
            reason: one_line(&error.to_string()),
        },
    }
}

/// Joins the lines of wgpu's multi-line messages.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
