//! Measurements on a GPU.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use wgpu_elu::{Device, Element, Gpu, Step, Tensor, wgpu};

use super::{
    measurement::{Measurement, Measurements},
    workload::{Data, Workload, gradient},
};
use crate::timing::{ShaderCopy, Timer, rounds, seconds};

/// The workload with tensors that are already on the GPU.
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
    /// Uploads `data`, and prepares the kernel and the shader that copies.
    pub(crate) fn new<E: Element>(
        work: &'a Workload,
        data: &Data<E>,
        gpu: &'a Gpu,
        timer: Option<&'a Timer>,
    ) -> Result<Self> {
        let device = Device::Gpu(gpu.clone());
        let upload = |values: &[E]| Tensor::from_slice(&device, values, &[values.len()]);
        let x = upload(&data.x)?;
        let grad = (!data.grad.is_empty())
            .then(|| upload(&data.grad))
            .transpose()?;
        let y = Tensor::zeros(&device, work.dtype, &[x.len()])?;
        let (x_bytes, y_bytes) = (slice(&x)?, slice(&y)?);
        let grad_bytes = grad.as_ref().map(slice).transpose()?;
        let copy = ShaderCopy::new(gpu, x_bytes, grad_bytes, y_bytes);
        let kernel = gpu.kernel(work.dtype)?;
        let step = kernel.prepare_op(work.op, work.elu, x_bytes, grad_bytes, y_bytes)?;
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

    /// Checks the results, and measures the kernel and the copies. `data` must be the data that was uploaded.
    pub(crate) fn time<E: Element>(&self, data: &Data<E>) -> Result<Measurements> {
        let started = Instant::now();
        let measurements: &[Measurement] = if self.timer.is_some() {
            &[
                Measurement::Kernel,
                Measurement::SubmitAndWait,
                Measurement::ShaderCopy,
                Measurement::BufferCopy,
            ]
        } else {
            &[
                Measurement::SubmitAndWait,
                Measurement::ShaderCopy,
                Measurement::BufferCopy,
            ]
        };
        for &measurement in measurements {
            self.clear_output()?; // it holds the previous result, which may be the same
            self.sample(measurement)?;
            let (device, y) = (self.device.to_string(), self.y.to_bytes_blocking()?);
            match measurement {
                Measurement::Kernel | Measurement::SubmitAndWait => {
                    self.work.confirm(&device, &y)?
                }
                _ => ensure!(
                    is_copy(measurement, data, &y),
                    "{device}: a copy differs from its source, so nothing is timed"
                ),
            }
        }
        rounds(measurements, started, |measurement| {
            self.sample(measurement)
        })
    }
}

/// The workload with round trips from slices in the memory of the CPU to a vector there.
pub(crate) struct RoundTrips<'a, E> {
    work: &'a Workload,
    data: &'a Data<E>,
    device: Device,
}

impl<'a, E: Element> RoundTrips<'a, E> {
    pub(crate) fn new(work: &'a Workload, data: &'a Data<E>, gpu: &Gpu) -> Self {
        let device = Device::Gpu(gpu.clone());
        Self { work, data, device }
    }

    /// Checks the results, and measures round trips with and without the kernel.
    pub(crate) fn time(&self) -> Result<Measurements> {
        let started = Instant::now();
        let y = self.trip(Measurement::RoundTrip)?;
        let device = self.device.to_string();
        self.work.confirm(&device, bytemuck::cast_slice(&y))?;
        drop(y);
        self.trip(Measurement::Transfers)?;
        rounds(
            &[Measurement::RoundTrip, Measurement::Transfers],
            started,
            |measurement| seconds(|| self.trip(measurement)),
        )
    }
}

// ---- Internals ----

/// The number of attempts to get valid timestamps for one sample.
const TRIES: usize = 100;

impl OnGpu<'_> {
    /// Runs `measurement`, and returns its time in seconds. Some devices occasionally report wrong timestamps, so this
    /// function runs it again, at most [`TRIES`] times in all, while the time is 0 or is longer than the CPU waited.
    fn sample(&self, measurement: Measurement) -> Result<f64> {
        for _ in 0..TRIES {
            let start = Instant::now();
            let seconds = self.sample_once(measurement)?;
            if seconds > 0.0 && seconds <= start.elapsed().as_secs_f64() {
                return Ok(seconds);
            }
        }
        let device = &self.device;
        bail!(
            "{device}: its timestamps were not in order or too far apart, {TRIES} times in a row, so nothing is timed"
        )
    }

    /// Runs `measurement` once, and returns its time in seconds. If the device has timestamps, they measure the time,
    /// except for submit and wait, which the CPU's clock always measures.
    fn sample_once(&self, measurement: Measurement) -> Result<f64> {
        let timer = self
            .timer
            .filter(|_| measurement != Measurement::SubmitAndWait);
        let start = Instant::now();
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if measurement == Measurement::BufferCopy {
            match timer {
                Some(timer) => timer.around(&mut encoder, |encoder| self.copy_buffers(encoder))?,
                None => self.copy_buffers(&mut encoder)?,
            }
        } else {
            let mut pass = match timer {
                Some(timer) => timer.pass(&mut encoder, Some(0), Some(1)),
                None => encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
            };
            match measurement {
                Measurement::ShaderCopy => self.copy.record(&mut pass),
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

    /// Fills `y` with zeros.
    fn clear_output(&self) -> Result<()> {
        let y = slice(&self.y)?;
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(y.buffer(), y.offset(), Some(y.size()));
        self.gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    /// Records the copy of `x` to `y`, and with a gradient also the copy of half of `grad`. A gradient reads `x` and
    /// `grad` and writes `y`: 3 bytes for every 2 of a plain copy. With half of `grad`, the copies move the same number
    /// of bytes.
    fn copy_buffers(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let y = slice(&self.y)?;
        for (from, divisor) in [(Some(&self.x), 1), (self.grad.as_ref(), 2)] {
            if let Some(from) = from {
                let from = slice(from)?;
                let size = from.size() / divisor;
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

impl<E: Element> RoundTrips<'_, E> {
    /// Uploads the data, runs the kernel in place unless only the transfers are measured, and downloads the result.
    fn trip(&self, measurement: Measurement) -> Result<Vec<E>> {
        let upload = |values: &[E]| Tensor::from_slice(&self.device, values, &[values.len()]);
        let Workload { op, elu, .. } = *self.work;
        let x = upload(&self.data.x)?;
        let grad = gradient(op, &self.data.grad);
        let grad = grad.map(|grad| upload(grad)).transpose()?;
        let (input, mut y) = match grad {
            Some(grad) => (Some(x), grad),
            None => (None, x),
        };
        if measurement == Measurement::RoundTrip {
            elu.apply_in_place(op, input.as_ref(), &mut y)?;
        }
        Ok(y.to_vec_blocking()?)
    }
}

/// Returns whether `y` is the result of the copy `measurement` for `data`.
fn is_copy<E: Element>(measurement: Measurement, data: &Data<E>, y: &[u8]) -> bool {
    let (x, grad) = (
        bytemuck::cast_slice(&data.x),
        bytemuck::cast_slice(&data.grad),
    );
    // The buffer copy writes half of `grad` over the start of `x`. It may omit the last bytes of that half, because its
    // size must be a multiple of 4 bytes.
    let half = grad.len() / 2;
    let whole_words = half - half % 4;
    // Compares only whole vectors of 16 bytes, because the copies may omit an incomplete one at the end.
    let compared = y.len() - y.len() % 16;
    match measurement {
        Measurement::ShaderCopy if !grad.is_empty() => {
            let xor = |(&x, &grad): (&u8, &u8)| x ^ grad;
            x.iter()
                .zip(grad)
                .map(xor)
                .take(compared)
                .eq(y[..compared].iter().copied())
        }
        Measurement::BufferCopy if !grad.is_empty() => {
            y[..whole_words] == grad[..whole_words] && y[half..compared] == x[half..compared]
        }
        _ => y[..compared] == x[..compared],
    }
}

/// Returns the tensor's bytes on the GPU.
fn slice(tensor: &Tensor) -> Result<wgpu::BufferSlice<'_>> {
    tensor
        .as_buffer_slice()
        .context("a tensor is not on the GPU")
}
