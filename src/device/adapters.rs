//! The adapters that wgpu finds, which of them is selected, and why.

#[cfg(not(target_family = "wasm"))]
use std::sync::OnceLock;
use std::{fmt, sync::Arc};

#[cfg(not(target_family = "wasm"))]
use crate::checked::guarded;
use crate::{
    dtype::DType,
    error::{Error, Result},
    kernel::Kernel,
};

/// A request for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The best hardware GPU, else the CPU: [`Device::auto`](super::Device::auto).
    Auto,
    /// The best hardware GPU, else a software adapter: [`Device::gpu`](super::Device::gpu).
    Gpu,
    /// The best adapter whose name contains this text: [`Device::named`](super::Device::named).
    Named(Arc<str>),
}

/// The reason why a [`Request`] selects a device. It displays as the end of a sentence, such as `it is the best
/// hardware GPU`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The adapter is the best hardware GPU.
    BestHardware,
    /// The adapter is the best software adapter, and no hardware GPU with compute shaders exists.
    BestSoftware,
    /// The adapter's name contains this text.
    Named(Arc<str>),
    /// wgpu finds no adapter.
    NoAdapter,
    /// No adapter is a hardware GPU with compute shaders.
    NoHardware,
    /// The drivers of better adapters cannot create a device, or the adapters could not be listed. The text is the
    /// first error.
    BetterFailed(Arc<str>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestHardware => f.write_str("it is the best hardware GPU"),
            Self::BestSoftware => f.write_str("it is the best software adapter"),
            Self::Named(name) => write!(f, "its name contains {name:?}"),
            Self::NoAdapter => f.write_str("wgpu finds no adapter"),
            Self::NoHardware => f.write_str("no adapter is a hardware GPU with compute shaders"),
            Self::BetterFailed(failure) => f.write_str(failure),
        }
    }
}

impl Request {
    /// Returns the request for the adapter that `WGPU_ADAPTER_NAME` names, or [`Request::Auto`] if the variable is not
    /// set or is empty.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Environment`] if the variable is not valid UTF-8.
    pub fn from_env() -> Result<Self> {
        let name = variable("WGPU_ADAPTER_NAME")?;
        Ok(name.map_or(Self::Auto, |name| Self::Named(name.into())))
    }

    /// Returns whether the request selects an adapter without looking at those that come after it in the order of
    /// [`rank`].
    pub(super) fn prefers(&self, adapter: &wgpu::Adapter) -> bool {
        self.prefers_candidate(&Candidate::new(adapter))
    }

    /// Returns whether the request accepts an adapter if no device could be created on those that it prefers.
    pub(super) fn accepts(&self, adapter: &wgpu::Adapter) -> bool {
        *self == Self::Gpu && can_compute(adapter) && !self.prefers(adapter)
    }

    /// Returns the reason for an adapter that the request prefers.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Named(name) => Reason::Named(name.clone()),
            Self::Auto | Self::Gpu => Reason::BestHardware,
        }
    }

    fn prefers_candidate(&self, candidate: &Candidate) -> bool {
        match self {
            Self::Auto | Self::Gpu => candidate.objection().is_none(),
            Self::Named(name) => candidate.can_compute && name_contains(&candidate.info, name),
        }
    }
}

/// Returns the value of an environment variable, or `None` if it is not set or empty.
pub(super) fn variable(name: &'static str) -> Result<Option<String>> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(value) => Err(Error::Environment {
            name,
            value: value.to_string_lossy().into_owned(),
        }),
    }
}

/// The properties of an adapter that decide whether it is selected.
struct Candidate {
    info: wgpu::AdapterInfo,
    can_compute: bool,
}

impl Candidate {
    fn new(adapter: &wgpu::Adapter) -> Self {
        Self {
            info: adapter.get_info(),
            can_compute: can_compute(adapter),
        }
    }

    fn objection(&self) -> Option<&'static str> {
        if !self.can_compute {
            Some("it has no compute shaders")
        } else if self.info.device_type == wgpu::DeviceType::Cpu {
            Some("it is a software adapter, and the CPU path is faster")
        } else {
            None
        }
    }
}

/// Returns the adapters that wgpu finds, best first as defined by [`rank`]. `WGPU_BACKEND` restricts the search. GL is
/// searched separately, after all other backends together. If wgpu panics during one of these two searches, all
/// adapters of that search are missing, and the panic is logged.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let mut all = Vec::new();
    for backends in GROUPS {
        match adapters_of(backends).await {
            Ok(mut adapters) => all.append(&mut adapters),
            Err(error) => log::warn!("{error}"),
        }
    }
    all
}

/// Returns the rank of an adapter; a lower rank is better. GL adapters come after all others, because this crate
/// searches GL last: loading GL's drivers takes long. Otherwise the order is: discrete, integrated, virtual, unknown,
/// software. `WGPU_POWER_PREF=low` ranks integrated before discrete.
pub fn rank(info: &wgpu::AdapterInfo) -> impl Ord + use<> {
    rank_by(info, saves_power())
}

/// Returns why [`Device::auto`](super::Device::auto) would not select this adapter, or `None` if it would.
pub fn objection(adapter: &wgpu::Adapter) -> Option<&'static str> {
    Candidate::new(adapter).objection()
}

/// Returns whether the adapter has compute shaders with at least two storage buffers, which kernels need.
pub fn can_compute(adapter: &wgpu::Adapter) -> bool {
    let flags = adapter.get_downlevel_capabilities().flags;
    flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && adapter.limits().max_storage_buffers_per_shader_stage >= 2
}

/// Returns whether the adapter's name contains `name`, ignoring case. The backend is part of the name: `llvmpipe (GL)`.
pub fn is_named(adapter: &wgpu::Adapter, name: &str) -> bool {
    name_contains(&adapter.get_info(), name)
}

/// Returns the adapter's name with the backend, such as `llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan)`.
pub fn full_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(&info.name, info)
}

/// Returns the usual spelling of the backend's name.
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

/// The backends in the order in which they are searched. GL is last: loading its drivers takes as long as loading those
/// of all other backends, and a GL adapter is rarely the best.
pub(super) const GROUPS: [wgpu::Backends; 2] =
    [wgpu::Backends::GL.complement(), wgpu::Backends::GL];

/// Returns the adapters of `backends` that `WGPU_BACKEND` does not exclude, best first. Fails if wgpu panics.
#[cfg(not(target_family = "wasm"))]
pub(super) async fn adapters_of(backends: wgpu::Backends) -> Result<Vec<wgpu::Adapter>> {
    let enumerated = guarded(async {
        let Some(instance) = instance(backends) else {
            return Vec::new();
        };
        let mut adapters = instance.enumerate_adapters(backends).await;
        // wgpu's noop backend computes nothing, so it must not count as a GPU.
        adapters.retain(|adapter| adapter.get_info().backend != wgpu::Backend::Noop);
        adapters.sort_by_key(rank_key);
        adapters
    });
    enumerated.await.map_err(|reason| Error::NoList { reason })
}

/// Returns the process's shared instance for all backends except GL, or a new instance for GL. Returns `None` if
/// [`descriptor`] does.
///
/// wgpu can distinguish the objects of two devices only if both devices come from the same instance. Using a buffer of
/// the other device is then an error; with two instances, its id silently refers to a different buffer. GL devices do
/// not share an instance: all GL devices of an instance lock one context, and wgpu 30 panics if a thread waits for the
/// lock for more than a second (wgpu-hal-30.0.1/src/gles/egl.rs, `fn lock`). GL is not part of the shared instance
/// either, because creating an instance loads the drivers of all its backends, and GL's drivers take as long to load as
/// all others together.
#[cfg(not(target_family = "wasm"))]
fn instance(backends: wgpu::Backends) -> Option<wgpu::Instance> {
    static SHARED: OnceLock<wgpu::Instance> = OnceLock::new();
    let descriptor = descriptor(backends)?;
    if backends == wgpu::Backends::GL {
        return Some(wgpu::Instance::new(descriptor));
    }
    let shared = SHARED.get_or_init(|| wgpu::Instance::new(descriptor));
    Some(shared.clone())
}

/// Returns the adapter that the browser offers, or nothing. A browser offers only one adapter, so this function
/// requests the fastest.
#[cfg(target_family = "wasm")]
pub(super) async fn adapters_of(backends: wgpu::Backends) -> Result<Vec<wgpu::Adapter>> {
    let Some(descriptor) = descriptor(backends) else {
        return Ok(Vec::new());
    };
    if !wgpu::util::is_browser_webgpu_supported().await {
        return Ok(Vec::new());
    }
    let fastest = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    // Browsers distinguish the objects of two devices themselves, so the instance need not be shared.
    let instance = wgpu::Instance::new(descriptor);
    Ok(Vec::from_iter(instance.request_adapter(&fastest).await))
}

/// Describes an instance with those `backends` that are compiled in and that `WGPU_BACKEND` does not exclude. Returns
/// `None` if none is left, because an instance without backends may panic.
fn descriptor(backends: wgpu::Backends) -> Option<wgpu::InstanceDescriptor> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= backends & wgpu::Instance::enabled_backend_features();
    (!descriptor.backends.is_empty()).then_some(descriptor)
}

fn saves_power() -> bool {
    wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower)
}

#[cfg(not(target_family = "wasm"))]
fn rank_key(adapter: &wgpu::Adapter) -> impl Ord + use<> {
    rank(&adapter.get_info())
}

/// Returns whether the CPU and the device share their memory.
pub(super) fn shares_memory(info: &wgpu::AdapterInfo) -> bool {
    matches!(
        info.device_type,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu
    )
}

/// Returns the features that a device gets if its adapter has them.
pub(super) fn wanted_features(info: &wgpu::AdapterInfo) -> wgpu::Features {
    // With separate memory, kernels are slow on mappable buffers, and wgpu logs a warning about the feature.
    let mappable = if shares_memory(info) {
        wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
    } else {
        wgpu::Features::empty()
    };
    Kernel::required_features(DType::F64) | wgpu::Features::TIMESTAMP_QUERY | mappable
}

fn rank_by(info: &wgpu::AdapterInfo, low_power: bool) -> (bool, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 1,
        wgpu::DeviceType::IntegratedGpu if low_power => 0,
        wgpu::DeviceType::IntegratedGpu => 2,
        wgpu::DeviceType::VirtualGpu => 3,
        wgpu::DeviceType::Other => 4,
        wgpu::DeviceType::Cpu => 5,
    };
    (info.backend == wgpu::Backend::Gl, kind)
}

/// Returns the adapters' names as [`Error::NoAdapter`](crate::Error::NoAdapter) lists them.
pub(super) fn names(adapters: &[wgpu::Adapter]) -> Vec<String> {
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

/// Returns whether the adapter's name contains `name`, with or without the driver's additions, so that both `LLVM 15`
/// and `llvmpipe (GL)` match.
fn name_contains(info: &wgpu::AdapterInfo, name: &str) -> bool {
    let name = name.to_lowercase();
    [full_name(info), short_name(info)]
        .iter()
        .any(|full| full.to_lowercase().contains(&name))
}

/// Returns the adapter's name without the driver's additions in parentheses, such as a compiler's version.
pub(super) fn short_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(info.name.split(" (").next().unwrap_or_default(), info)
}

/// Appends the backend to the name. Most browsers do not report a name.
fn with_backend(name: &str, info: &wgpu::AdapterInfo) -> String {
    let name = if name.is_empty() { "a GPU" } else { name };
    format!("{name} ({})", backend_name(info.backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_adapter_is_discrete_and_not_gl() {
        use wgpu::{Backend::*, DeviceType::*};
        let best_first = [
            (DiscreteGpu, Vulkan),
            (IntegratedGpu, Metal),
            (VirtualGpu, Dx12),
            (Cpu, Vulkan),
            (DiscreteGpu, Gl),
            (Other, Gl),
            (Cpu, Gl),
        ];
        let ranks = best_first
            .map(|(kind, backend)| rank_by(&wgpu::AdapterInfo::new(kind, backend), false));
        assert!(ranks.is_sorted() && ranks.windows(2).all(|two| two[0] < two[1]));
        let low_power = |kind| rank_by(&wgpu::AdapterInfo::new(kind, Vulkan), true);
        assert!(low_power(IntegratedGpu) < low_power(DiscreteGpu));
        assert!(low_power(DiscreteGpu) < low_power(VirtualGpu));
    }

    /// Returns an adapter of this kind and backend, without a name.
    fn candidate(kind: wgpu::DeviceType, backend: wgpu::Backend, can_compute: bool) -> Candidate {
        let info = wgpu::AdapterInfo::new(kind, backend);
        Candidate { info, can_compute }
    }

    #[test]
    fn each_request_prefers_the_adapters_that_meet_it() {
        use wgpu::{Backend::*, DeviceType::*};
        let all = [
            candidate(DiscreteGpu, Vulkan, false),
            candidate(Cpu, Vulkan, true),
            candidate(IntegratedGpu, Gl, true),
        ];
        let named = |name: &str| Request::Named(name.into());
        for (request, preferred) in [
            (Request::Auto, [false, false, true]),
            (Request::Gpu, [false, false, true]),
            (named("gl"), [false, false, true]),
            (named("vulkan"), [false, true, false]),
            (named("dx"), [false, false, false]),
        ] {
            let found = all
                .each_ref()
                .map(|candidate| request.prefers_candidate(candidate));
            assert_eq!(found, preferred, "{request:?}");
        }
    }
}
