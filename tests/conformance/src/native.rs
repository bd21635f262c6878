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

/// Returns the number of steps from `a` to `b` between neighbouring numbers of the dtype. Both zeros are one number,
/// and so are all NaNs.
pub fn steps(dtype: DType, a: u64, b: u64) -> u64 {
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

/// Returns a device for every adapter, with all features and limits of the adapter.
///
/// `WGPU_ELU_GPU=require` fails if there are none, `skip` returns none, and the default `auto` returns those that
/// exist.
pub fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        listen_to_wgpu();
        let wish = std::env::var("WGPU_ELU_GPU").unwrap_or_else(|_| "auto".into());
        assert!(
            ["require", "skip", "auto"].contains(&wish.as_str()),
            "WGPU_ELU_GPU={wish}: needed require, skip or auto"
        );
        // Detailed log messages are needed only once, to detect a missing validation layer. Only `require` insists on
        // the layer.
        log::set_max_level(log::LevelFilter::Debug);
        let adapters = if wish == "skip" {
            Vec::new()
        } else {
            block_on(device::adapters())
        };
        log::set_max_level(log::LevelFilter::Warn);
        if wish != "require" {
            COMPLAINTS.lock().unwrap().clear();
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
            wish != "require" || !gpus.is_empty(),
            "WGPU_ELU_GPU=require, but wgpu finds no adapter"
        );
        if gpus.is_empty() {
            announce(&format!(
                "SKIPPED: everything that needs a GPU (WGPU_ELU_GPU={wish}, no adapter)"
            ));
        } else {
            announce(&format!("GPU tests run on: {}", names.join(", ")));
        }
        gpus
    })
}

/// Panics if wgpu logged a warning or an error.
pub fn no_complaints() {
    let complaints = COMPLAINTS.lock().unwrap().join("\n");
    assert_eq!(complaints, "", "wgpu complained");
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

pub fn adapter_of(gpu: &Gpu) -> wgpu::Adapter {
    block_on(device::adapters())
        .into_iter()
        .find(|adapter| adapter.get_info() == *gpu.info())
        .expect("the adapter is gone")
}

/// Creates another device on the same adapter, as a host does that lends it.
pub fn lent<'a>(
    gpu: &Gpu,
    descriptor: impl Fn(&wgpu::Adapter) -> wgpu::DeviceDescriptor<'a>,
) -> Gpu {
    let adapter = adapter_of(gpu);
    let (device, queue) = block_on(adapter.request_device(&descriptor(&adapter))).unwrap();
    Gpu::from_wgpu(&device, &queue)
}

/// Creates another device on the same adapter, with other limits and without features.
pub fn with_limits(gpu: &Gpu, limits: impl Fn(wgpu::Limits) -> wgpu::Limits) -> Gpu {
    lent(gpu, |adapter| wgpu::DeviceDescriptor {
        required_limits: limits(adapter.limits()),
        ..wgpu::DeviceDescriptor::default()
    })
}

/// Creates a device without a driver: buffers, copies and validation work, but dispatches do nothing.
pub fn noop(limits: wgpu::Limits) -> Gpu {
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    Gpu::from_wgpu(&device, &queue)
}

/// Creates two such devices from one instance, so that wgpu can distinguish their objects.
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

/// Writes past the test harness, which does not show the output of passing tests.
#[expect(clippy::explicit_write, reason = "eprintln! is what the harness keeps")]
pub fn announce(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

/// wgpu's warnings and errors. `scripts/test` looks for the messages of the validation layer.
static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The message of wgpu, at debug level, if there is no validation layer. Without this check the tests would miss its
/// errors.
const NO_LAYER: &str = "unable to find layer";

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
            // EGL reports that it finds neither a display nor a hardware driver.
            let serious =
                record.level() <= log::Level::Warn && record.target() != "wgpu_hal::gles::egl";
            if self.enabled(record.metadata()) && (serious || text.contains(NO_LAYER)) {
                announce(&text);
                COMPLAINTS.lock().unwrap().push(text);
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&Listener).expect("the tests set the only logger");
}
