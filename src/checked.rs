//! Calls on a wgpu device whose errors come back as ours, instead of reaching the host's.

#[cfg(target_family = "wasm")]
mod late;
#[cfg(all(target_family = "wasm", feature = "webgpu"))]
mod queued;

use std::{
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::error::{Error, Result};
#[cfg(target_family = "wasm")]
pub(crate) use late::Checks;

/// A buffer that holds `bytes` from its start.
pub(crate) fn filled(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
    bytes: &[u8],
) -> Result<wgpu::Buffer> {
    #[cfg(all(target_family = "wasm", feature = "webgpu"))]
    if let Some(filled) = queued::filled(device, descriptor, bytes) {
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

/// A mapping of our own fails only on a lost device.
pub(crate) fn unmapped() -> Error {
    lost("a buffer could not be mapped")
}

/// The device is lost, by this sign.
pub(crate) fn lost(error: impl fmt::Display) -> Error {
    Error::DeviceLost {
        reason: error.to_string(),
    }
}

/// Makes something on `device` and catches what wgpu says against it, so that it reaches neither the host's own error
/// scopes nor its error callback. In a browser the answer comes later than we can wait: there it goes to the host, or to
/// [`Checks`].
///
/// [`Error::DeviceLost`] comes from here where an object that is none was put to use, see [`check_alive`].
pub(crate) fn checked<T>(device: &wgpu::Device, what: &str, make: impl FnOnce() -> T) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return Ok(make());
    }
    match caught(device, make) {
        (made, None) => Ok(made),
        (_, Some(error)) => {
            check_alive(device)?;
            Err(told(&error, what))
        }
    }
}

/// Fails if the device is lost, which wgpu tells nobody but the owner of its callback: it makes objects that are none, says
/// nothing, and refuses them later. But it does not map them.
pub(crate) fn check_alive(device: &wgpu::Device) -> Result<()> {
    // There nothing would be told in time, and there is another way to know.
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
    });
    match error {
        None => mapped.map_err(|_| unmapped()),
        Some(_) => Ok(()), // as when memory has run out
    }
}

fn caught<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
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
    (made, first)
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
