//! A wgpu device with its queue, its kernels, and the reason if it is lost.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use super::adapters::{full_name, short_name, wanted_features};
use crate::{
    cache::Cache,
    checked::{Checks, guarded, panicked},
    dtype::DType,
    error::{Error, Result},
    kernel::Kernel,
};

/// A wgpu device and its queue. Cheap to clone. Two are equal if one is a clone of the other.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// The device and the queue. `None` only while the struct is dropped.
    objects: Option<(wgpu::Device, wgpu::Queue)>,
    info: wgpu::AdapterInfo,
    kernels: Cache<DType, Kernel>,
    /// A cell that is set to the reason when the device is lost. `None` if a loss is not reported to this crate:
    /// outside the browser only the lost-device callback reports it, and that of a lent device belongs to its host.
    pub(super) lost: Option<Arc<OnceLock<String>>>,
    pub(super) checks: Checks,
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        // wgpu's comparison may consider devices of different instances equal.
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Display for Gpu {
    /// Displays, for example, `llvmpipe (Vulkan)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&short_name(self.info()))
    }
}

impl Gpu {
    /// Wraps a host's device, which keeps its limits, features and callbacks.
    ///
    /// Call this once per device and keep the result, because in a browser each call adds a task that waits for the
    /// device's loss.
    ///
    /// wgpu rejects work with a buffer of another device if both devices come from the same [`wgpu::Instance`]. All
    /// devices that this crate creates do, except GL's, each of which has its own instance. If a host uses several
    /// instances, a buffer of one device may silently refer to a buffer of another.
    pub fn from_wgpu(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self::new(
            device,
            queue,
            device.adapter_info(),
            loss_by_browser(device),
        )
    }

    /// Returns the wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.objects().0
    }

    /// Returns the queue that work is submitted to.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.objects().1
    }

    /// Returns information about the adapter that the device was created from.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// Returns whether the device has the features that `dtype` needs.
    pub fn supports(&self, dtype: DType) -> bool {
        self.missing_feature(dtype).is_none()
    }

    /// Returns the name of a feature in [`wgpu::Features`] that `dtype` needs and the device lacks.
    pub fn missing_feature(&self, dtype: DType) -> Option<&'static str> {
        Kernel::missing_feature(self.device(), dtype)
    }

    /// Returns the device's kernel for `dtype`, which is created by the first call.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::new`].
    pub fn kernel(&self, dtype: DType) -> Result<Kernel> {
        let make = || Kernel::new(self.device(), dtype);
        self.shared.kernels.get_or_make(dtype, make)
    }

    /// Creates a device on this adapter: see [`Device::from_adapter`](super::Device::from_adapter).
    pub(super) async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu_elu"),
            required_features: adapter.features() & wanted_features(&info),
            required_limits: wgpu::Limits {
                // DX12 reserves memory for each binding, and this crate needs only a few.
                max_non_sampler_bindings: limits.max_non_sampler_bindings.min(1 << 16),
                ..limits
            },
            ..wgpu::DeviceDescriptor::default()
        };
        // The call is inside the `async` block, because `request_device` does its work, and may panic, before it
        // returns the future.
        let made = guarded(async { adapter.request_device(&descriptor).await }).await;
        let made = made.and_then(|made| made.map_err(|error| error.to_string()));
        let (device, queue) = made.map_err(|reason| Error::NoDevice {
            adapter: full_name(&info),
            reason,
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
                objects: Some((device.clone(), queue.clone())),
                info,
                kernels: Cache::default(),
                lost,
                checks: Default::default(),
            }),
        }
    }
}

impl Shared {
    fn objects(&self) -> &(wgpu::Device, wgpu::Queue) {
        self.objects
            .as_ref()
            .expect("only `drop` takes the objects")
    }
}

impl Drop for Shared {
    /// Drops the kernels and the device, and catches panics, if this crate created the device. wgpu 30 panics if a
    /// driver fails while the queue is dropped (wgpu-core-30.0.1/src/device/queue.rs, `fn drop`), and if an earlier
    /// failure has left a bind group layout behind (wgpu-hal-30.0.1/src/vulkan/descriptor.rs, `fn drop`).
    fn drop(&mut self) {
        if self.lost.is_none() {
            return; // a lent device, which its owner drops
        }
        let kernels = std::mem::take(&mut self.kernels);
        let objects = self.objects.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop((kernels, objects)))) {
            log::warn!("while a device was dropped, {}", panicked(&*panic));
        }
    }
}

/// Sets the lost-device callback, replacing the previous one. Returns a cell that holds the reason once the device is
/// lost.
fn loss_by_callback(device: &wgpu::Device) -> Arc<OnceLock<String>> {
    let lost = Arc::new(OnceLock::new());
    let callback_lost = Arc::clone(&lost);
    device.set_device_lost_callback(move |reason, message| {
        // Only the first reason counts, so a second one is dropped.
        let _ = callback_lost.set(describe(reason, message));
    });
    lost
}

/// Returns a cell that holds the reason once the browser reports that the device is lost. Leaves the host's callback in
/// place.
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

/// Returns the message, or the name of the reason if the message is empty.
fn describe(reason: impl fmt::Debug, message: String) -> String {
    if message.is_empty() {
        format!("{reason:?}")
    } else {
        message
    }
}
