//! Arguments that several commands share: the device, alpha, and names.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::{
    CommandFactory, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use wgpu_elu::{
    DType, Device, Error,
    device::{Reason, Wish},
    wgpu,
};

use crate::usage;

/// Rejects unknown words in `WGPU_BACKEND`. wgpu ignores them and then finds no adapter.
pub(crate) fn check_environment() -> Result<()> {
    let Ok(backends) = std::env::var("WGPU_BACKEND") else {
        return Ok(());
    };
    let ours =
        wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::GL;
    let is_known = |word| ours.intersects(wgpu::Backends::from_comma_list(word));
    let mut words = backends.split(',').filter(|word| !word.trim().is_empty());
    if words.all(is_known) {
        return Ok(());
    }
    Err(usage(format!(
        "WGPU_BACKEND {backends:?}: needed vulkan, metal, dx12 or gl, or several separated by commas"
    )))
}

/// Arguments that select a device.
#[derive(clap::Args)]
pub(crate) struct DeviceArgs {
    /// The device that computes
    #[arg(short, long, value_enum, default_value = "auto")]
    device: Choice,
    /// The best adapter whose name contains NAME, in upper or lower case, software adapters included; `elu info` lists
    /// them
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    adapter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// A hardware GPU if one exists, else the CPU
    Auto,
    /// The CPU path
    Cpu,
    /// A GPU; it is an error if no adapter exists
    Gpu,
}

impl DeviceArgs {
    /// Exits with a usage error if the arguments contradict each other.
    pub(crate) fn check(&self) {
        if self.device == Choice::Cpu && self.adapter.is_some() {
            let message =
                "--adapter names a GPU, but --device cpu uses none: give only one of them";
            crate::Cli::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
    }

    pub(crate) fn select(&self) -> Result<SelectedDevice> {
        if self.device != Choice::Cpu {
            check_environment()?;
        }
        let by_environment = Wish::from_env();
        let (wish, argument) = match (&self.adapter, self.device) {
            (Some(name), _) => (Wish::Named(name.as_str().into()), Some("--adapter")),
            (None, Choice::Cpu) => return Ok(SelectedDevice::requested(Device::Cpu)),
            (None, Choice::Gpu) if by_environment == Wish::Auto => {
                (Wish::Gpu, Some("--device gpu"))
            }
            (None, _) => (by_environment, None),
        };
        let selected = Device::select_blocking(&wish);
        let (device, reason) = match argument {
            Some(argument) => selected.context(argument)?,
            None => selected?,
        };
        Ok(SelectedDevice {
            device,
            requested: wish != Wish::Auto,
            reason: Some(reason),
        })
    }

    /// Selects the device to compare with the CPU: as [`DeviceArgs::select`] does, but a software adapter if no hardware
    /// GPU exists.
    pub(crate) fn comparison_device(&self) -> Result<SelectedDevice> {
        let selected = self.select()?;
        if selected.device != Device::Cpu || selected.requested {
            return Ok(selected);
        }
        match Device::select_blocking(&Wish::Gpu) {
            Ok((device, reason)) => Ok(SelectedDevice {
                device,
                reason: Some(reason),
                ..selected
            }),
            Err(Error::NoAdapter { .. }) => Ok(selected),
            Err(error) => Err(error.into()),
        }
    }
}

/// The selected device, and whether the user requested it.
pub(crate) struct SelectedDevice {
    pub(crate) device: Device,
    pub(crate) requested: bool,
    /// The reason for the selection, unless the CPU was requested.
    pub(crate) reason: Option<Reason>,
}

impl SelectedDevice {
    fn requested(device: Device) -> Self {
        Self {
            device,
            requested: true,
            reason: None,
        }
    }

    /// Returns the device for `dtype`. If the GPU cannot compute `dtype`, that is the CPU, unless the user requested
    /// the GPU.
    pub(crate) fn for_dtype(&self, dtype: DType) -> Result<Device> {
        let Some(feature) = self.missing_feature(dtype) else {
            return Ok(self.device.clone());
        };
        ensure!(
            !self.requested,
            "{} has no {feature}, which {dtype} needs: use --device cpu",
            self.device
        );
        Ok(Device::Cpu)
    }

    /// Describes the devices for all of `dtypes`, and says why the CPU is used instead of a GPU.
    pub(crate) fn describe(&self, dtypes: &[DType]) -> String {
        let device = &self.device;
        // Such as `CPU (AVX2+FMA, 2 threads; no hardware GPU found)`.
        let cpu_because = |reason: &str| {
            let cpu = Device::Cpu.to_string();
            format!("{}; {reason})", cpu.trim_end_matches(')'))
        };
        if *device == Device::Cpu && !self.requested {
            return cpu_because("no hardware GPU found");
        }
        let missing = |dtype: &DType| self.missing_feature(*dtype);
        match dtypes.iter().find_map(missing) {
            None => device.to_string(),
            Some(feature) if dtypes.iter().all(|dtype| missing(dtype).is_some()) => {
                cpu_because(&format!("{device} has no {feature}"))
            }
            Some(feature) => {
                format!(
                    "{device}, float64 on {}",
                    cpu_because(&format!("no {feature}"))
                )
            }
        }
    }

    /// Returns a feature that `dtype` needs and the device lacks.
    pub(crate) fn missing_feature(&self, dtype: DType) -> Option<&'static str> {
        match &self.device {
            Device::Gpu(gpu) => gpu.missing_feature(dtype),
            Device::Cpu => None,
        }
    }
}

/// Alpha, as the user wrote it.
#[derive(clap::Args)]
pub(crate) struct Alpha {
    /// Alpha: the negative side tends to -A
    #[arg(
        id = "alpha",
        short,
        long = "alpha",
        value_name = "A",
        default_value = "1",
        allow_hyphen_values = true
    )]
    text: String,
}

impl Alpha {
    /// Parses alpha. Infinity must be written as such: a number that overflows to infinity is a mistake.
    pub(crate) fn parse(&self) -> Result<f64> {
        let by_name = self.text.to_ascii_lowercase().contains("inf");
        let alpha = self.text.trim().parse::<f64>().ok();
        alpha
            .filter(|alpha| alpha.is_finite() || by_name)
            .ok_or_else(|| {
                usage(format!(
                    "--alpha {:?}: needed a number, such as 1 or 0.5",
                    self.text
                ))
            })
    }

    /// Parses alpha, and rejects numbers that overflow in the type that `dtype` is computed in.
    pub(crate) fn of(&self, dtype: DType) -> Result<f64> {
        let alpha = self.parse()?;
        let fits = dtype == DType::F64 || alpha.is_infinite() || alpha.abs() <= f32::MAX.into();
        fits.then_some(alpha).ok_or_else(|| {
            usage(format!(
                "--alpha {:?}: for {dtype}, needed a float32 number, at most {:e}",
                self.text,
                f32::MAX
            ))
        })
    }
}

impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim())
    }
}

/// Parses the names of dtypes, and the short names of Rust and safetensors, which the help does not list.
pub(crate) fn dtypes() -> impl TypedValueParser<Value = DType> {
    by_name_or_alias(&DType::ALL, DType::name, |dtype| Some(dtype.short_name()))
}

/// Parses the names of `all`.
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
    PossibleValuesParser::new(names).map(move |given| {
        let is_given = |&&value: &&T| {
            let alias = alias(value).unwrap_or_default();
            name(value).eq_ignore_ascii_case(&given) || alias.eq_ignore_ascii_case(&given)
        };
        *all.iter()
            .find(is_given)
            .expect("clap accepts no other name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a GPU without any feature.
    fn gpu(requested: bool) -> SelectedDevice {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let device = Device::from(wgpu_elu::Gpu::from_wgpu(&device, &queue));
        SelectedDevice {
            requested,
            ..SelectedDevice::requested(device)
        }
    }

    #[test]
    fn float64_leaves_a_gpu_that_cannot_for_the_cpu() {
        let selected = gpu(false);
        assert_eq!(selected.for_dtype(DType::F64).unwrap(), Device::Cpu);
        assert_eq!(selected.for_dtype(DType::F32).unwrap(), selected.device);
        let (gpu, cpu) = (&selected.device, Device::Cpu.to_string());
        let cpu = cpu.trim_end_matches(')');
        for (dtypes, described) in [
            (&[DType::F32][..], gpu.to_string()),
            (&[DType::F64], format!("{cpu}; {gpu} has no SHADER_F64)")),
            (
                &[DType::F32, DType::F64],
                format!("{gpu}, float64 on {cpu}; no SHADER_F64)"),
            ),
        ] {
            assert_eq!(selected.describe(dtypes), described);
        }
    }

    #[test]
    fn a_gpu_that_was_asked_for_is_not_left() {
        let selected = gpu(true);
        assert_eq!(
            selected.for_dtype(DType::F64).unwrap_err().to_string(),
            format!(
                "{} has no SHADER_F64, which float64 needs: use --device cpu",
                selected.device
            )
        );
        assert_eq!(selected.for_dtype(DType::F16).unwrap(), selected.device);
    }
}
