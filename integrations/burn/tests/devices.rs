//! Several devices, and a device that belongs to an app.

use std::sync::{LazyLock, OnceLock};

use burn::{backend::wgpu::WgpuSetup, tensor::Device};
use wgpu_elu_burn::{elu, wgpu_elu::wgpu};

use crate::support::{check_f32, device, number_tensor};

/// Returns a device that no test registers.
pub(crate) fn unregistered() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Device::wgpu_options().setup(own_setup()).init().unwrap());
    device.clone()
}

/// Creates a wgpu device as an app does. All of them come from one instance, because wgpu compares devices within one
/// instance only.
pub(crate) fn own_setup() -> WgpuSetup {
    static INSTANCE: LazyLock<wgpu::Instance> = LazyLock::new(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
        })
    });
    let instance = INSTANCE.clone();
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let adapter = pollster::block_on(adapter).unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() - wgpu::Features::all_experimental_mask(),
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let backend = adapter.get_info().backend;
    WgpuSetup {
        instance,
        adapter,
        device,
        queue,
        backend,
    }
}

#[test]
fn an_apps_own_device_and_several_devices_together() {
    let Some(first) = device() else { return };
    let setup = own_setup();
    let second = Device::wgpu_options().setup(setup.clone()).init().unwrap();
    wgpu_elu_burn::init(&second, &setup).unwrap();
    wgpu_elu_burn::init(&second.clone().autodiff(), &setup).unwrap(); // the same device
    assert_ne!(first, second);
    for _ in 0..10 {
        for device in [&first, &second] {
            let x = number_tensor(device, [1000]) * 0.5;
            let y = elu(x.clone(), 0.5).unwrap();
            assert_eq!(y.device(), *device);
            check_f32(0.5, x, y);
        }
    }
}
