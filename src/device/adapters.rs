//! The adapters that wgpu finds, which of them is selected, and why.

#[cfg(not(target_family = "wasm"))]
use std::sync::OnceLock;
use std::{fmt, sync::Arc};

use crate::{dtype::DType, kernel::Kernel};

/// A request for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// The best hardware GPU, else the CPU: [`Device::auto`](super::Device::auto).
    Auto,
    /// The best hardware GPU, else a software adapter: [`Device::gpu`](super::Device::gpu).
    Gpu,
    /// The best adapter whose name contains this text: [`Device::named`](super::Device::named).
    Named(Arc<str>),
}

/// The device that a [`Wish`] selects.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// This adapter.
    Adapter(&'a wgpu::Adapter),
    /// The CPU path.
    Cpu,
    /// No device; this is an error.
    Nothing,
}

/// The reason why a [`Wish`] selects a device. It displays as the end of a sentence, such as `it is the best hardware
/// GPU`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The adapter is the best hardware GPU.
    BestHardware,
    /// The adapter is a software adapter, and no hardware GPU exists.
    BestSoftware,
    /// The adapter has the requested name.
    Named(Arc<str>),
    /// No adapter has the requested name.
    NoneNamed(Arc<str>),
    /// wgpu finds no adapter.
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
            Self::BestSoftware => f.write_str("it is the best software adapter"),
            Self::Named(name) => write!(f, "its name contains {name:?}"),
            Self::NoneNamed(name) => write!(f, "no adapter's name contains {name:?}"),
            Self::NoAdapter => f.write_str("wgpu finds no adapter"),
            Self::NoHardware => f.write_str("no adapter is a hardware GPU with compute shaders"),
            Self::NoComputeShaders => f.write_str("no adapter has compute shaders"),
        }
    }
}

impl Wish {
    /// Returns the wish for the adapter that `WGPU_ADAPTER_NAME` names, or [`Wish::Auto`] if the variable is not set.
    pub fn from_env() -> Self {
        match std::env::var("WGPU_ADAPTER_NAME") {
            Ok(name) if !name.is_empty() => Self::Named(name.into()),
            _ => Self::Auto,
        }
    }

    /// Selects one of `adapters`, which must be sorted best first, as [`adapters`] returns them.
    pub fn select<'a>(&self, adapters: &'a [wgpu::Adapter]) -> (Selection<'a>, Reason) {
        let candidates: Vec<Candidate> = adapters.iter().map(Candidate::new).collect();
        let (chosen, reason) = self.choose(&candidates);
        let selection = match chosen.and_then(|at| adapters.get(at)) {
            Some(adapter) => Selection::Adapter(adapter),
            None if *self == Self::Auto => Selection::Cpu,
            None => Selection::Nothing,
        };
        (selection, reason)
    }

    /// Returns whether an adapter that comes first among its kind is selected without looking at others.
    pub(super) fn prefers(&self, adapter: &wgpu::Adapter) -> bool {
        self.prefers_candidate(&Candidate::new(adapter))
    }

    /// Returns the index of the selected candidate, if any, and the reason. The candidates are sorted best first.
    fn choose(&self, candidates: &[Candidate]) -> (Option<usize>, Reason) {
        if let Some(at) = candidates.iter().position(|c| self.prefers_candidate(c)) {
            let reason = match self {
                Self::Named(name) => Reason::Named(name.clone()),
                Self::Auto | Self::Gpu => Reason::BestHardware,
            };
            return (Some(at), reason);
        }
        let can_compute = candidates.iter().position(|c| c.can_compute);
        match (self, can_compute) {
            (Self::Named(name), _) => (None, Reason::NoneNamed(name.clone())),
            (_, _) if candidates.is_empty() => (None, Reason::NoAdapter),
            (Self::Gpu, Some(at)) => (Some(at), Reason::BestSoftware),
            (Self::Gpu, None) => (None, Reason::NoComputeShaders),
            (Self::Auto, _) => (None, Reason::NoHardware),
        }
    }

    fn prefers_candidate(&self, candidate: &Candidate) -> bool {
        match self {
            Self::Auto | Self::Gpu => candidate.objection().is_none(),
            Self::Named(name) => candidate.can_compute && name_contains(&candidate.info, name),
        }
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

/// Returns the adapters that wgpu finds, best first as defined by [`rank`]. `WGPU_BACKEND` restricts the search.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    first(|_| false).await.err().unwrap_or_default()
}

/// Returns the rank of an adapter; a lower rank is better. GL's adapters come after all others, because loading GL's
/// drivers takes long and wgpu searches them last. Otherwise the order is: discrete, integrated, virtual, unknown,
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

/// Returns whether the adapter's name contains `name`, in upper or lower case. The backend is part of the name:
/// `llvmpipe (GL)`.
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

/// Returns the best adapter that fits, or else all adapters, best first.
///
/// GL is searched last: loading its drivers takes longer than everything else before a first result, and a GL adapter
/// is rarely the best.
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

/// Returns the adapters of `backends` that `WGPU_BACKEND` does not exclude.
#[cfg(not(target_family = "wasm"))]
async fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let Some(instance) = instance(backends) else {
        return Vec::new();
    };
    let mut adapters = instance.enumerate_adapters(backends).await;
    // wgpu's noop backend computes nothing, so it must not count as a GPU.
    adapters.retain(|adapter| adapter.get_info().backend != wgpu::Backend::Noop);
    adapters
}

/// Returns the process's shared instance for all backends except GL, or a new instance for GL. Returns `None` if wgpu
/// is compiled without these backends.
///
/// wgpu can distinguish the objects of two devices only if both devices come from the same instance. Using a buffer of
/// the other device is then an error; with two instances, its id silently refers to a different buffer. GL cannot share
/// an instance: all its devices lock one context, and wgpu 30 panics if a thread waits for the lock for more than a
/// second (wgpu-hal-30.0.1/src/gles/egl.rs, `fn lock`). GL is not part of the shared instance either, because creating
/// an instance loads the drivers of all its backends, and GL's drivers take as long to load as all others together.
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

/// Returns the browser's fastest adapter. A browser offers only one adapter, and without this request it may not be the
/// fastest.
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
    // Browsers distinguish the objects of two devices themselves.
    let instance = wgpu::Instance::new(descriptor);
    Vec::from_iter(instance.request_adapter(&fastest).await)
}

/// Returns `None` if no backend is available, because an instance without backends may panic.
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

/// Returns whether the CPU and the device share their memory.
pub(super) fn shares_memory(info: &wgpu::AdapterInfo) -> bool {
    matches!(
        info.device_type,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu
    )
}

pub(super) fn wanted_features(info: &wgpu::AdapterInfo) -> wgpu::Features {
    // On a device with separate memory, work on a mapped buffer is slow, and wgpu warns about it.
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

    /// An adapter without a name, of this kind and backend.
    fn candidate(kind: wgpu::DeviceType, backend: wgpu::Backend, can_compute: bool) -> Candidate {
        let info = wgpu::AdapterInfo::new(kind, backend);
        Candidate { info, can_compute }
    }

    #[test]
    fn each_wish_selects_the_first_adapter_that_meets_it() {
        use wgpu::{Backend::*, DeviceType::*};
        let all = [
            candidate(DiscreteGpu, Vulkan, false),
            candidate(Cpu, Vulkan, true),
            candidate(IntegratedGpu, Gl, true),
        ];
        let named = |name: &str| Wish::Named(name.into());
        assert_eq!(Wish::Auto.choose(&all), (Some(2), Reason::BestHardware));
        assert_eq!(Wish::Gpu.choose(&all), (Some(2), Reason::BestHardware));
        assert_eq!(
            named("gl").choose(&all),
            (Some(2), Reason::Named("gl".into()))
        );
        assert_eq!(
            named("vulkan").choose(&all),
            (Some(1), Reason::Named("vulkan".into()))
        );
        assert_eq!(
            named("dx").choose(&all),
            (None, Reason::NoneNamed("dx".into()))
        );
        let software = &all[..2];
        assert_eq!(Wish::Auto.choose(software), (None, Reason::NoHardware));
        assert_eq!(Wish::Gpu.choose(software), (Some(1), Reason::BestSoftware));
        let without_compute = &all[..1];
        assert_eq!(
            Wish::Auto.choose(without_compute),
            (None, Reason::NoHardware)
        );
        assert_eq!(
            Wish::Gpu.choose(without_compute),
            (None, Reason::NoComputeShaders)
        );
    }

    #[test]
    fn without_an_adapter_there_is_the_cpu_or_an_error() {
        let selected = |wish: Wish| {
            let (selection, reason) = wish.select(&[]);
            (matches!(selection, Selection::Cpu), reason.to_string())
        };
        assert_eq!(selected(Wish::Auto), (true, "wgpu finds no adapter".into()));
        assert_eq!(selected(Wish::Gpu), (false, "wgpu finds no adapter".into()));
        assert_eq!(
            selected(Wish::Named("Voodoo 2".into())),
            (false, "no adapter's name contains \"Voodoo 2\"".into())
        );
    }
}
