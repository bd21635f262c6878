//! What is timed on a GPU.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use wgpu_elu::{Device, Element, Elu, Gpu, Step, Tensor, shader::Op, wgpu};

use super::{
    copy::ShaderCopy,
    stopwatch::{rounds, seconds},
    way::{Round, Way},
    workload::{Data, Workload},
};

/// Tensors that are there already.
pub(crate) struct OnGpu<'a> {
    work: &'a Workload,
    gpu: &'a Gpu,
    device: Device,
    timer: Option<&'a Timer>,
    x: Tensor,
    grad: Option<Tensor>,
    y: Tensor,
    step: Step,
    copy: ShaderCopy,
}

impl<'a> OnGpu<'a> {
    pub(crate) fn new<E: Element>(
        work: &'a Workload,
        data: &Data<E>,
        gpu: &'a Gpu,
        timer: Option<&'a Timer>,
    ) -> Result<Self> {
        let device = Device::Gpu(gpu.clone());
        let up = |values: &[E]| Tensor::from_slice(&device, values, &[values.len()]);
        let x = up(&data.x)?;
        let grad = (!data.grad.is_empty())
            .then(|| up(&data.grad))
            .transpose()?;
        let y = Tensor::zeros(&device, work.dtype, &[x.len()])?;
        let (x_bytes, y_bytes) = (slice(&x)?, slice(&y)?);
        let grad_bytes = grad.as_ref().map(slice).transpose()?;
        let copy = ShaderCopy::new(gpu, x_bytes, grad_bytes, y_bytes);
        let (kernel, factors) = (gpu.kernel(work.dtype)?, work.factors);
        let step = match (work.op, grad_bytes) {
            (Op::Backward, Some(grad)) => {
                kernel.prepare_backward(factors, x_bytes, grad, y_bytes)?
            }
            (Op::BackwardFromOutput, Some(grad)) => {
                kernel.prepare_backward_from_output(factors, x_bytes, grad, y_bytes)?
            }
            _ => kernel.prepare(factors, x_bytes, y_bytes)?,
        };
        Ok(Self {
            work,
            gpu,
            device,
            timer,
            x,
            grad,
            y,
            step,
            copy,
        })
    }

    /// `data` is what it was made from.
    pub(crate) fn time<E: Element>(&self, data: &Data<E>) -> Result<Round> {
        let started = Instant::now();
        let ways: &[Way] = if self.timer.is_some() {
            &[
                Way::Kernel,
                Way::SubmitAndWait,
                Way::ShaderCopy,
                Way::BufferCopy,
            ]
        } else {
            &[Way::SubmitAndWait, Way::ShaderCopy, Way::BufferCopy]
        };
        for &way in ways {
            self.sample(way)?;
            let (who, y) = (self.device.to_string(), self.y.to_bytes_blocking()?);
            match way {
                Way::Kernel | Way::SubmitAndWait => self.work.confirm(&who, &y)?,
                _ => ensure!(
                    is_copy(way, data, &y),
                    "{who}: a copy is not what was copied, so nothing is timed"
                ),
            }
        }
        rounds(ways, started, |way| self.sample(way))
    }
}

/// From slices to a vector.
pub(crate) struct Trips<'a, E> {
    work: &'a Workload,
    data: &'a Data<E>,
    device: Device,
}

impl<'a, E: Element> Trips<'a, E> {
    pub(crate) fn new(work: &'a Workload, data: &'a Data<E>, gpu: &Gpu) -> Self {
        let device = Device::Gpu(gpu.clone());
        Self { work, data, device }
    }

    pub(crate) fn time(&self) -> Result<Round> {
        let started = Instant::now();
        let y = self.trip(Way::RoundTrip)?;
        let who = self.device.to_string();
        self.work.confirm(&who, bytemuck::cast_slice(&y))?;
        drop(y);
        self.trip(Way::Transfers)?;
        rounds(&[Way::RoundTrip, Way::Transfers], started, |way| {
            seconds(|| self.trip(way))
        })
    }
}

/// The device's own clock.
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    seconds_per_tick: f64,
}

impl Timer {
    /// None where the device has no timestamps, or such as cannot be.
    pub(crate) fn new(gpu: &Gpu) -> Result<Option<Self>> {
        let needed = wgpu::Features::TIMESTAMP_QUERY;
        if !gpu.device().features().contains(needed) {
            return Ok(None);
        }
        let buffer = |usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu_elu.bench.timer"),
                size: Self::SIZE,
                usage,
                mapped_at_creation: false,
            })
        };
        let timer = Self {
            queries: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgpu_elu.bench.timer"),
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

// ---- Internals ----

const TRIES: usize = 100;

impl OnGpu<'_> {
    /// The seconds that `way` takes, once. Some devices' timestamps are wrong now and then.
    fn sample(&self, way: Way) -> Result<f64> {
        for _ in 0..TRIES {
            let start = Instant::now();
            let seconds = self.sample_once(way)?;
            if seconds > 0.0 && seconds <= start.elapsed().as_secs_f64() {
                return Ok(seconds);
            }
        }
        let device = &self.device;
        bail!(
            "{device}: its timestamps were zero or longer than the wait, {TRIES} times in a row, so nothing is timed"
        )
    }

    fn sample_once(&self, way: Way) -> Result<f64> {
        let timer = self.timer.filter(|_| way != Way::SubmitAndWait);
        let start = Instant::now();
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if way == Way::BufferCopy {
            match timer {
                Some(timer) => timer.around(&mut encoder, |encoder| self.copy_buffers(encoder))?,
                None => self.copy_buffers(&mut encoder)?,
            }
        } else {
            let mut pass = match timer {
                Some(timer) => timer.pass(&mut encoder, Some(0), Some(1)),
                None => encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
            };
            match way {
                Way::ShaderCopy => self.copy.record(&mut pass),
                _ => self.step.record(&mut pass),
            }
        }
        if let Some(timer) = timer {
            timer.finish(&mut encoder);
        }
        self.gpu.queue().submit([encoder.finish()]);
        self.device.wait_blocking()?;
        match timer {
            Some(timer) => timer.read(&self.device),
            None => Ok(start.elapsed().as_secs_f64()),
        }
    }

    fn copy_buffers(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        // With a gradient, half as many bytes again are read, and written.
        let y = slice(&self.y)?;
        for (from, part) in [(Some(&self.x), 1), (self.grad.as_ref(), 2)] {
            if let Some(from) = from {
                let from = slice(from)?;
                let size = from.size() / part;
                let size = size - size % wgpu::COPY_BUFFER_ALIGNMENT;
                encoder.copy_buffer_to_buffer(
                    from.buffer(),
                    from.offset(),
                    y.buffer(),
                    y.offset(),
                    size,
                );
            }
        }
        Ok(())
    }
}

impl<E: Element> Trips<'_, E> {
    fn trip(&self, way: Way) -> Result<Vec<E>> {
        let up = |values: &[E]| Tensor::from_slice(&self.device, values, &[values.len()]);
        let (elu, mut x) = (Elu::from(self.work.factors), up(&self.data.x)?);
        let computes = way == Way::RoundTrip;
        let y = if self.work.op.has_grad() {
            let mut grad = up(&self.data.grad)?;
            match self.work.op {
                _ if !computes => {}
                Op::BackwardFromOutput => elu.backward_from_output_in_place(&x, &mut grad)?,
                _ => elu.backward_in_place(&x, &mut grad)?,
            }
            grad
        } else {
            if computes {
                elu.forward_in_place(&mut x)?;
            }
            x
        };
        Ok(y.to_vec_blocking()?)
    }
}

impl Timer {
    /// Two timestamps.
    const SIZE: u64 = 2 * wgpu::QUERY_SIZE as u64;

    /// Whether work takes some time by the timestamps, and no more than the caller waits for it.
    fn agrees_with_the_clock(&self, gpu: &Gpu) -> Result<bool> {
        let cleared = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu_elu.bench.timer"),
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

    /// Timestamps before and after work outside of passes, by two passes that do nothing: in an encoder they would need one
    /// more feature.
    fn around<T>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        work: impl FnOnce(&mut wgpu::CommandEncoder) -> T,
    ) -> T {
        drop(self.pass(encoder, None, Some(0)));
        let result = work(encoder);
        drop(self.pass(encoder, Some(1), None));
        result
    }

    /// A pass that writes these timestamps at its ends.
    fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        beginning: Option<u32>,
        end: Option<u32>,
    ) -> wgpu::ComputePass<'a> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu_elu.bench.timer"),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: beginning,
                end_of_pass_write_index: end,
            }),
        })
    }

    fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, Self::SIZE);
    }

    /// The seconds between the timestamps, once all work is done.
    fn read(&self, device: &Device) -> Result<f64> {
        // If it fails, there is no range to get.
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

/// Whether `y` is what that copy makes of `data`.
fn is_copy<E: Element>(way: Way, data: &Data<E>, y: &[u8]) -> bool {
    let (x, grad) = (
        bytemuck::cast_slice(&data.x),
        bytemuck::cast_slice(&data.grad),
    );
    let half = grad.len() / 2;
    // Either leaves out an end that is less than it takes at a time.
    let whole = y.len() - y.len() % 16;
    match way {
        Way::ShaderCopy if !grad.is_empty() => {
            let differs = |(&x, &grad): (&u8, &u8)| x ^ grad;
            x.iter()
                .zip(grad)
                .map(differs)
                .take(whole)
                .eq(y[..whole].iter().copied())
        }
        Way::BufferCopy if !grad.is_empty() => {
            y[..half - half % 4] == grad[..half - half % 4] && y[half..whole] == x[half..whole]
        }
        _ => y[..whole] == x[..whole],
    }
}

fn slice(tensor: &Tensor) -> Result<wgpu::BufferSlice<'_>> {
    tensor
        .as_buffer_slice()
        .context("a tensor is not on the GPU")
}
