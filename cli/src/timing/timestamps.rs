//! The timestamps of a device.

use std::time::Instant;

use anyhow::Result;
use wgpu_elu::{Device, Gpu, wgpu};

/// Measures work on a GPU by the device's timestamps.
#[derive(Debug)]
pub struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    seconds_per_tick: f64,
}

impl Timer {
    /// Returns `None` if the device has no timestamps, or if they disagree with the CPU's clock.
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

    /// Returns whether the timestamps report a time that is positive and at most as long as the caller waits.
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

    /// Writes timestamps before and after work outside of passes. It uses two empty passes, because timestamps in an
    /// encoder would need another feature.
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

    /// Starts a pass that writes a timestamp at its start and end.
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

    /// Records the copy of the timestamps to memory that the CPU can read.
    pub fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, Self::SIZE);
    }

    /// Returns the seconds between the timestamps, after waiting for all work.
    pub fn read(&self, device: &Device) -> Result<f64> {
        // If the mapping fails, the range is not available below.
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
