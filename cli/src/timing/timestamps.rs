//! Measures work on a GPU with the device's timestamps.

use std::time::Instant;

use anyhow::Result;
use wgpu_elu::{Device, Gpu, wgpu};

/// A pair of timestamps, before and after some work on a GPU.
///
/// 1. [`Timer::pass`] or [`Timer::around`] records the work with both timestamps.
/// 2. [`Timer::finish`] records the copy of the timestamps.
/// 3. The caller submits the command buffer.
/// 4. [`Timer::read`] returns the time between the timestamps.
#[derive(Debug)]
pub struct Timer {
    queries: wgpu::QuerySet,
    /// The timestamps as ticks, in the GPU's memory.
    resolved: wgpu::Buffer,
    /// A copy of `resolved` that the CPU can map.
    read: wgpu::Buffer,
    seconds_per_tick: f64,
}

impl Timer {
    /// Creates a timer. Returns `None` if the device has no timestamps, or if its timestamps disagree with the CPU's
    /// clock.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Timer::read`].
    pub fn new(gpu: &Gpu) -> Result<Option<Self>> {
        let needed = wgpu::Features::TIMESTAMP_QUERY;
        if !gpu.device().features().contains(needed) {
            return Ok(None);
        }
        let buffer = |usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("elu_cli.timer"),
                size: Self::SIZE,
                usage,
                mapped_at_creation: false,
            })
        };
        let timer = Self {
            queries: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("elu_cli.timer"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            read: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            seconds_per_tick: f64::from(gpu.queue().get_timestamp_period()) * 1e-9,
        };
        Ok(timer.agrees_with_the_clock(gpu)?.then_some(timer))
    }
}

impl Timer {
    /// The size of two timestamps in bytes.
    const SIZE: u64 = 2 * wgpu::QUERY_SIZE as u64;

    /// Times the clearing of 1 MiB. Returns whether the time between the timestamps is positive, and at most the time
    /// that the CPU waits for the work.
    fn agrees_with_the_clock(&self, gpu: &Gpu) -> Result<bool> {
        let cleared = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("elu_cli.timer"),
            size: 1 << 20,
            usage: wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let device = Device::Gpu(gpu.clone());
        let start = Instant::now();
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.around(&mut encoder, |encoder| {
            encoder.clear_buffer(&cleared, 0, None)
        });
        self.finish(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        device.wait_blocking()?;
        let waited = start.elapsed().as_secs_f64();
        let seconds = self.read(&device)?;
        Ok(seconds > 0.0 && seconds <= waited)
    }

    /// Records `work` between two timestamps. `work` may record commands that do not belong in a compute pass, such as
    /// copies of buffers. Two empty passes write the timestamps, because writing them outside of a pass would need
    /// another feature.
    pub fn around<T>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        work: impl FnOnce(&mut wgpu::CommandEncoder) -> T,
    ) -> T {
        drop(self.pass(encoder, None, Some(0)));
        let result = work(encoder);
        drop(self.pass(encoder, Some(1), None));
        result
    }

    /// Starts a compute pass that writes the timestamp with the index `beginning` at its start, and the one with the
    /// index `end` at its end. The indices are 0 (before the work) and 1 (after it); `None` writes no timestamp.
    pub fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        beginning: Option<u32>,
        end: Option<u32>,
    ) -> wgpu::ComputePass<'a> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("elu_cli.timer"),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: beginning,
                end_of_pass_write_index: end,
            }),
        })
    }

    /// Records the copy of both timestamps to memory that the CPU can read.
    pub fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, Self::SIZE);
    }

    /// Waits for all submitted work, and returns the time between the timestamps in seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the device is lost, or if the timestamps cannot be mapped.
    pub fn read(&self, device: &Device) -> Result<f64> {
        // Ignores the result of the mapping: if it fails, `get_mapped_range` fails below.
        self.read.map_async(wgpu::MapMode::Read, .., |_| {});
        device.wait_blocking()?;
        let view = self.read.get_mapped_range(..)?;
        let ticks: &[u64] = bytemuck::cast_slice(&view);
        let seconds = ticks[1].wrapping_sub(ticks[0]) as f64 * self.seconds_per_tick;
        drop(view);
        self.read.unmap();
        Ok(seconds)
    }
}
