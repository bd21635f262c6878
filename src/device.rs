//! Where tensors live: the CPU, or a GPU that was chosen here or brought along.

mod work;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    checked::Checks,
    cpu,
    dtype::DType,
    error::{Error, Result},
    kernel::Kernel,
};
pub(crate) use work::{Until, whole_words};

/// Where tensors live and work is done. Cheap to clone.
///
/// # Environment variables
///
/// Every constructor that looks for adapters honours wgpu's own: `WGPU_BACKEND` (`vulkan`, `metal`, `dx12`, `gl`, several
/// with commas), `WGPU_POWER_PREF` (`low` prefers an integrated GPU) and the debugging ones. [`Device::from_env`] also
/// takes `WGPU_ADAPTER_NAME`. GL is asked only where no other backend has what fits, whatever the preference.
///
/// # Async and blocking
///
/// Constructors are `async`, as wgpu's are. Outside the browser each has a twin that ends in `_blocking`.
///
/// Whatever submits work or waits for it also calls what wgpu has to call back, as every submission and poll of wgpu's does: a
/// host's own callbacks too, and a panic in there comes through.
///
/// # In a browser
///
/// Whether a call went well is told later there: [`Error::OutOfMemory`] and [`Error::Refused`] come from what is next waited
/// for on the device, be it [`Device::wait`], a tensor that is read or a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// The CPU path, [`crate::cpu`].
    Cpu,
    /// A wgpu device.
    Gpu(Gpu),
}

/// A wgpu device and its queue. Cheap to clone; two are equal if one is a clone of the other.
#[derive(Clone, Debug)]
pub struct Gpu {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    kernels: [OnceLock<Kernel>; DType::ALL.len()],
    /// Why the device was lost, once it is. None where we are not told: a lent device has its owner's callback, which must
    /// stay in place.
    lost: Option<Arc<OnceLock<String>>>,
    checks: Checks,
}

impl Device {
    /// A hardware GPU if there is one, else the CPU path, which is faster than a software renderer.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] if there is a hardware GPU whose driver gives no device.
    pub async fn auto() -> Result<Self> {
        match first(|adapter| objection(adapter).is_none()).await {
            Ok(adapter) => Self::from_adapter(&adapter).await,
            Err(_) => {
                log::info!("no hardware GPU: using the CPU");
                Ok(Self::Cpu)
            }
        }
    }

    /// The best GPU adapter: hardware if there is any, else a software renderer, else an error.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`] if none can run compute shaders; [`Error::NoDevice`].
    pub async fn gpu() -> Result<Self> {
        let adapters = match first(|adapter| objection(adapter).is_none()).await {
            Ok(hardware) => return Self::from_adapter(&hardware).await,
            Err(adapters) => adapters,
        };
        match adapters.iter().find(|adapter| can_compute(adapter)) {
            Some(adapter) => Self::from_adapter(adapter).await,
            None => Err(Error::NoAdapter {
                wanted: "GPU with compute shaders".into(),
                found: names(&adapters),
            }),
        }
    }

    /// The best adapter whose name contains `name` in any case, software renderers included, and GL's only where no other
    /// backend has one. The backend counts as part of the name: `llvmpipe (GL)`.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`], which lists those that are there; [`Error::NoDevice`].
    pub async fn named(name: &str) -> Result<Self> {
        match first(|adapter| can_compute(adapter) && is_named(adapter, name)).await {
            Ok(adapter) => Self::from_adapter(&adapter).await,
            Err(adapters) => Err(Error::NoAdapter {
                wanted: format!("adapter named {name:?}"),
                found: names(&adapters),
            }),
        }
    }

    /// What `WGPU_ADAPTER_NAME` names, if it is set, as [`Device::named`]; else as [`Device::auto`].
    ///
    /// # Errors
    ///
    /// As those two.
    pub async fn from_env() -> Result<Self> {
        match std::env::var("WGPU_ADAPTER_NAME") {
            Ok(name) if !name.is_empty() => Self::named(&name).await,
            _ => Self::auto().await,
        }
    }

    /// A device on this adapter, with all of its limits, and with those of these features that it has: `SHADER_F64`,
    /// `SHADER_INT64`, `TIMESTAMP_QUERY` and, where the CPU and the GPU share their memory, `MAPPABLE_PRIMARY_BUFFERS`.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] with the driver's reason.
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu_elu"),
            required_features: adapter.features() & wanted_features(&info),
            required_limits: wgpu::Limits {
                // DX12 sets memory aside for each; a tensor or two take a handful.
                max_non_sampler_bindings: limits.max_non_sampler_bindings.min(1 << 16),
                ..limits
            },
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            adapter
                .request_device(&descriptor)
                .await
                .map_err(|error| Error::NoDevice {
                    adapter: full_name(&info),
                    reason: error.to_string(),
                })?;
        let lost = Some(told_of_loss(&device));
        Ok(Self::Gpu(Gpu {
            shared: Arc::new(Shared {
                device,
                queue,
                info,
                kernels: Default::default(),
                lost,
                checks: Default::default(),
            }),
        }))
    }

    /// A device that exists already, with the limits and features it was created with. None of its callbacks is touched.
    ///
    /// Call it once per device and keep what it gives: in a browser each call waits for the device's loss.
    pub fn from_wgpu(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self::Gpu(Gpu {
            shared: Arc::new(Shared {
                device: device.clone(),
                queue: queue.clone(),
                info: device.adapter_info(),
                kernels: Default::default(),
                lost: told_by_browser(device),
                checks: Default::default(),
            }),
        })
    }

    /// Waits until all work submitted so far is done.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceLost`]; in a browser, those that [come later](Device#in-a-browser), too.
    pub async fn wait(&self) -> Result<()> {
        match self {
            Self::Cpu => Ok(()),
            Self::Gpu(gpu) => gpu.wait().await,
        }
    }
}

/// Blocking twins of the constructors, outside the browser.
#[cfg(not(target_family = "wasm"))]
impl Device {
    /// [`Device::auto`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Device::auto`].
    pub fn auto_blocking() -> Result<Self> {
        pollster::block_on(Self::auto())
    }

    /// [`Device::gpu`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Device::gpu`].
    pub fn gpu_blocking() -> Result<Self> {
        pollster::block_on(Self::gpu())
    }

    /// [`Device::named`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Device::named`].
    pub fn named_blocking(name: &str) -> Result<Self> {
        pollster::block_on(Self::named(name))
    }

    /// [`Device::from_env`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Device::from_env`].
    pub fn from_env_blocking() -> Result<Self> {
        pollster::block_on(Self::from_env())
    }

    /// [`Device::wait`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Device::wait`].
    pub fn wait_blocking(&self) -> Result<()> {
        pollster::block_on(self.wait())
    }
}

impl fmt::Display for Device {
    /// Such as `the CPU (AVX2+FMA, 2 threads)` or `llvmpipe (Vulkan)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => {
                let threads = cpu::threads();
                let s = if threads == 1 { "" } else { "s" };
                write!(f, "the CPU ({}, {threads} thread{s})", cpu::simd_level())
            }
            Self::Gpu(gpu) => f.write_str(&short_name(gpu.info())),
        }
    }
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        // wgpu's own comparison takes devices of different instances for the same.
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Gpu {
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

    /// The device's kernel for `dtype`, made when first asked for.
    ///
    /// # Errors
    ///
    /// As [`Kernel::new`].
    pub fn kernel(&self, dtype: DType) -> Result<&Kernel> {
        let cell = &self.shared.kernels[dtype as usize];
        match cell.get() {
            Some(kernel) => Ok(kernel),
            None => {
                let kernel = Kernel::new(self.device(), dtype)?;
                Ok(cell.get_or_init(|| kernel))
            }
        }
    }
}

/// The adapters that wgpu sees, best first: discrete, integrated, virtual, unknown, software; of one kind, GL last.
///
/// `WGPU_BACKEND` narrows them down, and `WGPU_POWER_PREF=low` puts integrated before discrete.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    first(|_| false).await.err().unwrap_or_default()
}

/// Why [`Device::auto`] would not take this adapter, if it would not.
pub fn objection(adapter: &wgpu::Adapter) -> Option<&'static str> {
    if !can_compute(adapter) {
        Some("it has no compute shaders")
    } else if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        Some("it is a software renderer, and the CPU path is faster")
    } else {
        None
    }
}

/// Whether `name` is a part of the adapter's name, in any case. The backend counts: `llvmpipe (GL)`.
pub fn is_named(adapter: &wgpu::Adapter, name: &str) -> bool {
    let (info, name) = (adapter.get_info(), name.to_lowercase());
    [full_name(&info), short_name(&info)]
        .iter()
        .any(|full| full.to_lowercase().contains(&name))
}

/// The backend's name as people write it.
pub fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Noop => "noop",
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "DX12",
        wgpu::Backend::Gl => "GL",
        wgpu::Backend::BrowserWebGpu => "WebGPU",
    }
}

// ---- Internals ----

/// The best adapter that fits, or else all there are, best first.
///
/// GL comes last: looking for its drivers takes longer than all else till a first result, and is mostly in vain.
async fn first(fits: impl Fn(&wgpu::Adapter) -> bool) -> Result<wgpu::Adapter, Vec<wgpu::Adapter>> {
    let low_power = wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower);
    let mut all = Vec::new();
    for backends in [wgpu::Backends::GL.complement(), wgpu::Backends::GL] {
        let mut adapters = adapters_of(backends).await;
        adapters.sort_by_key(|adapter| rank(&adapter.get_info(), low_power));
        if let Some(at) = adapters.iter().position(&fits) {
            return Ok(adapters.swap_remove(at));
        }
        all.append(&mut adapters);
    }
    all.sort_by_key(|adapter| rank(&adapter.get_info(), low_power));
    Err(all)
}

/// Those of `backends` that `WGPU_BACKEND` does not exclude.
async fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= backends & wgpu::Instance::enabled_backend_features();
    let is_browser = cfg!(target_family = "wasm");
    // Otherwise wgpu may panic.
    if descriptor.backends.is_empty()
        || (is_browser && !wgpu::util::is_browser_webgpu_supported().await)
    {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = if is_browser {
        // A browser names one only, and by itself perhaps not the fastest.
        let fastest = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        Vec::from_iter(instance.request_adapter(&fastest).await)
    } else {
        instance.enumerate_adapters(backends).await
    };
    // A device that does nothing must not pass for a GPU.
    adapters.retain(|adapter| adapter.get_info().backend != wgpu::Backend::Noop);
    adapters
}

/// Where the reason will be, once the device is lost. Takes the place of the callback that was set.
fn told_of_loss(device: &wgpu::Device) -> Arc<OnceLock<String>> {
    let lost = Arc::new(OnceLock::new());
    let callback_lost = Arc::clone(&lost);
    device.set_device_lost_callback(move |reason, message| {
        // Only the first reason counts, so a second may be dropped.
        let _ = callback_lost.set(told(reason, message));
    });
    lost
}

fn told(reason: impl fmt::Debug, message: String) -> String {
    if message.is_empty() {
        format!("{reason:?}")
    } else {
        message
    }
}

/// So too, where it is not wgpu but the browser that tells, and whoever asks.
#[cfg(all(target_family = "wasm", feature = "webgpu"))]
fn told_by_browser(device: &wgpu::Device) -> Option<Arc<OnceLock<String>>> {
    let loss = device.as_webgpu()?.lost();
    let lost = Arc::new(OnceLock::new());
    let lost_then = Arc::clone(&lost);
    wasm_bindgen_futures::spawn_local(async move {
        if let Ok(loss) = wasm_bindgen_futures::JsFuture::from(loss).await {
            let _ = lost_then.set(told(loss.reason(), loss.message()));
        }
    });
    Some(lost)
}

#[cfg(not(all(target_family = "wasm", feature = "webgpu")))]
fn told_by_browser(_: &wgpu::Device) -> Option<Arc<OnceLock<String>>> {
    None
}

/// Whether the CPU's memory is the device's own.
fn shares_memory(info: &wgpu::AdapterInfo) -> bool {
    matches!(
        info.device_type,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu
    )
}

fn wanted_features(info: &wgpu::AdapterInfo) -> wgpu::Features {
    // Elsewhere a mapped buffer is slow to work on, of which wgpu warns.
    let mappable = if shares_memory(info) {
        wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
    } else {
        wgpu::Features::empty()
    };
    Kernel::required_features(DType::F64) | wgpu::Features::TIMESTAMP_QUERY | mappable
}

fn can_compute(adapter: &wgpu::Adapter) -> bool {
    let flags = adapter.get_downlevel_capabilities().flags;
    flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && adapter.limits().max_storage_buffers_per_shader_stage >= 2
}

fn rank(info: &wgpu::AdapterInfo, low_power: bool) -> (u8, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 1,
        wgpu::DeviceType::IntegratedGpu if low_power => 0,
        wgpu::DeviceType::IntegratedGpu => 2,
        wgpu::DeviceType::VirtualGpu => 3,
        wgpu::DeviceType::Other => 4,
        wgpu::DeviceType::Cpu => 5,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}

fn names(adapters: &[wgpu::Adapter]) -> Vec<String> {
    let name = |adapter: &wgpu::Adapter| {
        let missing = if can_compute(adapter) {
            ""
        } else {
            ", without compute shaders"
        };
        format!("{}{missing}", full_name(&adapter.get_info()))
    };
    adapters.iter().map(name).collect()
}

fn full_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(&info.name, info)
}

/// Without what the driver adds in parentheses, such as the version of its compiler.
fn short_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(info.name.split(" (").next().unwrap_or_default(), info)
}

/// Browsers mostly keep the name to themselves.
fn with_backend(name: &str, info: &wgpu::AdapterInfo) -> String {
    let name = if name.is_empty() { "a GPU" } else { name };
    format!("{name} ({})", backend_name(info.backend))
}
