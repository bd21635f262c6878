//! The arguments that several commands share: the device, and names of dtypes and operations.

use std::fmt;

use anyhow::{Context, Result, anyhow, bail};
use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use wgpu_elu::{
    DType, Device, Error, Op, Rounding, cpu,
    device::{Reason, Request},
    wgpu,
};

use crate::usage;

/// Checks the environment variables that select an adapter. wgpu ignores words that it does not know, so a typing error
/// would look like a missing adapter.
pub(crate) fn check_adapter_variables() -> Result<()> {
    let supported =
        wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::GL;
    check_variable(
        "WGPU_BACKEND",
        "vulkan, metal, dx12 or gl, or several separated by commas",
        |backends| {
            let mut words = backends.split(',').filter(|word| !word.trim().is_empty());
            words.all(|word| supported.intersects(wgpu::Backends::from_comma_list(word)))
        },
    )?;
    check_variable("WGPU_POWER_PREF", "low, high or none", |preference| {
        ["low", "high", "none"].contains(&preference.to_lowercase().as_str())
    })?;
    check_variable("WGPU_ADAPTER_NAME", "a name", |_| true)
}

/// Checks the environment variable that sets the number of threads. If the number is larger than the CPU path can use,
/// prints the limit on standard error.
pub(crate) fn check_thread_variable() -> Result<()> {
    let needed = "a number of threads";
    check_variable(THREADS, needed, |number| number.parse::<usize>().is_ok())?;
    let wanted = std::env::var(THREADS).unwrap_or_default();
    let max = cpu::max_threads();
    if wanted.parse::<usize>().is_ok_and(|wanted| wanted > max) {
        crate::report(&format!("{THREADS} is {wanted}, which is limited to {max}"));
    }
    Ok(())
}

/// Checks the environment variable that selects what is logged. The logger ignores bytes that are not UTF-8.
pub(crate) fn check_log_variable() -> Result<()> {
    check_variable("RUST_LOG", "a log level such as info", |_| true)
}

const THREADS: &str = "RAYON_NUM_THREADS";

/// Returns a usage error if the variable is set, not empty, and not `valid`.
fn check_variable(name: &str, needed: &str, valid: impl Fn(&str) -> bool) -> Result<()> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(());
    };
    match value.to_str() {
        Some(value) if value.is_empty() || valid(value) => Ok(()),
        Some(value) => Err(usage(format!("{name} {value:?}: needed {needed}"))),
        None => Err(usage(format!(
            "{name} {value:?}: needed {needed}, found bytes that are not UTF-8"
        ))),
    }
}

/// Arguments that select a device.
#[derive(clap::Args)]
pub(crate) struct DeviceArgs {
    /// The device that computes the results
    #[arg(short, long, value_enum, default_value = "auto", ignore_case = true)]
    device: Choice,
    /// Use the best adapter whose name contains NAME
    ///
    /// It may be a software adapter. Upper and lower case are the same. `elu info` lists the names.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    adapter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// The best hardware GPU, or the CPU if no hardware GPU is found
    Auto,
    /// The CPU
    Cpu,
    /// The best GPU, or a software adapter if no hardware GPU is found. Without any adapter the command fails
    Gpu,
}

impl DeviceArgs {
    /// Returns a usage error if the arguments contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        if self.device == Choice::Cpu && self.adapter.is_some() {
            return Err(crate::conflict(
                "--adapter names a GPU, but --device cpu uses none: give only one of them",
            ));
        }
        Ok(())
    }

    /// Selects the device that the arguments and the environment variables request.
    pub(crate) fn select(&self) -> Result<SelectedDevice> {
        check_thread_variable()?;
        if self.device == Choice::Cpu {
            return Ok(SelectedDevice::requested(Device::Cpu));
        }
        check_adapter_variables()?;
        let by_environment = Request::from_env()?;
        let (request, argument) = match (&self.adapter, self.device) {
            (Some(name), _) => (Request::Named(name.as_str().into()), Some("--adapter")),
            (None, Choice::Gpu) if by_environment == Request::Auto => {
                (Request::Gpu, Some("--device gpu"))
            }
            (None, _) => (by_environment, None),
        };
        let selected = Device::select_blocking(&request).map_err(with_advice);
        let (device, reason) = match argument {
            Some(argument) => selected.context(argument)?,
            None => selected?,
        };
        Ok(SelectedDevice {
            device,
            requested: request != Request::Auto,
            reason: Some(reason),
            rounding: Rounding::default(),
        })
    }

    /// Selects the device to compare with the CPU. It is the same as that of [`DeviceArgs::select`], except that it is
    /// the best software adapter if `--device auto` finds no hardware GPU.
    pub(crate) fn comparison_device(&self) -> Result<SelectedDevice> {
        let selected = self.select()?;
        if selected.device != Device::Cpu || selected.requested {
            return Ok(selected);
        }
        match Device::select_blocking(&Request::Gpu) {
            Ok((device, reason)) => Ok(SelectedDevice {
                device,
                reason: Some(reason),
                ..selected
            }),
            // The CPU is measured alone. If a driver failed, the reason for selecting the CPU names it.
            Err(Error::NoList { .. } | Error::NoAdapter { .. } | Error::NoDevice { .. }) => {
                Ok(selected)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The selected device.
pub(crate) struct SelectedDevice {
    pub(crate) device: Device,
    /// Whether the user requested this device, with an argument or an environment variable.
    pub(crate) requested: bool,
    /// The reason for the selection, unless the CPU was requested.
    pub(crate) reason: Option<Reason>,
    rounding: Rounding,
}

/// The reason why a GPU cannot compute a dtype.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Obstacle {
    /// The GPU lacks this feature.
    Feature(&'static str),
    /// No GPU rounds float64 to nearest.
    NearestFloat64,
}

impl Obstacle {
    /// Describes the obstacle, with the name of the GPU.
    pub(crate) fn of(self, gpu: &Device) -> String {
        match self {
            Self::Feature(feature) => format!("{gpu} has no {feature}"),
            Self::NearestFloat64 => self.to_string(),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(feature) => write!(f, "no {feature}"),
            Self::NearestFloat64 => f.write_str("only the CPU path rounds float64 to nearest"),
        }
    }
}

impl SelectedDevice {
    fn requested(device: Device) -> Self {
        Self {
            device,
            requested: true,
            reason: None,
            rounding: Rounding::default(),
        }
    }

    /// Returns the device for `dtype`: the CPU if the GPU cannot compute it, else the selected device.
    ///
    /// # Errors
    ///
    /// Returns an error instead of the CPU if the user requested the GPU.
    pub(crate) fn for_dtype(&self, dtype: DType) -> Result<Device> {
        match self.obstacle(dtype) {
            None => Ok(self.device.clone()),
            Some(_) if !self.requested => Ok(Device::Cpu),
            Some(obstacle @ Obstacle::Feature(_)) => bail!(
                "{}, which {dtype} needs: use --device cpu",
                obstacle.of(&self.device)
            ),
            Some(obstacle @ Obstacle::NearestFloat64) => bail!("{obstacle}: use --device cpu"),
        }
    }

    /// Describes the devices that compute `dtypes`. If the CPU replaces a GPU, the description contains the reason:
    ///
    /// - `CPU (AVX2+FMA, 2 threads; no hardware GPU found)`
    /// - `CPU (AVX2+FMA, 2 threads; llvmpipe (GL) has no SHADER_F64)`
    /// - `llvmpipe (GL), float64 on CPU (AVX2+FMA, 2 threads; no SHADER_F64)`, if other dtypes run on the GPU
    pub(crate) fn describe(&self, dtypes: &[DType]) -> String {
        let device = &self.device;
        // Inserts the reason before the closing parenthesis of the CPU's description.
        let cpu_because = |reason: &str| {
            let cpu = Device::Cpu.to_string();
            format!("{}; {reason})", cpu.trim_end_matches(')'))
        };
        if *device == Device::Cpu && !self.requested {
            return match &self.reason {
                Some(failed @ Reason::BetterFailed(_)) => cpu_because(&failed.to_string()),
                _ => cpu_because("no hardware GPU found"),
            };
        }
        // Every GPU can compute the dtypes other than float64.
        let obstacle = |dtype: &DType| self.obstacle(*dtype);
        match dtypes.iter().find_map(obstacle) {
            None => match &self.reason {
                Some(failed @ Reason::BetterFailed(_)) => format!("{device} ({failed})"),
                _ => device.to_string(),
            },
            Some(reason) if dtypes.iter().all(|dtype| obstacle(dtype).is_some()) => {
                cpu_because(&reason.of(device))
            }
            Some(reason) => {
                format!("{device}, float64 on {}", cpu_because(&reason.to_string()))
            }
        }
    }

    /// Returns the selected device for results that are rounded like this. Only the CPU path rounds float64 to nearest.
    pub(crate) fn for_rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// Returns the reason why the device cannot compute `dtype`, or `None` if it can.
    pub(crate) fn obstacle(&self, dtype: DType) -> Option<Obstacle> {
        match &self.device {
            Device::Gpu(_) if dtype == DType::F64 && self.rounding == Rounding::Nearest => {
                Some(Obstacle::NearestFloat64)
            }
            Device::Gpu(gpu) => gpu.missing_feature(dtype).map(Obstacle::Feature),
            Device::Cpu => None,
        }
    }
}

/// Returns a parser for the names of dtypes. It also accepts the short names that Rust and safetensors use, such as
/// `f32`, which the help does not list.
pub(crate) fn dtypes() -> impl TypedValueParser<Value = DType> {
    by_name_or_alias(&DType::ALL, DType::name, |dtype| Some(dtype.short_name()))
}

/// Returns a parser for the names of operations. It also accepts `backward_from_output`, the identifier in JSON, which
/// the help does not list.
pub(crate) fn ops() -> impl TypedValueParser<Value = Op> {
    let id = |op| (op == Op::BackwardFromOutput).then_some("backward_from_output");
    by_name_or_alias(&Op::ALL, Op::name, id)
}

/// Returns a parser for the names of the values in `all`.
pub(crate) fn by_name<T>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    by_name_or_alias(all, name, |_| None)
}

// ---- Internals ----

/// Adds advice to the error that no adapters exist. wgpu only logs why a driver could not be loaded.
fn with_advice(error: Error) -> anyhow::Error {
    match &error {
        Error::NoAdapter { found, .. } if found.is_empty() => {
            anyhow!("{error}: RUST_LOG=debug prints why")
        }
        _ => error.into(),
    }
}

/// Returns a parser for the names and the aliases of the values in `all`. The help lists only the names.
fn by_name_or_alias<T>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    alias: fn(T) -> Option<&'static str>,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = all
        .iter()
        .map(|&value| PossibleValue::new(name(value)).aliases(alias(value)));
    PossibleValuesParser::new(names).map(move |text| {
        let has_name = |&&value: &&T| {
            let alias = alias(value).unwrap_or_default();
            name(value).eq_ignore_ascii_case(&text) || alias.eq_ignore_ascii_case(&text)
        };
        *all.iter()
            .find(has_name)
            .expect("clap accepts no other name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a GPU without any feature. `requested` is whether the user requested it.
    fn gpu_without_features(requested: bool) -> SelectedDevice {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let device = Device::from(wgpu_elu::Gpu::from_wgpu(&device, &queue));
        SelectedDevice {
            requested,
            ..SelectedDevice::requested(device)
        }
    }

    #[test]
    fn float64_falls_back_to_the_cpu() {
        let selected = gpu_without_features(false);
        assert_eq!(selected.for_dtype(DType::F64).unwrap(), Device::Cpu);
        assert_eq!(selected.for_dtype(DType::F32).unwrap(), selected.device);
        let (gpu, cpu) = (&selected.device, Device::Cpu.to_string());
        let cpu = cpu.trim_end_matches(')');
        for (dtypes, description) in [
            (&[DType::F32][..], gpu.to_string()),
            (&[DType::F64], format!("{cpu}; {gpu} has no SHADER_F64)")),
            (
                &[DType::F32, DType::F64],
                format!("{gpu}, float64 on {cpu}; no SHADER_F64)"),
            ),
        ] {
            assert_eq!(selected.describe(dtypes), description);
        }
    }

    #[test]
    fn a_requested_gpu_does_not_fall_back_to_the_cpu() {
        let selected = gpu_without_features(true);
        assert_eq!(
            selected.for_dtype(DType::F64).unwrap_err().to_string(),
            format!(
                "{} has no SHADER_F64, which float64 needs: use --device cpu",
                selected.device
            )
        );
        assert_eq!(selected.for_dtype(DType::F16).unwrap(), selected.device);
    }

    #[test]
    fn nearest_float64_needs_the_cpu() {
        let selected = gpu_without_features(true).for_rounding(Rounding::Nearest);
        assert_eq!(
            selected.for_dtype(DType::F64).unwrap_err().to_string(),
            "only the CPU path rounds float64 to nearest: use --device cpu"
        );
        assert_eq!(selected.for_dtype(DType::F32).unwrap(), selected.device);
        let selected = gpu_without_features(false).for_rounding(Rounding::Nearest);
        assert_eq!(selected.for_dtype(DType::F64).unwrap(), Device::Cpu);
        let (gpu, cpu) = (&selected.device, Device::Cpu.to_string());
        let cpu = format!(
            "{}; only the CPU path rounds float64 to nearest)",
            cpu.trim_end_matches(')')
        );
        assert_eq!(selected.describe(&[DType::F64]), cpu);
        assert_eq!(
            selected.describe(&[DType::F32, DType::F64]),
            format!("{gpu}, float64 on {cpu}")
        );
    }
}
