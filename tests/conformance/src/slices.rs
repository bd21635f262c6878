//! Helpers that call a kernel as a host does, with their own buffers, slices, encoder and pass.

use wgpu_elu::{
    DType, Gpu, Step, Tensor,
    wgpu::{self, BufferUsages},
};

use crate::everywhere::bits_of;

/// The usages of buffers that tests write, pass to a kernel and read.
pub const ALL: BufferUsages = BufferUsages::STORAGE
    .union(BufferUsages::COPY_SRC)
    .union(BufferUsages::COPY_DST);

/// Creates a buffer with these float32 values.
pub fn buffer(gpu: &Gpu, values: &[f32], usage: BufferUsages) -> wgpu::Buffer {
    let bits: Vec<u64> = values.iter().map(|v| v.to_bits().into()).collect();
    buffer_of(gpu, DType::F32, &bits, usage)
}

/// Creates a buffer with these elements, as bits. Its size is rounded up to a multiple of 4 bytes.
pub fn buffer_of(gpu: &Gpu, dtype: DType, bits: &[u64], usage: BufferUsages) -> wgpu::Buffer {
    let mut bytes: Vec<u8> = bits
        .iter()
        .flat_map(|bits| bits.to_le_bytes().into_iter().take(dtype.size()))
        .collect();
    bytes.resize(bytes.len().next_multiple_of(4).max(4), 0);
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's"),
        size: bytes.len() as u64,
        usage,
        mapped_at_creation: true,
    });
    buffer
        .slice(..)
        .get_mapped_range_mut()
        .unwrap()
        .copy_from_slice(&bytes);
    buffer.unmap();
    buffer
}

/// Reads the first `len` elements of a buffer, as bits.
pub async fn read(gpu: &Gpu, dtype: DType, buffer: &wgpu::Buffer, len: usize) -> Vec<u64> {
    bits_of(&Tensor::from_buffer(gpu, buffer.clone(), 0, dtype, &[len]).unwrap()).await
}

/// Returns the slice of `len` elements that starts at the element `first`.
pub fn slice(
    buffer: &wgpu::Buffer,
    dtype: DType,
    first: usize,
    len: usize,
) -> wgpu::BufferSlice<'_> {
    let size = dtype.size();
    buffer.slice((first * size) as u64..((first + len) * size) as u64)
}

/// Records the steps in one pass and submits it.
pub fn submit(gpu: &Gpu, steps: &[&Step]) {
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for step in steps {
            step.record(&mut pass);
        }
    }
    gpu.queue().submit([encoder.finish()]);
}

#[cfg(any(test, target_family = "wasm"))]
mod tests;
