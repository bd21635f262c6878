//! The devices that `init` was called for. A burn tensor gives no access to its wgpu queue, so the queue is kept here.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use burn::{
    backend::{DispatchDevice, wgpu::WgpuSetup},
    tensor::{DType, Device},
};
use burn_cubecl::{
    CubeDevice,
    cubecl::{
        client::Client,
        device_handle::DeviceHandle,
        wgpu::{AutoCompiler, WgpuServer},
    },
};
use cubecl_environment::stream::StreamId;
use cubecl_server::stream::WriteScoped;
use wgpu_elu::{Gpu, Kernel};

use crate::error::Error;

/// The state that burn keeps on the device's thread.
pub(crate) type Server = WgpuServer<AutoCompiler>;

static GPUS: LazyLock<RwLock<HashMap<CubeDevice, Gpu>>> = LazyLock::new(RwLock::default);

/// Registers the wgpu device and queue of a burn device, so that ELU runs on them. Call it once for each device;
/// calling it again does nothing new. The registered device exists until the process ends.
///
/// ```no_run
/// use burn::tensor::Device;
///
/// let (device, setup) = Device::wgpu_options().init_with_setup()?;
/// wgpu_elu_burn::init(&device, &setup)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `init_with_setup` fails if burn has used the device before. If your app has its own wgpu device, give it to burn
/// instead: `Device::wgpu_options().setup(setup.clone()).init()?`.
///
/// # Errors
///
/// Returns [`Error::Backend`] unless `device` belongs to burn's wgpu runtime, and [`Error::OtherSetup`] unless `setup`
/// is the one that `device` was created with. wgpu compares devices within one `wgpu::Instance` only, so the setup of a
/// device of another instance may be accepted, and results are then undefined.
pub fn init(device: &Device, setup: &WgpuSetup) -> Result<(), Error> {
    let device = wgpu_device(device)?;
    if wgpu_of(&device)? != setup.device {
        return Err(Error::OtherSetup {
            device: format!("{device:?}"),
        });
    }
    let mut gpus = GPUS.write().unwrap_or_else(PoisonError::into_inner);
    gpus.entry(device)
        .or_insert_with(|| Gpu::from_wgpu(&setup.device, &setup.queue));
    Ok(())
}

/// Returns burn's name of a device of its wgpu runtime.
pub(crate) fn wgpu_device(device: &Device) -> Result<CubeDevice, Error> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device @ CubeDevice::Wgpu(_)) => Ok(device.clone()),
        other => Err(Error::Backend {
            found: format!("{other:?}"),
        }),
    }
}

/// Returns the device's wgpu objects and its kernel for `dtype`.
pub(crate) fn kernel(device: &CubeDevice, dtype: DType) -> Result<(Gpu, Kernel), Error> {
    let dtype = match dtype {
        DType::F32 | DType::Flex32 => wgpu_elu::DType::F32, // a Flex32 is stored as an `f32`
        DType::F16 => wgpu_elu::DType::F16,
        DType::BF16 => wgpu_elu::DType::BF16,
        DType::F64 => wgpu_elu::DType::F64,
        found => return Err(Error::DType { found }),
    };
    let gpus = GPUS.read().unwrap_or_else(PoisonError::into_inner);
    let gpu = gpus.get(device).cloned();
    drop(gpus);
    let gpu = gpu.ok_or_else(|| Error::NotRegistered {
        device: format!("{device:?}"),
    })?;
    let kernel = gpu.kernel(dtype)?;
    Ok((gpu, kernel))
}

/// Returns the thread on which burn works with the device of `client`.
pub(crate) fn server(client: &Client) -> DeviceHandle<Server> {
    DeviceHandle::new(client.service_id().device)
}

// ---- Internals ----

/// Returns the wgpu device that burn uses.
fn wgpu_of(device: &CubeDevice) -> Result<wgpu_elu::wgpu::Device, Error> {
    let found = server(&device.client()).submit_blocking(|server| {
        let streams = server.write_streams();
        streams.stream(&StreamId::current()).device.clone()
    });
    found.map_err(|error| Error::Unreachable {
        device: format!("{device:?}"),
        reason: format!("{error:?}"),
    })
}
