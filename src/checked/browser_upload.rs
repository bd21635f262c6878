//! Buffers with contents in a browser, filled through the browser's own queue object.
//!
//! Mapping a buffer at its creation does not work there: if memory runs out or the GPU's process has ended, the browser
//! throws and wgpu panics (wgpu-30.0.1/src/backend/webgpu.rs, `fn create_buffer`).

use super::lost;
use crate::error::Result;

/// Creates a buffer that holds `bytes` followed by zeros. Returns `None` if the device is not a WebGPU device.
pub(super) fn filled(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
    bytes: &[u8],
) -> Option<Result<wgpu::Buffer>> {
    const WORD: usize = size_of::<u32>();
    let queue = device.as_webgpu()?.queue();
    let made = device.create_buffer(&wgpu::BufferDescriptor {
        usage: descriptor.usage | wgpu::BufferUsages::COPY_DST,
        ..descriptor.clone()
    });
    let buffer = made.as_webgpu()?;
    let write = |offset: usize, bytes: &[u8]| {
        queue
            .write_buffer_with_f64_and_u8_slice(buffer, offset as f64, bytes)
            .map_err(|error| lost(format_args!("{error:?}")))
    };
    // The queue writes whole words only, so the bytes after the last whole word are padded with zeros.
    let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % WORD);
    let mut last = [0; WORD];
    last[..rest.len()].copy_from_slice(rest);
    let written = write(0, words).and_then(|()| match rest {
        [] => Ok(()),
        _ => write(words.len(), &last),
    });
    Some(written.map(|()| made))
}
