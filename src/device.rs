//! Where tensors live: the CPU, or a GPU that was chosen here or lent by a host.

mod adapters;
mod gpu;
mod submission;

use std::fmt;

use crate::{
    cpu,
    error::{Error, Result},
};
pub use adapters::{Reason, Selection, Wish, adapters, backend_name, is_named, objection, rank};
use adapters::{first, names};
pub use gpu::Gpu;
pub(crate) use submission::{Until, whole_words};

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

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(gpu)
    }
}

impl Device {
    /// A hardware GPU if there is one, else the CPU path, which is faster than a software renderer.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] if there is a hardware GPU whose driver gives no device.
    pub async fn auto() -> Result<Self> {
        Self::select(&Wish::Auto).await
    }

    /// The best GPU adapter: hardware if there is any, else a software renderer, else an error.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`] if none can run compute shaders; [`Error::NoDevice`].
    pub async fn gpu() -> Result<Self> {
        Self::select(&Wish::Gpu).await
    }

    /// The best adapter whose name contains `name` in any case, software renderers included, and GL's only if no other
    /// backend has one. The backend counts as part of the name: `llvmpipe (GL)`.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`], which lists the adapters that exist; [`Error::NoDevice`].
    pub async fn named(name: &str) -> Result<Self> {
        Self::select(&Wish::Named(name.into())).await
    }

    /// What `WGPU_ADAPTER_NAME` names, if it is set, as [`Device::named`]; else as [`Device::auto`].
    ///
    /// # Errors
    ///
    /// Those of [`Device::named`] and [`Device::auto`].
    pub async fn from_env() -> Result<Self> {
        Self::select(&Wish::from_env()).await
    }

    /// A device on this adapter, with all of its limits, and with those of these features that it has: `SHADER_F64`,
    /// `SHADER_INT64`, `TIMESTAMP_QUERY` and, where the CPU and the GPU share their memory, `MAPPABLE_PRIMARY_BUFFERS`.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] with the driver's reason.
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        Gpu::from_adapter(adapter).await.map(Self::Gpu)
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
            Self::Gpu(gpu) => gpu.fmt(f),
        }
    }
}

// ---- Internals ----

impl Device {
    /// The first adapter that is preferred ends the search, so that GL's drivers are rarely loaded.
    async fn select(wish: &Wish) -> Result<Self> {
        let adapters = match first(|adapter| wish.prefers(adapter)).await {
            Ok(adapter) => return Self::from_adapter(&adapter).await,
            Err(adapters) => adapters,
        };
        let (selection, reason) = wish.select(&adapters);
        match selection {
            Selection::Adapter(adapter) => Self::from_adapter(adapter).await,
            Selection::Cpu => {
                log::info!("using the CPU, since {reason}");
                Ok(Self::Cpu)
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
}
