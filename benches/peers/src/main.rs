//! Measures ELU by this crate, by burn-wgpu and by candle on the same numbers in one process, each next to a copy of
//! the same number of bytes.
//!
//! `cargo run --release [-- ELEMENTS...]` in this folder prints a Markdown table. `WGPU_ADAPTER_NAME` selects this
//! crate's adapter, and `CUBECL_WGPU_DEFAULT_DEVICE` selects burn's. `--no-default-features` builds burn without
//! fusion.

use std::{hint::black_box, time::Instant};

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device as BurnDevice, DeviceKind, Tensor as BurnTensor, activation};
use candle_core::{Device as CandleDevice, Tensor as CandleTensor};
use elu_cli::timing::{CpuCopy, ShaderCopy, random_inputs, rounds, seconds};
use wgpu_elu::{DType, Device, Elu, Gpu, Step, Tensor, cpu, device::Request, reference, wgpu};

const ALPHA: f64 = 1.0;

fn main() -> Result<()> {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|size| size.parse())
        .collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() {
        vec![1 << 20, 1 << 24]
    } else {
        sizes
    };
    let request = match Request::from_env()? {
        Request::Auto => Request::Gpu,
        named => named,
    };
    let (device, _) = Device::select_blocking(&request)?;
    let Device::Gpu(gpu) = &device else {
        anyhow::bail!("no GPU adapter");
    };
    let burn = BurnDevice::wgpu(DeviceKind::DefaultDevice);
    println!(
        "float32, alpha {ALPHA}; CPU: {}; this crate's GPU: {device}; burn's: {:?}\n",
        Device::Cpu,
        burn.identity()
    );
    println!(
        "| elements | measurement | median | quartiles | GB/s | largest error | copy | share of its speed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for len in sizes {
        let x = random_inputs(len);
        let mut bench = Bench::new(&x, &device, gpu, &burn)?;
        let started = Instant::now();
        let mut errors = Vec::new();
        for measurement in Measurement::ALL {
            errors.push(
                bench
                    .error(measurement)
                    .with_context(|| measurement.name())?,
            );
        }
        let results = rounds(&Measurement::ALL, started, |measurement| {
            bench.sample(measurement)
        })?;
        for ((measurement, stats), error) in results.iter().zip(errors) {
            // The fastest copy is the ceiling.
            let copy = results
                .iter()
                .filter(|(copy, _)| measurement.copies().contains(copy))
                .min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
            let [copy_name, share] = match copy {
                Some((copy, copied)) => [
                    copy.name().into(),
                    format!("{:.2}", copied.median / stats.median),
                ],
                None => ["".into(), "".into()],
            };
            println!(
                "| {len} | {} | {:.3} ms | {:.3}..{:.3} | {:.2} | {error:.1e} | {copy_name} | {share} |",
                measurement.name(),
                stats.median * 1e3,
                stats.first_quartile * 1e3,
                stats.third_quartile * 1e3,
                (2 * 4 * len) as f64 / stats.median / 1e9,
            );
        }
        let median = |wanted| {
            results
                .iter()
                .find(|(measurement, _)| *measurement == wanted)
                .map_or(f64::NAN, |(_, stats)| stats.median)
        };
        eprintln!(
            "{len}: burn-wgpu takes {:.1} times as long as the kernel",
            median(Measurement::Burn) / median(Measurement::Kernel)
        );
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measurement {
    /// Writes into an existing slice.
    Cpu,
    /// Creates a new tensor each time.
    Candle,
    CpuCopy(CpuCopy),
    /// Records, submits and waits. Writes into an existing buffer.
    Kernel,
    /// Creates a new tensor each time.
    Tensor,
    Burn,
    ShaderCopy,
    BufferCopy,
}

impl Measurement {
    const ALL: [Self; 9] = [
        Self::Cpu,
        Self::Candle,
        Self::CpuCopy(CpuCopy::Memcpy),
        Self::CpuCopy(CpuCopy::Loop),
        Self::Kernel,
        Self::Tensor,
        Self::Burn,
        Self::ShaderCopy,
        Self::BufferCopy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "wgpu-elu, CPU path",
            Self::Candle => "candle, CPU",
            Self::CpuCopy(CpuCopy::Memcpy) => "memcpy on all threads",
            Self::CpuCopy(CpuCopy::Loop) => "a loop that copies, on all threads",
            Self::Kernel => "wgpu-elu, kernel, submit and wait",
            Self::Tensor => "wgpu-elu, `Elu::forward`, wait",
            Self::Burn if cfg!(feature = "fusion") => "burn-wgpu with fusion, `elu`, sync",
            Self::Burn => "burn-wgpu without fusion, `elu`, sync",
            Self::ShaderCopy => "copy by a shader",
            Self::BufferCopy => "buffer copy",
        }
    }

    /// Returns the copies to compare with; none for a copy.
    fn copies(self) -> &'static [Self] {
        match self {
            Self::Cpu | Self::Candle => {
                &[Self::CpuCopy(CpuCopy::Memcpy), Self::CpuCopy(CpuCopy::Loop)]
            }
            Self::Kernel | Self::Tensor | Self::Burn => &[Self::ShaderCopy],
            Self::CpuCopy(_) | Self::ShaderCopy | Self::BufferCopy => &[],
        }
    }
}

struct Bench<'a> {
    x: &'a [f32],
    y: Vec<f32>,
    device: &'a Device,
    gpu: &'a Gpu,
    gpu_x: Tensor,
    gpu_y: Tensor,
    step: Step,
    copy: ShaderCopy,
    candle_x: CandleTensor,
    burn: &'a BurnDevice,
    burn_x: BurnTensor<1>,
}

impl<'a> Bench<'a> {
    fn new(x: &'a [f32], device: &'a Device, gpu: &'a Gpu, burn: &'a BurnDevice) -> Result<Self> {
        let gpu_x = Tensor::from_slice(device, x, &[x.len()])?;
        let gpu_y = Tensor::zeros(device, DType::F32, &[x.len()])?;
        let (x_bytes, y_bytes) = (slice(&gpu_x)?, slice(&gpu_y)?);
        let step = gpu.kernel(DType::F32)?.prepare(ALPHA, x_bytes, y_bytes)?;
        let copy = ShaderCopy::new(gpu, x_bytes, None, y_bytes);
        Ok(Self {
            x,
            y: vec![0.0; x.len()],
            device,
            gpu,
            step,
            copy,
            candle_x: CandleTensor::from_slice(x, x.len(), &CandleDevice::Cpu)?,
            burn,
            burn_x: BurnTensor::from_floats(x, burn),
            gpu_x,
            gpu_y,
        })
    }

    /// Returns the largest error of the results, after a check that it is small. A copy must equal its source.
    fn error(&mut self, measurement: Measurement) -> Result<f64> {
        let y = match measurement {
            Measurement::Cpu | Measurement::CpuCopy(_) => {
                self.sample(measurement)?;
                self.y.clone()
            }
            Measurement::Candle => self.candle_x.elu(ALPHA)?.to_vec1()?,
            Measurement::Tensor => Elu::new(ALPHA).forward(&self.gpu_x)?.to_vec_blocking()?,
            Measurement::Burn => {
                let y = activation::elu(self.burn_x.clone(), ALPHA).into_data();
                y.try_to_vec()?
            }
            Measurement::Kernel | Measurement::ShaderCopy | Measurement::BufferCopy => {
                self.sample(measurement)?;
                self.gpu_y.to_vec_blocking()?
            }
        };
        let is_copy = measurement.copies().is_empty();
        let exact = |x: f32| {
            if is_copy {
                x.into()
            } else {
                reference::elu(x.into(), ALPHA)
            }
        };
        let errors = self
            .x
            .iter()
            .zip(&y)
            .map(|(&x, &y)| (f64::from(y) - exact(x)).abs());
        let largest = errors.fold(0.0, f64::max);
        let bound = if is_copy { 0.0 } else { 1e-6 };
        ensure!(
            y.len() == self.x.len() && largest <= bound,
            "{} results with errors up to {largest:e}; needed {} with errors up to {bound:e}",
            y.len(),
            self.x.len()
        );
        Ok(largest)
    }

    /// Returns the seconds that one run takes.
    fn sample(&mut self, measurement: Measurement) -> Result<f64> {
        let Self {
            x,
            y,
            device,
            gpu,
            gpu_x,
            gpu_y,
            step,
            copy,
            candle_x,
            burn,
            burn_x,
        } = self;
        match measurement {
            Measurement::Cpu => seconds(|| Ok(cpu::forward(ALPHA, black_box(x), y)?)),
            Measurement::CpuCopy(copy) => seconds(|| {
                copy.run(black_box(x), y);
                Ok(())
            }),
            Measurement::Candle => seconds(|| Ok(candle_x.elu(ALPHA)?)),
            Measurement::Tensor => seconds(|| {
                let y = Elu::new(ALPHA).forward(gpu_x)?;
                device.wait_blocking()?;
                Ok(y)
            }),
            Measurement::Burn => seconds(|| {
                let y = activation::elu(burn_x.clone(), ALPHA);
                burn.sync().map_err(|error| anyhow::anyhow!("{error:?}"))?;
                Ok(y)
            }),
            Measurement::Kernel | Measurement::ShaderCopy | Measurement::BufferCopy => {
                seconds(|| {
                    let mut encoder = gpu
                        .device()
                        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                    if measurement == Measurement::BufferCopy {
                        let (x, y) = (slice(gpu_x)?, slice(gpu_y)?);
                        encoder.copy_buffer_to_buffer(
                            x.buffer(),
                            x.offset(),
                            y.buffer(),
                            y.offset(),
                            x.size(),
                        );
                    } else {
                        let mut pass =
                            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                        match measurement {
                            Measurement::Kernel => step.record(&mut pass),
                            _ => copy.record(&mut pass),
                        }
                    }
                    gpu.queue().submit([encoder.finish()]);
                    Ok(device.wait_blocking()?)
                })
            }
        }
    }
}

fn slice(tensor: &Tensor) -> Result<wgpu::BufferSlice<'_>> {
    tensor
        .as_buffer_slice()
        .context("a tensor is not on the GPU")
}
