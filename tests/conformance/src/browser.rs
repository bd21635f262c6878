//! The browser's GPU, and tests of what is different in a browser.

use std::sync::{Arc, Mutex, OnceLock};

use wgpu_elu::{DType, Device, Elu, Error, Gpu, Kernel, Tensor, cpu, device, wgpu};

use crate::everywhere::{everywhere, on_every_gpu, varied};

/// Returns the devices that tests use. There is only one, because a browser offers one adapter.
pub(crate) async fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    if let Some(gpus) = GPUS.get() {
        return gpus;
    }
    let mut gpus = Vec::new();
    for adapter in device::adapters().await {
        let gpu = gpu(Device::from_adapter(&adapter).await.unwrap());
        gpu.device().on_uncaptured_error(Arc::new(|error| {
            UNCAPTURED_ERRORS.lock().unwrap().push(error.to_string());
        }));
        gpus.push(gpu);
    }
    GPUS.get_or_init(|| gpus)
}

/// The error messages that no error scope has caught.
static UNCAPTURED_ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics if the browser has reported an error that no error scope has caught.
pub(crate) fn assert_no_wgpu_messages() {
    let errors = UNCAPTURED_ERRORS.lock().unwrap().join("\n");
    assert_eq!(errors, "", "the browser reported errors");
}

fn gpu(device: Device) -> Gpu {
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu => panic!("needed a GPU, found the CPU"),
    }
}

fn host_buffer(gpu: &Gpu, size: u64, mapped_at_creation: bool) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's"),
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation,
    })
}

/// If the browser offered no adapter, the tests of GPUs would pass without testing anything.
#[everywhere]
async fn the_browser_offers_one_gpu() {
    let gpus = gpus().await;
    assert_eq!(gpus.len(), 1);
    let device = Device::Gpu(gpus[0].clone());
    assert!(device.to_string().ends_with("(WebGPU)"), "{device}");
    wasm_bindgen_test::console_log!("{device} and {}", Device::Cpu);
    // In a browser, too, `auto` prefers the CPU path to a software adapter, because the CPU path is faster.
    let is_software = gpus[0].info().device_type == wgpu::DeviceType::Cpu;
    assert_eq!(Device::auto().await.unwrap() == Device::Cpu, is_software);
    gpu(Device::gpu().await.unwrap());
    let error = Device::named("Voodoo 2").await.unwrap_err();
    assert!(matches!(error, Error::NoAdapter { .. }), "{error}");
    assert_eq!(cpu::threads(), 1);
}

#[everywhere]
#[ignore = "needs a browser without WebGPU"]
async fn the_cpu_path_works_without_webgpu() {
    assert_eq!(Device::auto().await.unwrap(), Device::Cpu);
    let error = Device::gpu().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "found no GPU with compute shaders; there are no adapters"
    );
    let x = Tensor::from_slice(&Device::Cpu, &[-1.0f32, 2.0], &[2]).unwrap();
    let y = Elu::default().forward(&x).unwrap();
    assert_eq!(y.to_vec::<f32>().await.unwrap(), [-0.632_120_56, 2.0]);
}

/// In a browser, errors arrive late. The next call that waits returns the error, and calls after it do not.
#[everywhere]
async fn an_error_is_returned_once_by_the_next_call_that_waits() {
    on_every_gpu(async |gpu, _| {
        let device = Device::Gpu(gpu.clone());
        // While a buffer is mapped, the browser refuses all work that uses it.
        let mapped = host_buffer(gpu, 16, true);
        let mut x = Tensor::from_buffer(gpu, mapped.clone(), 0, DType::F32, &[4]).unwrap();
        let y = Elu::default().forward(&x).unwrap();
        let error = y.to_vec::<f32>().await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { what, reason } if what == "the work" && !reason.is_empty()),
            "{error}"
        );
        assert_eq!(y.to_vec::<f32>().await.unwrap(), [0.0; 4]);
        Elu::default().forward_in_place(&mut x).unwrap();
        let error = device.wait().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { what, .. } if what == "the work"), "{error}");
        let error = x.to_vec::<f32>().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { what, .. } if what == "a copy"), "{error}");
        mapped.unmap();
        let y = Elu::default().forward(&x).unwrap();
        assert_eq!(y.to_vec::<f32>().await.unwrap(), [0.0; 4]);
        device.wait().await.unwrap();
    })
    .await;
}

/// A kernel does not wait for errors, so they go to the host.
#[everywhere]
async fn errors_of_a_kernel_go_to_the_hosts_error_scope() {
    on_every_gpu(async |gpu, _| {
        let other = new_gpu().await;
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let (x, foreign) = (host_buffer(gpu, 16, false), host_buffer(&other, 16, false));
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let step = kernel.prepare(1.0, x.slice(..), foreign.slice(..));
        assert!(scope.pop().await.is_some());
        assert_eq!(step.unwrap().dispatches(), 1);
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        assert!(kernel.prepare_in_place(1.0, x.slice(..)).is_ok());
        assert!(scope.pop().await.is_none());
    })
    .await;
}

/// Creates a device that only the calling test uses.
async fn new_gpu() -> Gpu {
    gpu(Device::gpu().await.unwrap())
}

/// Allocates tensors until the browser's memory is exhausted, which must be an error and not a panic. Then frees them,
/// and checks that an upload works.
#[everywhere]
async fn exhausted_memory_is_an_error() {
    let gpu = new_gpu().await;
    let device = Device::Gpu(gpu.clone());
    let size = usize::try_from(gpu.device().limits().max_buffer_size).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        kept.push(Tensor::zeros(&device, DType::F32, &[size / 4]).unwrap());
        match device.wait().await {
            Ok(()) if kept.len() < 100 => {}
            result => break result.unwrap_err(),
        }
    };
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    kept.clear();
    let x = varied(1000);
    let tensor = Tensor::from_slice(&device, &x, &[1000]).unwrap();
    assert_eq!(tensor.to_vec::<f32>().await.unwrap(), x);
}

#[everywhere]
async fn calls_on_a_destroyed_device_return_device_lost() {
    let own = new_gpu().await;
    let another = new_gpu().await;
    let lent = Gpu::from_wgpu(another.device(), another.queue());
    for gpu in [own, lent] {
        let device = Device::Gpu(gpu.clone());
        let x = Tensor::from_slice(&device, &varied(100), &[100]).unwrap();
        gpu.device().destroy();
        let lost = |what: &str, error: Error| {
            assert!(matches!(error, Error::DeviceLost { .. }), "{what}: {error}");
        };
        lost("reading", x.to_vec::<f32>().await.unwrap_err());
        let y = async { Elu::default().forward(&x)?.to_vec::<f32>().await };
        lost("forward", y.await.unwrap_err());
        let y = async {
            Tensor::from_slice(&device, &[1f32], &[1])?
                .to_vec::<f32>()
                .await
        };
        lost("uploading", y.await.unwrap_err());
        lost("waiting", device.wait().await.unwrap_err());
        lost(
            "zeros",
            Tensor::zeros(&device, DType::F32, &[1]).unwrap_err(),
        );
    }
    // The host's own callback for lost devices stays set.
    let host = new_gpu().await;
    let reason = Arc::new(OnceLock::new());
    let callback_reason = Arc::clone(&reason);
    host.device().set_device_lost_callback(move |reason, _| {
        callback_reason.set(reason).unwrap();
    });
    let guest = Device::from(Gpu::from_wgpu(host.device(), host.queue()));
    host.device().destroy();
    let error = guest.wait().await.unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    assert_eq!(reason.get(), Some(&wgpu::DeviceLostReason::Destroyed));
}

/// `tests/web/run.mjs` ends the browser's GPU process during this test.
#[everywhere]
#[ignore = "needs a browser whose GPU process ends"]
async fn calls_return_device_lost_after_the_gpu_process_ends() {
    let own = new_gpu().await;
    let another = new_gpu().await;
    let lent = Gpu::from_wgpu(another.device(), another.queue());
    for gpu in [own, lent] {
        let device = Device::Gpu(gpu.clone());
        let values = varied(1000);
        let round_trip = async || {
            let x = Tensor::from_slice(&device, &values, &[1000])?;
            Elu::default().forward(&x)?.to_vec::<f32>().await
        };
        let kernel = Kernel::new(gpu.device(), DType::F16).unwrap();
        let buffer = host_buffer(&gpu, 16, false);
        let error = loop {
            if let Err(error) = round_trip().await {
                break error;
            }
        };
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        let error = round_trip().await.unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        // A kernel does not notice the loss. Recording and submitting its step has no effect.
        let step = kernel.prepare_in_place(1.0, buffer.slice(..)).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        step.record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);
    }
    assert!(
        Device::auto().await.is_ok(),
        "neither a new GPU process nor the CPU path works"
    );
}
