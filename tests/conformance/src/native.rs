//! Native adapters, and blocking versions of the helpers.

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Mutex, OnceLock},
};

use pollster::block_on;
use wgpu_elu::{DType, Device, Gpu, Tensor, device, wgpu};

use crate::everywhere;
pub use crate::everywhere::{TestDevice, check_results, judge, shaped, supports, tensor, varied};
use wgpu_elu::accuracy::{Judge, value};

/// Returns the ULP distance between `a` and `b`: 0 for equal numbers, 1 for neighbouring numbers of the dtype, and so
/// on. Both zeros count as one number, and so do all NaNs. The distance of a NaN from any other number is `u64::MAX`.
pub fn ulp_distance(dtype: DType, a: u64, b: u64) -> u64 {
    let position = |bits: u64| {
        let sign = 1u64 << (8 * dtype.size() - 1);
        let magnitude = i128::from(bits & (sign - 1));
        if bits & sign == 0 {
            magnitude
        } else {
            -magnitude
        }
    };
    match (value(dtype, a).is_nan(), value(dtype, b).is_nan()) {
        (true, true) => 0,
        (false, false) => u64::try_from((position(a) - position(b)).abs()).unwrap(),
        _ => u64::MAX,
    }
}

/// Returns a device for every adapter, as [`Device::from_adapter`] creates it.
///
/// With the environment variable `WGPU_ELU_GPU=require` it panics if there are no adapters, with `skip` it returns no
/// devices, and with `auto`, the default, it uses the adapters that exist.
pub fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        listen_to_wgpu();
        let setting = std::env::var("WGPU_ELU_GPU").unwrap_or_else(|_| "auto".into());
        assert!(
            ["require", "skip", "auto"].contains(&setting.as_str()),
            "WGPU_ELU_GPU must be require, skip or auto, found {setting}"
        );
        // wgpu reports a missing validation layer at debug level, so this level is on while wgpu looks for adapters.
        log::set_max_level(log::LevelFilter::Debug);
        let adapters = if setting == "skip" {
            Vec::new()
        } else {
            block_on(device::adapters())
        };
        log::set_max_level(log::LevelFilter::Warn);
        if setting != "require" {
            // Discards the report of a missing layer, so that only `require` fails without the layer.
            WGPU_MESSAGES.lock().unwrap().clear();
        }
        let gpus: Vec<Gpu> = adapters
            .iter()
            .map(|adapter| gpu(block_on(Device::from_adapter(adapter)).unwrap()))
            .collect();
        let names: Vec<String> = gpus
            .iter()
            .map(|gpu| Device::Gpu(gpu.clone()).to_string())
            .collect();
        assert!(
            setting != "require" || !gpus.is_empty(),
            "WGPU_ELU_GPU=require, but wgpu found no adapter"
        );
        if gpus.is_empty() {
            announce(&format!(
                "SKIPPED: everything that needs a GPU (no adapter found, WGPU_ELU_GPU={setting})"
            ));
        } else {
            announce(&format!("GPU tests run on: {}", names.join(", ")));
        }
        gpus
    })
}

/// Panics if wgpu has logged a warning or an error.
pub fn assert_no_wgpu_messages() {
    let messages = WGPU_MESSAGES.lock().unwrap().join("\n");
    assert_eq!(messages, "", "wgpu logged warnings or errors");
}

/// The blocking version of [`everywhere::on_every_gpu`].
pub fn on_every_gpu(test: impl Fn(&Gpu, &str)) {
    block_on(everywhere::on_every_gpu(async |gpu, name| test(gpu, name)));
}

/// The blocking version of [`everywhere::on_every_device`].
pub fn on_every_device(test: impl Fn(TestDevice<'_>)) {
    block_on(everywhere::on_every_device(async |target| test(target)));
}

/// The blocking version of [`everywhere::bits_of`].
pub fn bits_of(tensor: &Tensor) -> Vec<u64> {
    block_on(everywhere::bits_of(tensor))
}

/// The blocking version of [`everywhere::compute`].
pub fn compute(target: TestDevice<'_>, judge: Judge, x: &[u64], grad: &[u64]) -> Vec<u64> {
    block_on(everywhere::compute(target, judge, x, grad))
}

/// Returns the adapter of a device.
pub fn adapter_of(gpu: &Gpu) -> wgpu::Adapter {
    block_on(device::adapters())
        .into_iter()
        .find(|adapter| adapter.get_info() == *gpu.info())
        .expect("the adapter is gone")
}

/// Creates another device on the same adapter, as a host does that lends its device to this crate.
pub fn host_device<'a>(
    gpu: &Gpu,
    descriptor: impl Fn(&wgpu::Adapter) -> wgpu::DeviceDescriptor<'a>,
) -> Gpu {
    let adapter = adapter_of(gpu);
    let (device, queue) = block_on(adapter.request_device(&descriptor(&adapter))).unwrap();
    Gpu::from_wgpu(&device, &queue)
}

/// Creates another device on the same adapter, with these limits and without optional features. `limits` receives the
/// adapter's limits.
pub fn with_limits(gpu: &Gpu, limits: impl Fn(wgpu::Limits) -> wgpu::Limits) -> Gpu {
    host_device(gpu, |adapter| wgpu::DeviceDescriptor {
        required_limits: limits(adapter.limits()),
        ..wgpu::DeviceDescriptor::default()
    })
}

/// Creates a device without a driver, by wgpu's backend `noop`. Buffers, copies and validation work, but dispatches do
/// nothing.
pub fn noop(limits: wgpu::Limits) -> Gpu {
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    Gpu::from_wgpu(&device, &queue)
}

/// Creates two devices without a driver from one instance, so that wgpu can distinguish their objects.
pub fn noop_pair() -> [Gpu; 2] {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        backend_options: wgpu::BackendOptions {
            noop: wgpu::NoopBackendOptions {
                enable: true,
                ..Default::default()
            },
            ..Default::default()
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter =
        block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
    [(); 2].map(|()| {
        let (device, queue) =
            block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        Gpu::from_wgpu(&device, &queue)
    })
}

/// Returns the GPU of a device.
pub fn gpu(device: Device) -> Gpu {
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu => panic!("needed a GPU, found the CPU"),
    }
}

/// Does what [`announce`] does, but only once for each line.
pub fn announce_once(line: &str) {
    static LINES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if LINES.lock().unwrap().insert(line.to_owned()) {
        announce(line);
    }
}

/// Writes a line to standard error past the test harness, which hides what passing tests print.
#[expect(clippy::explicit_write, reason = "the harness captures eprintln!")]
pub fn announce(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

/// The warnings and errors that wgpu has logged. The messages of the validation layer are not among them: the layer
/// prints them, and `scripts/test` searches the output for them.
static WGPU_MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A part of the message that wgpu logs, at debug level, if the validation layer is not installed. It counts as an
/// error, because the tests would otherwise pass without the layer's checks.
const NO_LAYER: &str = "unable to find layer";

/// Collects wgpu's messages in [`WGPU_MESSAGES`], and prints them.
fn listen_to_wgpu() {
    struct Listener;
    impl log::Log for Listener {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            ["wgpu_hal::vulkan", "wgpu_hal::gles"]
                .iter()
                .any(|backend| metadata.target().starts_with(backend))
        }
        fn log(&self, record: &log::Record<'_>) {
            let text = format!("{} {}: {}", record.level(), record.target(), record.args());
            // EGL warns that it finds neither a display nor a hardware driver, which is not an error here.
            let is_serious =
                record.level() <= log::Level::Warn && record.target() != "wgpu_hal::gles::egl";
            if self.enabled(record.metadata()) && (is_serious || text.contains(NO_LAYER)) {
                announce(&text);
                WGPU_MESSAGES.lock().unwrap().push(text);
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&Listener).expect("the tests set the only logger");
}
