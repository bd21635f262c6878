//! Compares the speed of GPU and CPU for several sizes, while the window stays responsive. The comparison runs in a
//! thread, or in an asynchronous task in a browser. If no GPU can compute, it measures the CPU alone.

use std::{ops::AsyncFnMut, sync::Arc};

use eframe::{
    egui::{Context, mutex::Mutex},
    egui_wgpu::RenderState,
    wgpu,
};
use web_time::{Duration, Instant};
use wgpu_elu::{DType, Device, Elu, Gpu, Step, Tensor, cpu, reference};

use crate::timer::Timer;

/// The numbers of elements, as exponents of 2.
pub(crate) const POWERS: [u32; 8] = [10, 12, 14, 16, 18, 20, 22, 24];
/// The time for each measurement and size. A measurement ends earlier if it has `SAMPLES` samples.
const TIME: Duration = Duration::from_millis(250);
/// The largest number of samples.
const SAMPLES: usize = 51;
/// The smallest number of samples, however long they take.
const MIN_SAMPLES: usize = 3;
/// The smallest number of elements that the CPU path processes per sample, because some clocks (such as those of
/// browsers) have low resolution.
const CPU_ELEMENTS: usize = 1 << 22;
/// The shortest duration in seconds of a timed pass, because browsers round timestamps to 0.1 ms.
const MIN_PASS: f64 = if cfg!(target_arch = "wasm32") {
    2e-3
} else {
    0.0
};
/// The number of different inputs.
const DISTINCT: u32 = 4001;

/// A way to compute ELU that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measurement {
    Cpu,
    Kernel,
    SubmitAndWait,
    RoundTrip,
}

impl Measurement {
    pub(crate) const ALL: [Self; 4] = [
        Self::Cpu,
        Self::Kernel,
        Self::SubmitAndWait,
        Self::RoundTrip,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU path",
            Self::Kernel => "GPU kernel alone",
            Self::SubmitAndWait => "GPU submit and wait",
            Self::RoundTrip => "GPU round trip",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Cpu if cpu::threads() == 1 => "SIMD, on one core",
            Self::Cpu => "SIMD, on all cores for long slices",
            Self::Kernel => "measured with GPU timestamps",
            Self::SubmitAndWait => "the data stays on the GPU",
            Self::RoundTrip => "the data is copied to the GPU and back",
        }
    }
}

/// The medians for one size in seconds, in the order of [`Measurement::ALL`].
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) elements: usize,
    pub(crate) seconds: [Option<f64>; Measurement::ALL.len()],
}

impl Row {
    /// Returns the bytes read and written per second, in units of 10^9.
    pub(crate) fn gb_per_s(&self, measurement: Measurement) -> Option<f64> {
        let bytes = (2 * size_of::<f32>() * self.elements) as f64;
        let speed = bytes / self.seconds[measurement as usize]? * 1e-9;
        speed.is_finite().then_some(speed)
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

/// The state of a comparison, and its results so far.
#[derive(Clone, Default)]
pub(crate) struct Results {
    pub(crate) state: State,
    pub(crate) rows: Vec<Row>,
}

impl Results {
    /// Returns the progress, from 0 to 1.
    pub(crate) fn progress(&self) -> f32 {
        self.rows.len() as f32 / POWERS.len() as f32
    }

    /// Returns the smallest size from which on `measurement` is faster than the CPU path at every size.
    pub(crate) fn wins_from(&self, measurement: Measurement) -> Option<usize> {
        let wins = |row: &&Row| {
            let [cpu, other] = [Measurement::Cpu, measurement]
                .map(|measurement| row.seconds[measurement as usize]);
            other.zip(cpu).is_some_and(|(other, cpu)| other < cpu)
        };
        let smallest = self.rows.iter().rev().take_while(wins).last();
        smallest.map(|row| row.elements)
    }
}

pub(crate) struct Comparison {
    /// `None` if no GPU can compute.
    gpu: Option<RenderState>,
    results: Arc<Mutex<Results>>,
}

impl Comparison {
    pub(crate) fn new(gpu: Option<&RenderState>) -> Self {
        Self {
            gpu: gpu.cloned(),
            results: Arc::default(),
        }
    }

    pub(crate) fn has_gpu(&self) -> bool {
        self.gpu.is_some()
    }

    pub(crate) fn results(&self) -> Results {
        self.results.lock().clone()
    }

    pub(crate) fn start(&self, context: &Context) {
        *self.results.lock() = Results {
            state: State::Running,
            rows: Vec::new(),
        };
        let (results, context, gpu) = (self.results.clone(), context.clone(), self.gpu.clone());
        let work = async move || {
            let running = Running { results, context };
            let compared = compare(gpu, |row| running.add(row)).await;
            running.end(match compared {
                Ok(()) => State::Done,
                Err(error) => State::Failed(error),
            });
        };
        #[cfg(target_arch = "wasm32")]
        wasm_bindgen_futures::spawn_local(async move { work().await });
        #[cfg(not(target_arch = "wasm32"))]
        std::thread::spawn(move || pollster::block_on(work()));
    }
}

// ---- Internals ----

type Result<T> = std::result::Result<T, String>;

/// A running comparison. If it is dropped before its end, for example by a panic, it is reported as failed.
struct Running {
    results: Arc<Mutex<Results>>,
    context: Context,
}

impl Running {
    fn add(&self, row: Row) {
        self.results.lock().rows.push(row);
        self.context.request_repaint();
    }

    fn end(&self, state: State) {
        self.results.lock().state = state;
        self.context.request_repaint();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.results.lock().state, State::Running) {
            self.end(State::Failed(
                "The comparison has stopped unexpectedly.".into(),
            ));
        }
    }
}

async fn compare(gpu: Option<RenderState>, mut add: impl FnMut(Row)) -> Result<()> {
    let devices = match &gpu {
        Some(state) => {
            let device = Device::from(Gpu::from_wgpu(&state.device, &state.queue));
            let timed_device = timed_device(state, &device).await.map_err(describe)?;
            Some([device, timed_device])
        }
        None => None,
    };
    for power in POWERS {
        let elements = 1 << power;
        let values: Vec<f32> = values().take(elements).collect();
        let mut seconds = [Some(on_cpu(&values).await?), None, None, None];
        if let Some([device, timed_device]) = &devices {
            seconds[1..].copy_from_slice(&on_gpu(device, timed_device, &values).await?);
        }
        add(Row { elements, seconds });
    }
    Ok(())
}

/// Returns the device whose timestamps measure the kernel. It is a second device, because of lavapipe: once a device
/// has drawn, lavapipe writes the timestamps of its compute-only submissions too late, at the end of the work. In a
/// browser and with GL it is the window's device: in a browser an adapter creates only one device, and with two GL
/// devices the window stays black.
async fn timed_device(state: &RenderState, device: &Device) -> wgpu_elu::Result<Device> {
    match state.adapter.get_info().backend {
        wgpu::Backend::BrowserWebGpu | wgpu::Backend::Gl => Ok(device.clone()),
        _ => Device::from_adapter(&state.adapter).await,
    }
}

/// The buffers and the step for submissions whose data stays on the GPU.
struct Resident {
    gpu: Gpu,
    y: Tensor,
    step: Step,
}

impl Resident {
    fn new(device: &Device, values: &[f32]) -> Result<Self> {
        let shape = [values.len()];
        let x = Tensor::from_slice(device, values, &shape).map_err(describe)?;
        let y = Tensor::zeros(device, DType::F32, &shape).map_err(describe)?;
        let (Device::Gpu(gpu), Some(x_bytes), Some(y_bytes)) =
            (device, x.as_buffer_slice(), y.as_buffer_slice())
        else {
            return Err("the device is not a GPU".into());
        };
        let kernel = gpu.kernel(DType::F32).map_err(describe)?;
        let step = kernel.prepare(1.0, x_bytes, y_bytes).map_err(describe)?;
        let gpu = gpu.clone();
        Ok(Self { gpu, y, step })
    }

    /// Records the step `times` times in one pass, submits it, and waits for its end.
    async fn submit(&self, times: u32, timer: Option<&Timer>) -> Result<()> {
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("comparison"),
            timestamp_writes: timer.map(Timer::writes),
        });
        for _ in 0..times {
            self.step.record(&mut pass);
        }
        drop(pass);
        if let Some(timer) = timer {
            timer.finish(&mut encoder);
        }
        self.gpu.queue().submit([encoder.finish()]);
        self.y.device().wait().await.map_err(describe)
    }

    async fn check(&self) -> Result<()> {
        check("GPU", &self.y.to_vec().await.map_err(describe)?)
    }
}

/// Measures the CPU path for one size, after checking its results.
async fn on_cpu(values: &[f32]) -> Result<f64> {
    let mut y = vec![0.0; values.len()];
    cpu::forward(1.0, values, &mut y).map_err(describe)?;
    check("CPU", &y)?;
    let repeats = CPU_ELEMENTS.div_ceil(values.len());
    median(async || {
        let start = Instant::now();
        for _ in 0..repeats {
            cpu::forward(1.0, values, &mut y).map_err(describe)?;
        }
        Ok(start.elapsed().as_secs_f64() / repeats as f64)
    })
    .await
}

/// Measures the GPU for one size, after checking its results: the kernel alone, if that is possible, submit and wait,
/// and the round trip.
async fn on_gpu(
    device: &Device,
    timed_device: &Device,
    values: &[f32],
) -> Result<[Option<f64>; 3]> {
    let resident = Resident::new(device, values)?;
    let round_trip = async || {
        let mut x = Tensor::from_slice(device, values, &[values.len()]).map_err(describe)?;
        Elu::new(1.0).forward_in_place(&mut x).map_err(describe)?;
        x.into_vec::<f32>().await.map_err(describe)
    };
    resident.submit(1, None).await?;
    resident.check().await?;
    check("GPU", &round_trip().await?)?;

    let submit_and_wait = async || {
        let start = Instant::now();
        resident.submit(1, None).await?;
        Ok(start.elapsed().as_secs_f64())
    };
    let submit_and_wait = median(submit_and_wait).await?;
    let round_trip = async || {
        let start = Instant::now();
        round_trip().await?;
        Ok(start.elapsed().as_secs_f64())
    };
    let round_trip = median(round_trip).await?;
    let kernel = kernel_alone(timed_device, values).await?;
    Ok([kernel, Some(submit_and_wait), Some(round_trip)])
}

/// Times the kernel alone. Returns `None` if the device has no timestamps, or none that are precise enough.
async fn kernel_alone(device: &Device, values: &[f32]) -> Result<Option<f64>> {
    let resident = Resident::new(device, values)?;
    let (device, queue) = (resident.gpu.device(), resident.gpu.queue());
    let Some(timer) = Timer::new(device, queue) else {
        return Ok(None);
    };
    // wgpu clears the memory of the results before its first use, which must not be timed.
    resident.submit(1, None).await?;
    resident.check().await?;
    let time = async |times| {
        timer.reset();
        resident.submit(times, Some(&timer)).await?;
        timer
            .seconds()
            .ok_or("the device returned no timestamps".to_owned())
    };
    // Doubles the dispatches in a pass until it takes long enough. The loop stops after `TIME`, in case the timestamps
    // do not advance.
    let (start, mut times) = (Instant::now(), 1);
    while time(times).await? < MIN_PASS && start.elapsed() < TIME {
        times *= 2;
    }
    let seconds = median(async || time(times).await).await? / f64::from(times);
    Ok((seconds > 0.0).then_some(seconds))
}

fn describe(error: wgpu_elu::Error) -> String {
    error.to_string()
}

/// Returns the median of several samples.
async fn median(mut sample: impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
    let (start, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < SAMPLES && (samples.len() < MIN_SAMPLES || start.elapsed() < TIME) {
        samples.push(sample().await?);
        // In a browser, the same thread computes and draws the window.
        #[cfg(target_arch = "wasm32")]
        crate::web::next_task().await;
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[samples.len() / 2])
}

/// Returns the inputs of ELU: the numbers from -2.5 to 1.5 in steps of 0.001, in a scattered order that repeats
/// endlessly. Every number occurs, because 3919 and `DISTINCT` have no common factor.
fn values() -> impl Iterator<Item = f32> + Clone {
    (0..DISTINCT)
        .map(|i| ((i * 3919) % DISTINCT) as f32 / 1000.0 - 2.5)
        .cycle()
}

/// Checks that the results are within 1 ULP, as `elu check` does.
fn check(device: &str, y: &[f32]) -> Result<()> {
    let exact: Vec<(f64, f64)> = values()
        .take(DISTINCT as usize)
        .map(|x| {
            let exact = reference::elu(x.into(), 1.0);
            let nearest = (exact as f32).abs();
            (exact, f64::from(nearest.next_up() - nearest))
        })
        .collect();
    let mut compared = std::iter::zip(values(), exact.iter().cycle()).zip(y);
    let wrong = compared.find(|((_, (exact, ulp)), y)| {
        let error = (f64::from(**y) - exact).abs();
        error.is_nan() || error > *ulp
    });
    match wrong {
        Some(((x, _), y)) => Err(format!(
            "{device}: ELU of {x} is off by more than 1 ULP: {y}"
        )),
        None => Ok(()),
    }
}
