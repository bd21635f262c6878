//! Devices: the CPU, a GPU that this crate selects, or a GPU that a host (an app with its own wgpu device) lends.

mod adapters;
mod gpu;
mod submission;

use std::fmt;

use crate::{
    cpu,
    error::{Error, Result},
};
use adapters::{GROUPS, adapters_of, names, variable};
pub use adapters::{
    Reason, Request, adapters, backend_name, can_compute, full_name, is_named, objection, rank,
};
pub use gpu::Gpu;
pub(crate) use submission::Until;

/// The place where tensors are stored and operations run. Cheap to clone.
///
/// # Environment variables
///
/// Every constructor that looks for adapters respects wgpu's own variables: `WGPU_BACKEND` (`vulkan`, `metal`, `dx12`,
/// `gl`, or several separated by commas), `WGPU_POWER_PREF` (`low` prefers an integrated GPU) and those for
/// debugging, such as `WGPU_VALIDATION`.
/// [`Device::from_env`] also reads `WGPU_ADAPTER_NAME`. GL adapters are considered only if no other backend has a
/// suitable adapter, whatever `WGPU_POWER_PREF` says.
///
/// # Async and blocking
///
/// Constructors are `async`, as in wgpu. Outside the browser each, except [`Device::from_adapter`], has a blocking
/// version whose name ends in `_blocking`.
///
/// Methods that submit work or wait for it also run wgpu's pending callbacks, as every submission and poll does. These
/// include the callbacks of a host, the app that [lent](Gpu::from_wgpu) its wgpu device. A panic of a host's callback
/// is passed on. On a device that this crate created, every panic in such a call becomes [`Error::DeviceLost`], because
/// wgpu panics where a driver returns an error that it does not expect.
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
    /// Returns the best hardware GPU whose driver can create a device, or the CPU if none exists. The CPU path is
    /// faster than a software adapter.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Environment`] if `WGPU_BACKEND` or `WGPU_POWER_PREF` is not valid UTF-8.
    pub async fn auto() -> Result<Self> {
        Ok(Self::select(&Request::Auto).await?.0)
    }

    /// Returns the best hardware GPU with compute shaders, or a software adapter if none exists.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::select`].
    pub async fn gpu() -> Result<Self> {
        Ok(Self::select(&Request::Gpu).await?.0)
    }

    /// Returns the best adapter with compute shaders whose name contains `name`, ignoring case. Software adapters
    /// count. GL adapters are considered only if no other backend has a matching one. The backend is part of the name:
    /// `llvmpipe (GL)`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::select`]. [`Error::NoAdapter`] lists the available adapters.
    pub async fn named(name: &str) -> Result<Self> {
        Ok(Self::select(&Request::Named(name.into())).await?.0)
    }

    /// Selects the adapter that `WGPU_ADAPTER_NAME` names, as [`Device::named`] does, or works like [`Device::auto`] if
    /// the variable is not set or empty.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Device::select`], and [`Error::Environment`] if `WGPU_ADAPTER_NAME` is not valid UTF-8.
    pub async fn from_env() -> Result<Self> {
        Ok(Self::select(&Request::from_env()?).await?.0)
    }

    /// Selects the device that meets the request, and returns it with the reason. The methods above call this one. If a
    /// driver cannot create a device, the next adapter that meets the request is tried.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::NoList`] if wgpu panics in a search for adapters, and the other search finds none that works.
    /// - Returns [`Error::NoDevice`] of the best adapter if the drivers of all adapters that meet the request fail.
    /// - Returns [`Error::NoAdapter`] if no adapter meets the request.
    /// - Returns [`Error::Environment`] if `WGPU_BACKEND` or `WGPU_POWER_PREF` is not valid UTF-8.
    ///
    /// [`Request::Auto`] returns only the last of these, because it selects the CPU where the others would be returned.
    pub async fn select(request: &Request) -> Result<(Self, Reason)> {
        for name in ["WGPU_BACKEND", "WGPU_POWER_PREF"] {
            variable(name)?;
        }
        let mut failures = Failures::default();
        let mut found = Vec::new();
        // The search ends at the first preferred adapter, so that GL's drivers are rarely loaded.
        for backends in GROUPS {
            let mut adapters = failures
                .add(adapters_of(backends).await)
                .unwrap_or_default();
            for adapter in adapters.iter().filter(|adapter| request.prefers(adapter)) {
                if let Some(device) = failures.try_adapter(adapter).await {
                    return Ok((device, failures.reason_or(request.reason())));
                }
            }
            found.append(&mut adapters);
        }
        for adapter in found.iter().filter(|adapter| request.accepts(adapter)) {
            if let Some(device) = failures.try_adapter(adapter).await {
                return Ok((device, failures.reason_or(Reason::BestSoftware)));
            }
        }
        if *request == Request::Auto {
            let reason = failures.reason_or(if found.is_empty() {
                Reason::NoAdapter
            } else {
                Reason::NoHardware
            });
            log::info!("using the CPU, because {reason}");
            return Ok((Self::Cpu, reason));
        }
        Err(failures.first.unwrap_or_else(|| Error::NoAdapter {
            wanted: match request {
                Request::Named(name) => format!("adapter named {name:?}"),
                Request::Auto | Request::Gpu => "GPU with compute shaders".into(),
            },
            found: names(&found),
        }))
    }

    /// Creates a device on this adapter with the adapter's limits, except that `max_non_sampler_bindings` is at most
    /// 65,536, and with these features if the adapter has them: `SHADER_F64`, `SHADER_INT64`, `TIMESTAMP_QUERY` and, if
    /// the CPU and the GPU share their memory, `MAPPABLE_PRIMARY_BUFFERS`.
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

/// Blocking versions of the `async` methods, outside the browser.
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
    pub fn select_blocking(request: &Request) -> Result<(Self, Reason)> {
        pollster::block_on(Self::select(request))
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

/// The first failure to list adapters or to create a device on one. All failures are logged.
#[derive(Default)]
struct Failures {
    first: Option<Error>,
}

impl Failures {
    /// Creates a device on `adapter`. If that fails, records the failure and returns `None`.
    async fn try_adapter(&mut self, adapter: &wgpu::Adapter) -> Option<Device> {
        self.add(Device::from_adapter(adapter).await)
    }

    /// Returns the result, or `None` if it is an error, which is kept.
    fn add<T>(&mut self, result: Result<T>) -> Option<T> {
        result
            .inspect_err(|error| {
                log::warn!("{error}");
                self.first.get_or_insert_with(|| error.clone());
            })
            .ok()
    }

    /// Returns the first failure as the reason for another device, or `reason` if nothing failed.
    fn reason_or(&self, reason: Reason) -> Reason {
        match &self.first {
            Some(error) => Reason::BetterFailed(error.to_string().into()),
            None => reason,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_reason_for_another_device() {
        let mut failures = Failures::default();
        assert_eq!(failures.add(Ok(1)), Some(1));
        assert_eq!(failures.reason_or(Reason::NoHardware), Reason::NoHardware);
        for reason in ["first", "second"] {
            let reason = reason.into();
            assert_eq!(failures.add::<()>(Err(Error::NoList { reason })), None);
        }
        assert_eq!(
            failures.reason_or(Reason::NoHardware).to_string(),
            "could not list the adapters: first"
        );
    }
}
