//! Adapters to test on, comparison in ULP, and tables of cases.

use std::{
    io::Write,
    sync::{Mutex, OnceLock},
};

use wgpu_elu::{DType, Device, Elu, Error, Factors, Gpu, Tensor, device, shader::Op, wgpu};

use crate::judge::{Judge, value};

/// A float where something changes: the ends of the formats, of the branches and of the ranges.
pub(crate) const SPECIAL_BITS: [u32; 46] = {
    const POSITIVE: [u32; 23] = [
        0,           // 0
        1,           // the smallest subnormal
        0x0000_0100, // a subnormal
        0x007f_ffff, // the largest subnormal
        0x0080_0000, // the smallest normal
        0x0080_0001, // its neighbour
        0x0d80_0000, // 2^-100
        0x2edb_e6ff, // 1e-10
        0x322b_cc77, // 1e-8
        0x3300_0000, // 2^-25, where expm1(x) stops to round to x
        0x33d6_bf95, // 1e-7
        0x3a83_126f, // 1e-3
        0x3eb1_7217, // just below ln 2 / 2
        0x3eb1_7218, // ln 2 / 2, where the reduction begins
        0x3f31_7218, // ln 2
        0x3f80_0000, // 1
        0x4120_0000, // 10
        0x418a_a123, // 17.33, where the result rounds to -1
        0x4190_0000, // 18, where the shaders clamp
        0x42b2_0000, // 89, where exp overflows
        0x7f7f_ffff, // the largest
        0x7f80_0000, // infinity
        0x7fc0_0001, // NaN
    ];
    let mut all = [0; 46];
    let mut i = 0;
    while i < 23 {
        all[i] = POSITIVE[i];
        all[23 + i] = POSITIVE[i] | 0x8000_0000;
        i += 1;
    }
    all
};

/// Alphas at the ends of everything. All are exact in f32.
pub(crate) fn special_alphas() -> Vec<f32> {
    let positive = [
        1.0,
        0.5,
        0.3,
        1.673_263_2,
        0.0,
        f32::MIN_POSITIVE,
        1e-40,
        1e-30,
        1e30,
        f32::MAX,
        f32::INFINITY,
    ];
    positive
        .into_iter()
        .flat_map(|alpha| [alpha, -alpha])
        .chain([f32::NAN])
        .collect()
}

/// A few numbers of every kind, for tests of where results go rather than what they are.
pub(crate) fn varied(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + 13) % 4001) as f32 / 1000.0 - 2.5)
        .collect()
}

/// Where a test runs.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) device: &'a Device,
    pub(crate) name: &'a str,
}

/// The CPU path and every adapter.
pub(crate) fn on_every_device(test: impl Fn(Place<'_>)) {
    let device = &Device::Cpu;
    test(Place {
        device,
        name: "the CPU",
    });
    on_every_gpu(|gpu, name| {
        let device = &Device::Gpu(gpu.clone());
        test(Place { device, name });
    });
}

/// Whether the device works on these: a GPU may be without `SHADER_F64`, and must then say so.
pub(crate) fn supports(device: &Device, dtype: DType) -> bool {
    match device {
        Device::Gpu(gpu)
            if dtype == DType::F64
                && !gpu.device().features().contains(wgpu::Features::SHADER_F64) =>
        {
            let error = gpu.kernel(dtype).unwrap_err();
            assert!(matches!(
                error,
                Error::MissingFeature {
                    needed: "SHADER_F64",
                    ..
                }
            ));
            assert_eq!(
                error.to_string(),
                "float64 needs the device feature SHADER_F64; the CPU path does without"
            );
            false
        }
        _ => true,
    }
}

/// The judge of what a device computes.
pub(crate) fn judge(place: Place<'_>, op: Op, dtype: DType, factors: impl Into<Factors>) -> Judge {
    Judge {
        op,
        dtype,
        factors: factors.into(),
        on_gpu: *place.device != Device::Cpu,
    }
}

/// A tensor of these bits, and so back.
pub(crate) fn tensor(device: &Device, dtype: DType, bits: &[u64]) -> Tensor {
    shaped(device, dtype, bits, &[bits.len()])
}

pub(crate) fn shaped(device: &Device, dtype: DType, bits: &[u64], shape: &[usize]) -> Tensor {
    let size = dtype.size();
    let bytes: Vec<u8> = bits
        .iter()
        .flat_map(|bits| bits.to_le_bytes().into_iter().take(size))
        .collect();
    Tensor::from_bytes(device, dtype, &bytes, shape).unwrap()
}

pub(crate) fn bits_of(tensor: &Tensor) -> Vec<u64> {
    let bytes = tensor.to_bytes_blocking().unwrap();
    let whole = |bytes: &[u8]| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    };
    bytes.chunks(tensor.dtype().size()).map(whole).collect()
}

/// What the judge's device computes from `x` and, for a gradient, `grad`.
pub(crate) fn compute(place: Place<'_>, judge: Judge, x: &[u64], grad: &[u64]) -> Vec<u64> {
    let elu = Elu::from(judge.factors);
    let x = tensor(place.device, judge.dtype, x);
    let result = match judge.op {
        Op::Forward => elu.forward(&x),
        Op::Backward => elu.backward(&x, &tensor(place.device, judge.dtype, grad)),
        Op::BackwardFromOutput => {
            elu.backward_from_output(&x, &tensor(place.device, judge.dtype, grad))
        }
    };
    bits_of(&result.unwrap())
}

/// Panics unless every result is within the contract. `grad` is as long as `x`, or empty for forward.
#[track_caller]
pub(crate) fn check(place: Place<'_>, judge: Judge, x: &[u64], grad: &[u64]) {
    let y = compute(place, judge, x, grad);
    check_results(place.name, judge, x, grad, &y);
}

#[track_caller]
pub(crate) fn check_results(name: &str, judge: Judge, x: &[u64], grad: &[u64], y: &[u64]) {
    assert_eq!(x.len(), y.len());
    for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
        let grad = grad.get(i).copied().unwrap_or_default();
        let verdict = judge.judge(x, grad, y);
        // What is called nearest is, and nothing else: just below a power of two, half of the spacing there is a quarter
        // of the one above.
        let agrees = (!verdict.is_nearest || verdict.ulp <= 0.5)
            && (verdict.is_nearest || verdict.ulp >= 0.25);
        assert!(
            agrees,
            "{verdict:?}, {judge:?}, x {x:#x}, grad {grad:#x}, y {y:#x}"
        );
        if !verdict.is_allowed {
            let told = |bits| format!("{:e} ({bits:#x})", value(judge.dtype, bits));
            panic!(
                "{name}: x {}, grad {} gives {}: {} ULP off, {judge:?}",
                told(x),
                told(grad),
                told(y),
                verdict.ulp
            );
        }
    }
}

/// How many numbers of the format lie from `a` to `b`, one of them counted. Both zeros are one number, and all NaNs.
pub(crate) fn steps(dtype: DType, a: u64, b: u64) -> u64 {
    let place = |bits: u64| {
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
        (false, false) => u64::try_from((place(a) - place(b)).abs()).unwrap(),
        _ => u64::MAX,
    }
}

/// Whether both are as good as zero to a GPU, which may take the subnormals of its arithmetic for that.
pub(crate) fn underflows(place: Place<'_>, dtype: DType, a: u64, b: u64) -> bool {
    let smallest = match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f32::MIN_POSITIVE.into(),
    };
    let on_gpu = *place.device != Device::Cpu;
    on_gpu
        && [a, b]
            .iter()
            .all(|&bits| value(dtype, bits).abs() <= smallest)
}

/// The `f32`s of a slice as bits.
pub(crate) fn f32_bits(values: &[f32]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits().into()).collect()
}

/// The devices of all adapters, each with all that its adapter has to give.
///
/// `WGPU_ELU_GPU=require` fails where there is none, `skip` asks for none, and `auto`, the default, takes what is there.
pub(crate) fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        listen_to_wgpu();
        let wish = std::env::var("WGPU_ELU_GPU").unwrap_or_else(|_| "auto".into());
        assert!(
            ["require", "skip", "auto"].contains(&wish.as_str()),
            "WGPU_ELU_GPU={wish}: needed require, skip or auto"
        );
        // Details for once, so as to hear that there is no validation layer. Only `require` insists on it.
        log::set_max_level(log::LevelFilter::Debug);
        let adapters = if wish == "skip" {
            Vec::new()
        } else {
            pollster::block_on(device::adapters())
        };
        log::set_max_level(log::LevelFilter::Warn);
        if wish != "require" {
            COMPLAINTS.lock().unwrap().clear();
        }
        let gpus: Vec<Gpu> = adapters
            .iter()
            .map(|adapter| gpu(pollster::block_on(Device::from_adapter(adapter)).unwrap()))
            .collect();
        let names: Vec<String> = gpus
            .iter()
            .map(|gpu| Device::Gpu(gpu.clone()).to_string())
            .collect();
        assert!(
            wish != "require" || !gpus.is_empty(),
            "WGPU_ELU_GPU=require, and wgpu sees no adapter"
        );
        if gpus.is_empty() {
            tell(&format!(
                "SKIPPED: everything that needs a GPU (WGPU_ELU_GPU={wish}, no adapter)"
            ));
        } else {
            tell(&format!("GPU tests run on: {}", names.join(", ")));
        }
        gpus
    })
}

/// Runs `test` on every adapter, and checks that wgpu and the validation layer had nothing to say.
pub(crate) fn on_every_gpu(test: impl Fn(&Gpu, &str)) {
    for gpu in gpus() {
        test(gpu, &Device::Gpu(gpu.clone()).to_string());
    }
    let complaints = COMPLAINTS.lock().unwrap().join("\n");
    assert_eq!(complaints, "", "wgpu or the validation layer complained");
}

pub(crate) fn adapter_of(gpu: &Gpu) -> wgpu::Adapter {
    pollster::block_on(device::adapters())
        .into_iter()
        .find(|adapter| adapter.get_info() == *gpu.info())
        .expect("the adapter is gone")
}

/// Another device on the same adapter, lent by a host that created it so.
pub(crate) fn lent<'a>(
    gpu: &Gpu,
    descriptor: impl Fn(&wgpu::Adapter) -> wgpu::DeviceDescriptor<'a>,
) -> Gpu {
    let adapter = adapter_of(gpu);
    let (device, queue) =
        pollster::block_on(adapter.request_device(&descriptor(&adapter))).unwrap();
    self::gpu(Device::from_wgpu(&device, &queue))
}

/// So too, with other limits and no features.
pub(crate) fn with_limits(gpu: &Gpu, limits: impl Fn(wgpu::Limits) -> wgpu::Limits) -> Gpu {
    lent(gpu, |adapter| wgpu::DeviceDescriptor {
        required_limits: limits(adapter.limits()),
        ..wgpu::DeviceDescriptor::default()
    })
}

/// A device that takes no driver: buffers, copies and validation work, dispatches do nothing.
pub(crate) fn noop(limits: wgpu::Limits) -> Gpu {
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    gpu(Device::from_wgpu(&device, &queue))
}

/// Two such devices that wgpu can tell apart: it cannot where they come from different instances.
pub(crate) fn noop_pair() -> [Gpu; 2] {
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
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .unwrap();
    [(); 2].map(|()| {
        let (device, queue) =
            pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        gpu(Device::from_wgpu(&device, &queue))
    })
}

pub(crate) fn gpu(device: Device) -> Gpu {
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu => panic!("needed a GPU, found the CPU"),
    }
}

/// Past the test harness, which keeps what passing tests print to itself.
#[expect(clippy::explicit_write, reason = "eprintln! is what the harness keeps")]
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

/// What wgpu logged as a warning or worse, the validation layer's messages among it.
static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What wgpu says, as a mere detail, where there is no validation layer: then the test run would be silent for nothing.
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
            // Looking for a display and for a hardware driver, EGL finds none and says so.
            let serious =
                record.level() <= log::Level::Warn && record.target() != "wgpu_hal::gles::egl";
            if self.enabled(record.metadata()) && (serious || text.contains(NO_LAYER)) {
                tell(&text);
                COMPLAINTS.lock().unwrap().push(text);
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&Listener).expect("the tests set the only logger");
}
