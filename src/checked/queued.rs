//! In a browser, contents go to buffers by way of the device's own queue.
//!
//! A buffer that is mapped at its creation would not do: where there is no memory for it, or the GPU's process has ended, the
//! browser throws, of which wgpu makes a panic (wgpu-30.0.1/src/backend/webgpu.rs, `fn create_buffer`).

use super::lost;
use crate::error::Result;

/// A buffer that holds `bytes` from its start, and zeros after them.
pub(crate) fn filled(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
    bytes: &[u8],
) -> Result<wgpu::Buffer> {
    const WORD: usize = size_of::<u32>();
    let made = device.create_buffer(&wgpu::BufferDescriptor {
        usage: descriptor.usage | wgpu::BufferUsages::COPY_DST,
        ..descriptor.clone()
    });
    let (Some(device), Some(buffer)) = (device.as_webgpu(), made.as_webgpu()) else {
        return Err(lost("it is none of the browser's"));
    };
    let queue = device.queue();
    let write = |offset: usize, bytes: &[u8]| {
        queue
            .write_buffer_with_f64_and_u8_slice(buffer, offset as f64, bytes)
            .map_err(|error| lost(format_args!("{error:?}")))
    };
    let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % WORD);
    write(0, words)?;
    if !rest.is_empty() {
        let mut word = [0; WORD];
        word[..rest.len()].copy_from_slice(rest);
        write(words.len(), &word)?;
    }
    Ok(made)
}
