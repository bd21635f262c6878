//! The adapters that wgpu sees, and which of them is taken, and why.

#[cfg(not(target_family = "wasm"))]
use std::sync::OnceLock;
use std::{fmt, sync::Arc};

use crate::{dtype::DType, kernel::Kernel};

/// What a device is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// The best hardware GPU, else the CPU: [`Device::auto`](super::Device::auto).
    Auto,
    /// The best GPU, a software renderer if there is no hardware: [`Device::gpu`](super::Device::gpu).
    Gpu,
    /// The best adapter with this in its name: [`Device::named`](super::Device::named).
    Named(Arc<str>),
}

/// Which device a [`Wish`] selects.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// This adapter.
    Adapter(&'a wgpu::Adapter),
    /// The CPU path.
    Cpu,
    /// None, which is an error.
    Nothing,
}

/// Why a [`Wish`] selects what it does. It displays as the end of a sentence, such as `it is the best hardware GPU`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The adapter is the best hardware GPU.
    BestHardware,
    /// The adapter is a software renderer, and there is no hardware GPU.
    BestSoftware,
    /// The adapter has the name that was asked for, or none has.
    Named(Arc<str>),
    /// wgpu sees no adapter.
    NoAdapter,
    /// No adapter is a hardware GPU with compute shaders.
    NoHardware,
    /// No adapter has compute shaders.
    NoComputeShaders,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestHardware => f.write_str("it is the best hardware GPU"),
            Self::BestSoftware => f.write_str("it is the best software renderer"),
            Self::Named(name) => write!(f, "{name:?} was asked for"),
            Self::NoAdapter => f.write_str("wgpu sees no adapter"),
            Self::NoHardware => f.write_str("no adapter is a hardware GPU with compute shaders"),
            Self::NoComputeShaders => f.write_str("no adapter has compute shaders"),
        }
    }
}

impl Wish {
    /// What `WGPU_ADAPTER_NAME` asks for if it is set, else [`Wish::Auto`].
    pub fn from_env() -> Self {
        match std::env::var("WGPU_ADAPTER_NAME") {
            Ok(name) if !name.is_empty() => Self::Named(name.into()),
            _ => Self::Auto,
        }
    }

    /// Selects among `adapters`, which are the best first, as those of [`adapters`] are.
    pub fn select<'a>(&self, adapters: &'a [wgpu::Adapter]) -> (Selection<'a>, Reason) {
        let best = |accepts: fn(&Self, &wgpu::Adapter) -> bool| {
            adapters.iter().find(|adapter| accepts(self, adapter))
        };
        match (best(Self::prefers), best(Self::accepts)) {
            (Some(adapter), _) => {
                let reason = match self {
                    Self::Named(name) => Reason::Named(name.clone()),
                    Self::Auto | Self::Gpu => Reason::BestHardware,
                };
                (Selection::Adapter(adapter), reason)
            }
            (None, Some(adapter)) => (Selection::Adapter(adapter), Reason::BestSoftware),
            (None, None) => self.without_adapter(adapters.is_empty()),
        }
    }

    /// Whether an adapter is taken before all that come after it.
    pub(super) fn prefers(&self, adapter: &wgpu::Adapter) -> bool {
        match self {
            Self::Auto | Self::Gpu => objection(adapter).is_none(),
            Self::Named(name) => can_compute(adapter) && is_named(adapter, name),
        }
    }

    /// Whether an adapter is taken if none is preferred.
    pub(super) fn accepts(&self, adapter: &wgpu::Adapter) -> bool {
        match self {
            Self::Gpu => can_compute(adapter),
            Self::Auto | Self::Named(_) => self.prefers(adapter),
        }
    }

    fn without_adapter(&self, sees_none: bool) -> (Selection<'static>, Reason) {
        match self {
            Self::Auto if sees_none => (Selection::Cpu, Reason::NoAdapter),
            Self::Auto => (Selection::Cpu, Reason::NoHardware),
            Self::Gpu if sees_none => (Selection::Nothing, Reason::NoAdapter),
            Self::Gpu => (Selection::Nothing, Reason::NoComputeShaders),
            Self::Named(name) => (Selection::Nothing, Reason::Named(name.clone())),
        }
    }
}

/// The adapters that wgpu sees, best first: see [`rank`].
///
/// `WGPU_BACKEND` restricts them.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    first(|_| false).await.err().unwrap_or_default()
}

/// The rank of an adapter, less for a better one: discrete, integrated, virtual, unknown, software; of one kind, GL last.
///
/// `WGPU_POWER_PREF=low` puts integrated before discrete.
pub fn rank(info: &wgpu::AdapterInfo) -> impl Ord + use<> {
    rank_by(info, saves_power())
}

/// Why [`Device::auto`](super::Device::auto) would not take this adapter, if it would not.
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

/// Returns the best adapter that fits, or else all adapters, best first.
///
/// GL is asked last, because loading its drivers takes longer than everything else before a first result, and is rarely of use.
pub(super) async fn first(
    fits: impl Fn(&wgpu::Adapter) -> bool,
) -> Result<wgpu::Adapter, Vec<wgpu::Adapter>> {
    let mut all = Vec::new();
    for backends in [wgpu::Backends::GL.complement(), wgpu::Backends::GL] {
        let mut adapters = adapters_of(backends).await;
        adapters.sort_by_key(rank_key);
        if let Some(at) = adapters.iter().position(&fits) {
            return Ok(adapters.swap_remove(at));
        }
        all.append(&mut adapters);
    }
    all.sort_by_key(rank_key);
    Err(all)
}

/// The adapters of `backends` that `WGPU_BACKEND` does not exclude.
#[cfg(not(target_family = "wasm"))]
async fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let Some(instance) = instance(backends) else {
        return Vec::new();
    };
    let mut adapters = instance.enumerate_adapters(backends).await;
    // A device that does nothing must not pass for a GPU.
    adapters.retain(|adapter| adapter.get_info().backend != wgpu::Backend::Noop);
    adapters
}

/// The process's one instance for all backends but GL, and for GL a new one; none if wgpu is compiled without any of them.
///
/// wgpu tells objects of two devices apart only if both devices come from one instance: a buffer of the one in the hands of the
/// other is then an error, and from two instances it is silently another buffer. GL cannot share one: its devices lock one context
/// for every instance, and wgpu 30 panics if a thread waits for that for more than a second (wgpu-hal-30.0.1/src/gles/egl.rs,
/// `fn lock`). Nor can it be in the others' instance, because creating an instance loads the drivers of all its backends, and
/// GL's take as long as all others.
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

/// The browser's fastest adapter. A browser offers one only, and unasked perhaps not the fastest.
#[cfg(target_family = "wasm")]
async fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let Some(descriptor) = descriptor(backends) else {
        return Vec::new();
    };
    if !wgpu::util::is_browser_webgpu_supported().await {
        return Vec::new();
    }
    let fastest = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    // The browser itself tells objects of two devices apart.
    let instance = wgpu::Instance::new(descriptor);
    Vec::from_iter(instance.request_adapter(&fastest).await)
}

/// None without any backend: an instance without backends may panic.
fn descriptor(backends: wgpu::Backends) -> Option<wgpu::InstanceDescriptor> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= backends & wgpu::Instance::enabled_backend_features();
    (!descriptor.backends.is_empty()).then_some(descriptor)
}

fn saves_power() -> bool {
    wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower)
}

fn rank_key(adapter: &wgpu::Adapter) -> impl Ord + use<> {
    rank(&adapter.get_info())
}

/// Whether the CPU and the device share their memory.
pub(super) fn shares_memory(info: &wgpu::AdapterInfo) -> bool {
    matches!(
        info.device_type,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu
    )
}

pub(super) fn wanted_features(info: &wgpu::AdapterInfo) -> wgpu::Features {
    // Where they do not share it, work on a mapped buffer is slow, and wgpu warns of it.
    let mappable = if shares_memory(info) {
        wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
    } else {
        wgpu::Features::empty()
    };
    Kernel::required_features(DType::F64) | wgpu::Features::TIMESTAMP_QUERY | mappable
}

pub(super) fn can_compute(adapter: &wgpu::Adapter) -> bool {
    let flags = adapter.get_downlevel_capabilities().flags;
    flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && adapter.limits().max_storage_buffers_per_shader_stage >= 2
}

fn rank_by(info: &wgpu::AdapterInfo, low_power: bool) -> (u8, u8) {
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

pub(super) fn full_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(&info.name, info)
}

/// Without what the driver adds in parentheses, such as the version of its compiler.
pub(super) fn short_name(info: &wgpu::AdapterInfo) -> String {
    with_backend(info.name.split(" (").next().unwrap_or_default(), info)
}

/// Most browsers do not tell the name.
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
            (DiscreteGpu, Gl),
            (IntegratedGpu, Metal),
            (VirtualGpu, Dx12),
            (Other, Gl),
            (Cpu, Vulkan),
            (Cpu, Gl),
        ];
        let ranks = best_first
            .map(|(kind, backend)| rank_by(&wgpu::AdapterInfo::new(kind, backend), false));
        assert!(ranks.is_sorted() && ranks.windows(2).all(|two| two[0] < two[1]));
        let low_power = |kind| rank_by(&wgpu::AdapterInfo::new(kind, Vulkan), true);
        assert!(low_power(IntegratedGpu) < low_power(DiscreteGpu));
        assert!(low_power(DiscreteGpu) < low_power(VirtualGpu));
    }

    #[test]
    fn without_an_adapter_there_is_the_cpu_or_an_error() {
        let selected = |wish: Wish| {
            let (selection, reason) = wish.select(&[]);
            (matches!(selection, Selection::Cpu), reason.to_string())
        };
        assert_eq!(selected(Wish::Auto), (true, "wgpu sees no adapter".into()));
        assert_eq!(selected(Wish::Gpu), (false, "wgpu sees no adapter".into()));
        assert_eq!(
            selected(Wish::Named("Voodoo 2".into())),
            (false, "\"Voodoo 2\" was asked for".into())
        );
    }
}
