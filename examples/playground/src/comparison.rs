//! GPU against CPU on this very machine, by size, while the window stays alive: a thread of its own, in the browser a task.

use std::{ops::AsyncFnMut, sync::Arc};

use eframe::{
    egui::{Context, mutex::Mutex},
    egui_wgpu::RenderState,
    wgpu,
};
use web_time::{Duration, Instant};
use wgpu_elu::{DType, Device, Elu, Gpu, Tensor, cpu, reference};

use crate::timer::Timer;

/// Sizes, as powers of two.
const POWERS: [u32; 8] = [10, 12, 14, 16, 18, 20, 22, 24];
/// For each way and size, unless there are enough samples before.
const TIME: Duration = Duration::from_millis(250);
const SAMPLES: usize = 51;
const LEAST_SAMPLES: usize = 3;

/// How ELU is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Cpu,
    Kernel,
    SubmitAndWait,
    RoundTrip,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self::Cpu,
        Self::Kernel,
        Self::SubmitAndWait,
        Self::RoundTrip,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU path",
            Self::Kernel => "GPU, kernel alone",
            Self::SubmitAndWait => "GPU, submit and wait",
            Self::RoundTrip => "GPU, round trip",
        }
    }
}

/// The medians of one size, in seconds, in the order of [`Way::ALL`].
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) elements: usize,
    pub(crate) seconds: [Option<f64>; Way::ALL.len()],
}

impl Row {
    /// Bytes read and written per second, in units of 10^9.
    pub(crate) fn gb_per_s(&self, way: Way) -> Option<f64> {
        let bytes = (2 * size_of::<f32>() * self.elements) as f64;
        self.seconds[way as usize].map(|seconds| bytes / seconds * 1e-9)
    }
}

#[derive(Clone, Default)]
pub(crate) enum State {
    #[default]
    Idle,
    Running,
    Done,
    Failed(String),
}

/// What has been found so far.
#[derive(Clone, Default)]
pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) rows: Vec<Row>,
}

impl Found {
    /// From 0 to 1.
    pub(crate) fn progress(&self) -> f32 {
        self.rows.len() as f32 / POWERS.len() as f32
    }

    /// The least size from which on that way is faster than the CPU path.
    pub(crate) fn wins_from(&self, way: Way) -> Option<usize> {
        let wins = |row: &&Row| {
            let [cpu, other] = [Way::Cpu, way].map(|way| row.seconds[way as usize]);
            other.zip(cpu).is_some_and(|(other, cpu)| other < cpu)
        };
        let last = self.rows.iter().rev().take_while(wins).last();
        last.map(|row| row.elements)
    }
}

#[derive(Default)]
pub(crate) struct Comparison {
    found: Arc<Mutex<Found>>,
}

impl Comparison {
    pub(crate) fn found(&self) -> Found {
        self.found.lock().clone()
    }

    pub(crate) fn start(&self, state: &RenderState, context: &Context) {
        *self.found.lock() = Found {
            state: State::Running,
            rows: Vec::new(),
        };
        let (found, context) = (self.found.clone(), context.clone());
        let adapter = state.adapter.clone();
        let work = async move || {
            let add = |row| {
                found.lock().rows.push(row);
                context.request_repaint();
            };
            let compared = compare(&adapter, add).await;
            found.lock().state = match compared {
                Ok(()) => State::Done,
                Err(error) => State::Failed(error),
            };
            context.request_repaint();
        };
        #[cfg(target_arch = "wasm32")]
        wasm_bindgen_futures::spawn_local(async move { work().await });
        #[cfg(not(target_arch = "wasm32"))]
        std::thread::spawn(move || pollster::block_on(work()));
    }
}

// ---- Internals ----

type Result<T> = std::result::Result<T, String>;

/// On a device of its own: in between the window's drawing, timestamps tell something else (of lavapipe, when its scenes are
/// drawn).
async fn compare(adapter: &wgpu::Adapter, mut add: impl FnMut(Row)) -> Result<()> {
    let device = own_device(adapter)
        .await
        .map_err(|error| error.to_string())?;
    let Device::Gpu(gpu) = &device else {
        return Err("there is no GPU".into());
    };
    let timer = Timer::new(gpu.device(), gpu.queue());
    for power in POWERS {
        add(row(&device, gpu, timer.as_ref(), 1 << power).await?);
    }
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
async fn own_device(adapter: &wgpu::Adapter) -> wgpu_elu::Result<Device> {
    Device::from_adapter(adapter).await
}

/// A browser's adapter gives one device only.
#[cfg(target_arch = "wasm32")]
async fn own_device(_: &wgpu::Adapter) -> wgpu_elu::Result<Device> {
    Device::gpu().await
}

async fn row(device: &Device, gpu: &Gpu, timer: Option<&Timer>, len: usize) -> Result<Row> {
    let told = |error: wgpu_elu::Error| error.to_string();
    let values: Vec<f32> = (0..len)
        .map(|i| ((i * 7919) % 4001) as f32 / 1000.0 - 2.5)
        .collect();
    let mut on_cpu = vec![0.0; len];
    let x = Tensor::from_slice(device, &values, &[len]).map_err(told)?;
    let y = Tensor::zeros(device, DType::F32, &[len]).map_err(told)?;
    let (Some(x_bytes), Some(y_bytes)) = (x.as_buffer_slice(), y.as_buffer_slice()) else {
        return Err("a tensor is not on the GPU".into());
    };
    let kernel = gpu.kernel(DType::F32).map_err(told)?;
    let step = kernel.prepare(1.0, x_bytes, y_bytes).map_err(told)?;
    let submit = async |timer: Option<&Timer>| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        step.record(
            &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("comparison"),
                timestamp_writes: timer.map(Timer::writes),
            }),
        );
        if let Some(timer) = timer {
            timer.finish(&mut encoder);
        }
        gpu.queue().submit([encoder.finish()]);
        device.wait().await.map_err(told)
    };
    let round_trip = async || {
        let mut x = Tensor::from_slice(device, &values, &[len]).map_err(told)?;
        Elu::new(1.0).forward_in_place(&mut x).map_err(told)?;
        x.into_vec::<f32>().await.map_err(told)
    };

    // What is fast must be right, too.
    cpu::forward(1.0, &values, &mut on_cpu).map_err(told)?;
    submit(None).await?;
    let on_gpu = y.to_vec::<f32>().await.map_err(told)?;
    let and_back = round_trip().await?;
    for (who, y) in [
        ("the CPU", &on_cpu),
        ("the GPU", &on_gpu),
        ("the GPU", &and_back),
    ] {
        check(who, &values, y)?;
    }

    let cpu = median(async || {
        let start = Instant::now();
        let many = (1 << 16) / len + 1; // more than a clock's tick
        for _ in 0..many {
            cpu::forward(1.0, &values, &mut on_cpu).map_err(told)?;
        }
        Ok(start.elapsed().as_secs_f64() / many as f64)
    });
    let cpu = cpu.await?;
    let kernel = match timer {
        Some(timer) => {
            let time = async || {
                timer.reset();
                submit(Some(timer)).await?;
                Ok(timer.seconds().unwrap_or(f64::NAN))
            };
            Some(median(time).await?).filter(|seconds| seconds.is_finite())
        }
        None => None,
    };
    let submit_and_wait = median(async || {
        let start = Instant::now();
        submit(None).await?;
        Ok(start.elapsed().as_secs_f64())
    });
    let submit_and_wait = submit_and_wait.await?;
    let round_trip = median(async || {
        let start = Instant::now();
        round_trip().await?;
        Ok(start.elapsed().as_secs_f64())
    });
    let round_trip = round_trip.await?;
    Ok(Row {
        elements: len,
        seconds: [Some(cpu), kernel, Some(submit_and_wait), Some(round_trip)],
    })
}

/// The median, of numbers only.
async fn median(mut sample: impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.len() < SAMPLES && (all.len() < LEAST_SAMPLES || start.elapsed() < TIME) {
        all.push(sample().await?);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}

/// Within 1 ULP, the same as what `elu check` looks for.
fn check(who: &str, x: &[f32], y: &[f32]) -> Result<()> {
    let is_right = |x: f32, y: f32| {
        let exact = reference::elu(x.into(), 1.0);
        let nearest = (exact as f32).abs();
        (f64::from(y) - exact).abs() <= f64::from(nearest.next_up() - nearest)
    };
    let wrong = x.iter().zip(y).find(|&(&x, &y)| !is_right(x, y));
    match wrong {
        Some((x, y)) => Err(format!("{who} is wrong: ELU of {x} is not {y}")),
        None => Ok(()),
    }
}
