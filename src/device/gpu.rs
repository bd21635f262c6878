//! A wgpu device with its queue, its kernels, and what is known of its loss.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::adapters::{full_name, short_name, wanted_features};
use crate::{
    cache::Cache,
    checked::Checks,
    dtype::DType,
    error::{Error, Result},
    kernel::Kernel,
};

/// A wgpu device and its queue. Cheap to clone; two are equal if one is a clone of the other.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    kernels: Cache<DType, Kernel>,
    /// Why the device was lost, once it is. None if nothing reports a loss to this crate: the callback of a device that was lent
    /// belongs to its owner.
    pub(super) lost: Option<Arc<OnceLock<String>>>,
    pub(super) checks: Checks,
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        // wgpu's own comparison takes devices of different instances for the same.
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Display for Gpu {
    /// Such as `llvmpipe (Vulkan)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&short_name(self.info()))
    }
}

impl Gpu {
    /// A device that exists already, with the limits and features it was created with. None of its callbacks is changed.
    ///
    /// Call it once per device and keep the result: in a browser each call waits for the device's loss.
    ///
    /// wgpu refuses work with a buffer of another device, as long as both devices come from one [`wgpu::Instance`]: all devices
    /// that this crate makes do, except for GL's, which have an instance each. From two instances of a host's own, a buffer
    /// may silently stand for another one.
    pub fn from_wgpu(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self::new(
            device,
            queue,
            device.adapter_info(),
            loss_by_browser(device),
        )
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The queue that work is submitted to.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// The adapter that the device was made from.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// Whether the device has the features that `dtype` needs.
    pub fn supports(&self, dtype: DType) -> bool {
        self.missing_feature(dtype).is_none()
    }

    /// The name of a feature in [`wgpu::Features`] that `dtype` needs and the device was created without.
    pub fn missing_feature(&self, dtype: DType) -> Option<&'static str> {
        Kernel::missing_feature(self.device(), dtype)
    }

    /// The device's kernel for `dtype`, made the first time it is asked for.
    ///
    /// # Errors
    ///
    /// Those of [`Kernel::new`].
    pub fn kernel(&self, dtype: DType) -> Result<Kernel> {
        let make = || Kernel::new(self.device(), dtype);
        self.shared.kernels.get_or_make(dtype, make)
    }

    /// A device on this adapter: see [`Device::from_adapter`](super::Device::from_adapter).
    pub(super) async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu_elu"),
            required_features: adapter.features() & wanted_features(&info),
            required_limits: wgpu::Limits {
                // DX12 reserves memory for each; a tensor or two need a handful.
                max_non_sampler_bindings: limits.max_non_sampler_bindings.min(1 << 16),
                ..limits
            },
            ..wgpu::DeviceDescriptor::default()
        };
        let made = adapter.request_device(&descriptor).await;
        let (device, queue) = made.map_err(|error| Error::NoDevice {
            adapter: full_name(&info),
            reason: error.to_string(),
        })?;
        let lost = Some(loss_by_callback(&device));
        Ok(Self::new(&device, &queue, info, lost))
    }
}

// ---- Internals ----

impl Gpu {
    fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        info: wgpu::AdapterInfo,
        lost: Option<Arc<OnceLock<String>>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                queue: queue.clone(),
                info,
                kernels: Cache::default(),
                lost,
                checks: Default::default(),
            }),
        }
    }
}

/// Holds the reason once the device is lost. Replaces the callback that was set.
fn loss_by_callback(device: &wgpu::Device) -> Arc<OnceLock<String>> {
    let lost = Arc::new(OnceLock::new());
    let callback_lost = Arc::clone(&lost);
    device.set_device_lost_callback(move |reason, message| {
        // Only the first reason counts, so a second may be dropped.
        let _ = callback_lost.set(describe(reason, message));
    });
    lost
}

/// Holds the reason once the browser reports that the device is lost. A host's callback stays.
#[cfg(all(target_family = "wasm", feature = "webgpu"))]
fn loss_by_browser(device: &wgpu::Device) -> Option<Arc<OnceLock<String>>> {
    let loss = device.as_webgpu()?.lost();
    let lost = Arc::new(OnceLock::new());
    let lost_then = Arc::clone(&lost);
    wasm_bindgen_futures::spawn_local(async move {
        if let Ok(loss) = wasm_bindgen_futures::JsFuture::from(loss).await {
            let _ = lost_then.set(describe(loss.reason(), loss.message()));
        }
    });
    Some(lost)
}

#[cfg(not(all(target_family = "wasm", feature = "webgpu")))]
fn loss_by_browser(_: &wgpu::Device) -> Option<Arc<OnceLock<String>>> {
    None
}

fn describe(reason: impl fmt::Debug, message: String) -> String {
    if message.is_empty() {
        format!("{reason:?}")
    } else {
        message
    }
}
