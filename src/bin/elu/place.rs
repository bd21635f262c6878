//! Arguments that several commands have: where to run, alpha, and names of what there is.

use anyhow::{Context, Result, ensure};
use clap::{
    CommandFactory, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use wgpu_elu::Device;

/// Arguments that choose a device.
#[derive(clap::Args)]
pub(crate) struct Place {
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

impl Place {
    /// Ends the process, as clap does, where one argument contradicts the other.
    pub(crate) fn check(&self) {
        if self.device == Choice::Cpu && self.adapter.is_some() {
            let message = "--adapter names a GPU, and --device cpu uses none: give one of them";
            crate::Cli::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
    }

    pub(crate) fn device(&self) -> Result<Device> {
        let named = std::env::var("WGPU_ADAPTER_NAME").is_ok_and(|name| !name.is_empty());
        let device = match (&self.adapter, self.device) {
            (Some(name), _) => Device::named_blocking(name).context("--adapter")?,
            (None, Choice::Cpu) => Device::Cpu,
            (None, Choice::Gpu) if !named => Device::gpu_blocking().context("--device gpu")?,
            (None, _) => Device::from_env_blocking()?,
        };
        Ok(device)
    }

    /// The device's name, and why it is the CPU where a GPU might have been expected.
    pub(crate) fn told(&self, device: &Device) -> String {
        match device {
            Device::Cpu if self.device == Choice::Auto => {
                format!("{device}, for want of a hardware GPU")
            }
            device => device.to_string(),
        }
    }
}

/// Infinity must be asked for by name: a number that float32 takes for it is a mistake.
pub(crate) fn parse_alpha(text: &str) -> Result<f64> {
    let needed = || format!("--alpha {text:?}: needed a float32 number, such as 1 or 0.5");
    let alpha = text.trim().parse::<f64>().ok().with_context(needed)?;
    let by_name = text.to_ascii_lowercase().contains("inf");
    let fits = alpha.abs() <= f32::MAX.into() || by_name;
    ensure!(fits, needed());
    Ok(alpha)
}

/// Takes the names of `all`, and nothing else.
pub(crate) fn by_name<T>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = all.iter().map(|&value| name(value));
    PossibleValuesParser::new(names).map(move |given| {
        let found = all.iter().find(|&&value| name(value) == given);
        *found.expect("clap lets no other name through")
    })
}
