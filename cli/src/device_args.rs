//! Arguments that several commands have: where to run, alpha, and names of what there is.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::{
    CommandFactory, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use wgpu_elu::{DType, Device, Error, wgpu};

use crate::usage;

/// wgpu itself passes over words that it does not know, and then sees no adapter.
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
        "WGPU_BACKEND {backends:?}: needed vulkan, metal, dx12 or gl, or several with commas between"
    )))
}

/// Arguments that choose a device.
#[derive(clap::Args)]
pub(crate) struct DeviceArgs {
    /// Where it runs
    #[arg(short, long, value_enum, default_value = "auto")]
    device: Choice,
    /// The best adapter with this in its name, in any case, software ones included; `elu info` lists them
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    adapter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// A hardware GPU if there is one, else the CPU
    Auto,
    /// The CPU path
    Cpu,
    /// An adapter, or an error
    Gpu,
}

impl DeviceArgs {
    /// Ends the process, as clap does, where one argument contradicts the other.
    pub(crate) fn check(&self) {
        if self.device == Choice::Cpu && self.adapter.is_some() {
            let message = "--adapter names a GPU, and --device cpu uses none: give one of them";
            crate::Cli::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
    }

    pub(crate) fn select(&self) -> Result<SelectedDevice> {
        if self.device != Choice::Cpu {
            check_environment()?;
        }
        let by_environment = std::env::var("WGPU_ADAPTER_NAME").is_ok_and(|name| !name.is_empty());
        let device = match (&self.adapter, self.device) {
            (Some(name), _) => Device::named_blocking(name).context("--adapter")?,
            (None, Choice::Cpu) => Device::Cpu,
            (None, Choice::Gpu) if !by_environment => {
                Device::gpu_blocking().context("--device gpu")?
            }
            (None, _) => Device::from_env_blocking()?,
        };
        let requested = self.device != Choice::Auto || self.adapter.is_some() || by_environment;
        Ok(SelectedDevice { device, requested })
    }

    /// What the CPU is compared with: as [`DeviceArgs::select`], but a software adapter rather than none.
    pub(crate) fn comparison_device(&self) -> Result<SelectedDevice> {
        let selected = self.select()?;
        if selected.device != Device::Cpu || selected.requested {
            return Ok(selected);
        }
        match Device::gpu_blocking() {
            Ok(device) => Ok(SelectedDevice { device, ..selected }),
            Err(Error::NoAdapter { .. }) => Ok(selected),
            Err(error) => Err(error.into()),
        }
    }
}

/// A device, and whether it was asked for or is merely the best there is.
pub(crate) struct SelectedDevice {
    pub(crate) device: Device,
    pub(crate) requested: bool,
}

impl SelectedDevice {
    /// Where `dtype` runs: what a GPU cannot do goes to the CPU path, unless that GPU was asked for.
    pub(crate) fn for_dtype(&self, dtype: DType) -> Result<Device> {
        let Some(feature) = self.missing_feature(dtype) else {
            return Ok(self.device.clone());
        };
        ensure!(
            !self.requested,
            "{} has no {feature}, which {dtype} needs: give --device cpu",
            self.device
        );
        Ok(Device::Cpu)
    }

    /// Where all of `dtypes` run, and why it is the CPU where a GPU might have been expected.
    pub(crate) fn describe(&self, dtypes: &[DType]) -> String {
        let (device, cpu) = (&self.device, Device::Cpu);
        if *device == cpu && !self.requested {
            return format!("{device}, for want of a hardware GPU");
        }
        let missing = |dtype: &DType| self.missing_feature(*dtype);
        match dtypes.iter().find_map(missing) {
            None => device.to_string(),
            Some(feature) if dtypes.iter().all(|dtype| missing(dtype).is_some()) => {
                format!("{cpu}, since {device} has no {feature}")
            }
            Some(feature) => format!("{device}, float64 on {cpu} for want of {feature}"),
        }
    }

    /// A feature that `dtype` needs and the device does not have.
    pub(crate) fn missing_feature(&self, dtype: DType) -> Option<&'static str> {
        match &self.device {
            Device::Gpu(gpu) => gpu.missing_feature(dtype),
            Device::Cpu => None,
        }
    }
}

/// Alpha, as it was written.
#[derive(clap::Args)]
pub(crate) struct Alpha {
    /// The negative side tends to -A
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
    /// Infinity must be asked for by name: a number that is taken for it is a mistake.
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

    /// So too for what `dtype` is computed in.
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

/// Takes the names of the number formats, and Rust's and safetensors' short ones, which help does not list.
pub(crate) fn dtypes() -> impl TypedValueParser<Value = DType> {
    by_name_or_alias(&DType::ALL, DType::name, |dtype| Some(dtype.short_name()))
}

/// Takes the names of `all`, and nothing else.
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
        let is_given = |&&value: &&T| name(value) == given || alias(value) == Some(&given);
        *all.iter()
            .find(is_given)
            .expect("clap lets no other name through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GPU without any feature.
    fn gpu(requested: bool) -> SelectedDevice {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let device = Device::from(wgpu_elu::Gpu::from_wgpu(&device, &queue));
        SelectedDevice { device, requested }
    }

    #[test]
    fn float64_leaves_a_gpu_that_cannot_for_the_cpu() {
        let selected = gpu(false);
        assert_eq!(selected.for_dtype(DType::F64).unwrap(), Device::Cpu);
        assert_eq!(selected.for_dtype(DType::F32).unwrap(), selected.device);
        let (gpu, cpu) = (&selected.device, Device::Cpu);
        for (dtypes, described) in [
            (&[DType::F32][..], gpu.to_string()),
            (
                &[DType::F64],
                format!("{cpu}, since {gpu} has no SHADER_F64"),
            ),
            (
                &[DType::F32, DType::F64],
                format!("{gpu}, float64 on {cpu} for want of SHADER_F64"),
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
                "{} has no SHADER_F64, which float64 needs: give --device cpu",
                selected.device
            )
        );
        assert_eq!(selected.for_dtype(DType::F16).unwrap(), selected.device);
    }
}
