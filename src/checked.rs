//! Calls on a wgpu device whose errors come back as ours, instead of reaching the host's.

use std::{
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::error::{Error, Result};

/// A buffer that holds `contents` from its start, if there are any.
pub(crate) fn buffer(
    device: &wgpu::Device,
    what: &str,
    descriptor: &wgpu::BufferDescriptor<'_>,
    contents: Option<&[u8]>,
) -> Result<wgpu::Buffer> {
    checked(device, what, || {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            mapped_at_creation: contents.is_some(),
            ..descriptor.clone()
        });
        if let Some(bytes) = contents {
            let mut view = buffer.slice(..).get_mapped_range_mut().map_err(lost)?;
            view.slice(..bytes.len()).copy_from_slice(bytes);
            drop(view);
            buffer.unmap();
        }
        Ok(buffer)
    })?
}

/// A mapping of our own fails only on a lost device.
pub(crate) fn lost(error: impl fmt::Display) -> Error {
    Error::DeviceLost {
        reason: error.to_string(),
    }
}

/// Makes something on `device` and catches what wgpu says against it, so that it reaches neither the host's own error
/// scopes nor its error callback. In a browser the answer comes later than we can wait: there it goes to the host.
///
/// [`Error::DeviceLost`] comes from here where an object that is none was put to use, see [`check_alive`].
pub(crate) fn checked<T>(device: &wgpu::Device, what: &str, make: impl FnOnce() -> T) -> Result<T> {
    let (made, error) = caught(device, make);
    let Some(error) = error else { return Ok(made) };
    check_alive(device)?;
    Err(match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: what.into() },
        error => Error::Refused {
            what: what.into(),
            reason: one_line(&error.to_string()),
        },
    })
}

/// Fails if the device is lost, which wgpu tells nobody but the owner of its callback: it makes objects that are none, says
/// nothing, and refuses them later. But it does not map them.
pub(crate) fn check_alive(device: &wgpu::Device) -> Result<()> {
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
        None => mapped.map_err(lost),
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

/// wgpu explains itself over several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
