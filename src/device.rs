//! Devices: the CPU, a GPU that this crate selects, or a GPU that a host lends.

mod adapters;
mod gpu;
mod submission;

use std::fmt;

use crate::{
    cpu,
    error::{Error, Result},
};
pub use adapters::{
    Reason, Selection, Wish, adapters, backend_name, can_compute, full_name, is_named, objection,
    rank,
};
use adapters::{first, names};
pub use gpu::Gpu;
pub(crate) use submission::Until;

/// The place where tensors are stored and operations run. Cheap to clone.
///
/// # Environment variables
///
/// Every constructor that looks for adapters respects wgpu's own variables: `WGPU_BACKEND` (`vulkan`, `metal`, `dx12`,
/// `gl`, or several separated by commas), `WGPU_POWER_PREF` (`low` prefers an integrated GPU) and the debugging ones.
/// [`Device::from_env`] also reads `WGPU_ADAPTER_NAME`. GL adapters are considered only if no other backend has a
/// suitable one, whatever the preference.
///
/// # Async and blocking
///
/// Constructors are `async`, as in wgpu. Outside the browser each has a blocking version whose name ends in
/// `_blocking`.
///
/// Methods that submit work or wait for it also run wgpu's pending callbacks, as every submission and poll does. These
/// include a host's own callbacks, whose panics are passed on.
///
/// # In a browser
///
/// Browsers report the errors of a call later. [`Error::OutOfMemory`] and [`Error::Refused`] are therefore returned by
/// the next call that waits for the device: [`Device::wait`], reading a tensor, or a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// The CPU path, [`crate::cpu`].
    Cpu,
    /// A wgpu device.
    Gpu(Gpu),
}

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(gpu)
    }
}

impl Device {
    /// Returns the best hardware GPU, or the CPU if none exists. The CPU path is faster than a software adapter.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoDevice`] if a hardware GPU exists but its driver cannot create a device.
    pub async fn auto() -> Result<Self> {
        Ok(Self::select(&Wish::Auto).await?.0)
    }

    /// Returns the best hardware GPU, or a software adapter if no hardware GPU exists.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoAdapter`] if no adapter has compute shaders, and [`Error::NoDevice`].
    pub async fn gpu() -> Result<Self> {
        Ok(Self::select(&Wish::Gpu).await?.0)
    }

    /// Returns the best adapter whose name contains `name`, in upper or lower case. Software adapters count. GL's
    /// adapters are considered only if no other backend has a matching one. The backend is part of the name: `llvmpipe
    /// (GL)`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoAdapter`], which lists the available adapters, and [`Error::NoDevice`].
    pub async fn named(name: &str) -> Result<Self> {
        Ok(Self::select(&Wish::Named(name.into())).await?.0)
    }

    /// Selects the adapter that `WGPU_ADAPTER_NAME` names, as [`Device::named`] does, or works like [`Device::auto`] if
    /// the variable is not set.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::named`] and [`Device::auto`].
    pub async fn from_env() -> Result<Self> {
        Ok(Self::select(&Wish::from_env()).await?.0)
    }

    /// Selects the device that meets the wish, and returns it with the reason. The methods above call this one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoAdapter`] if no adapter meets the wish, and [`Error::NoDevice`].
    pub async fn select(wish: &Wish) -> Result<(Self, Reason)> {
        // The search ends at the first preferred adapter, so that GL's drivers are rarely loaded.
        let adapters = match first(|adapter| wish.prefers(adapter)).await {
            Ok(adapter) => vec![adapter],
            Err(adapters) => adapters,
        };
        let (selection, reason) = wish.select(&adapters);
        match selection {
            Selection::Adapter(adapter) => Ok((Self::from_adapter(adapter).await?, reason)),
            Selection::Cpu => {
                log::info!("using the CPU, because {reason}");
                Ok((Self::Cpu, reason))
            }
            Selection::Nothing => Err(Error::NoAdapter {
                wanted: match wish {
                    Wish::Named(name) => format!("adapter named {name:?}"),
                    Wish::Auto | Wish::Gpu => "GPU with compute shaders".into(),
                },
                found: names(&adapters),
            }),
        }
    }

    /// Creates a device on this adapter with the adapter's limits, and with these features as far as the adapter
    /// has them: `SHADER_F64`, `SHADER_INT64`, `TIMESTAMP_QUERY` and, if the CPU and the GPU share their memory,
    /// `MAPPABLE_PRIMARY_BUFFERS`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoDevice`] with the driver's reason.
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        Gpu::from_adapter(adapter).await.map(Self::Gpu)
    }

    /// Waits until all work submitted so far is done.
    ///
    /// # Errors
    ///
    /// Returns [`Error::DeviceLost`]; in a browser also the errors that [arrive later](Device#in-a-browser).
    pub async fn wait(&self) -> Result<()> {
        match self {
            Self::Cpu => Ok(()),
            Self::Gpu(gpu) => gpu.wait().await,
        }
    }
}

/// Blocking versions of the constructors, outside the browser.
#[cfg(not(target_family = "wasm"))]
impl Device {
    /// The blocking version of [`Device::auto`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::auto`].
    pub fn auto_blocking() -> Result<Self> {
        pollster::block_on(Self::auto())
    }

    /// The blocking version of [`Device::gpu`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::gpu`].
    pub fn gpu_blocking() -> Result<Self> {
        pollster::block_on(Self::gpu())
    }

    /// The blocking version of [`Device::named`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::named`].
    pub fn named_blocking(name: &str) -> Result<Self> {
        pollster::block_on(Self::named(name))
    }

    /// The blocking version of [`Device::from_env`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::from_env`].
    pub fn from_env_blocking() -> Result<Self> {
        pollster::block_on(Self::from_env())
    }

    /// The blocking version of [`Device::select`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::select`].
    pub fn select_blocking(wish: &Wish) -> Result<(Self, Reason)> {
        pollster::block_on(Self::select(wish))
    }

    /// The blocking version of [`Device::wait`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::wait`].
    pub fn wait_blocking(&self) -> Result<()> {
        pollster::block_on(self.wait())
    }
}

impl fmt::Display for Device {
    /// Displays, for example, `CPU (AVX2+FMA, 2 threads)` or `llvmpipe (Vulkan)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => {
                let threads = cpu::threads();
                let s = if threads == 1 { "" } else { "s" };
                write!(f, "CPU ({}, {threads} thread{s})", cpu::simd_level())
            }
            Self::Gpu(gpu) => gpu.fmt(f),
        }
    }
}
