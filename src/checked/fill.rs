//! In a browser, contents go to buffers by way of the device's own queue.
//!
//! A buffer that is mapped at its creation would not do: where there is no memory for it, or the GPU's process has ended, the
//! browser throws, of which wgpu makes a panic (wgpu-30.0.1/src/backend/webgpu.rs, `fn create_buffer`).

use super::lost;
use crate::error::Result;

/// What a buffer is created with so that [`fill`] can write to it: usages, and whether it is mapped.
pub(crate) const FILLED: (wgpu::BufferUsages, bool) = (wgpu::BufferUsages::COPY_DST, false);

/// Writes `bytes` to the start of a buffer that was created so, and zeros to the end of their last word.
pub(crate) fn fill(device: &wgpu::Device, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
    const WORD: usize = size_of::<u32>();
    let (Some(device), Some(buffer)) = (device.as_webgpu(), buffer.as_webgpu()) else {
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
    if rest.is_empty() {
        return Ok(());
    }
    let mut word = [0; WORD];
    word[..rest.len()].copy_from_slice(rest);
    write(words.len(), &word)
}
