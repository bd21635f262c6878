//! `elu run`: ELU of a file.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, ValueEnum, error::ErrorKind};
use wgpu_elu::{Device, Elu, Tensor};

use crate::{npy::Array, output::Output};

/// ELU of every number in a .npy file of float32
///
/// Tells on standard error what ran, where, and how long it took from the numbers in memory to the results in memory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A .npy file, versions 1 to 3, of float32; `-` is standard input
    input: PathBuf,
    /// Where the result goes, with INPUT's shape, order and byte order; `-` is standard output
    /// [default: INPUT with .elu.npy for its extension, or `-` for standard input]
    #[arg(short, long, verbatim_doc_comment)]
    output: Option<PathBuf>,
    /// The negative side tends to -A
    #[arg(
        short,
        long,
        value_name = "A",
        default_value = "1",
        allow_hyphen_values = true
    )]
    alpha: String,
    /// Where it runs
    #[arg(short, long, value_enum, default_value = "auto")]
    device: Choice,
    /// The best adapter with this in its name, in any case, software ones included; `elu info` lists them
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    adapter: Option<String>,
    /// Replace OUTPUT if it exists
    #[arg(short, long)]
    force: bool,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.device == Choice::Cpu && args.adapter.is_some() {
        let message = "--adapter names a GPU, and --device cpu uses none: give one of them";
        crate::Cli::command()
            .error(ErrorKind::ArgumentConflict, message)
            .exit();
    }
    let alpha = parse_alpha(&args.alpha)?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&args.input));
    let output = Output::open(&path, args.force)?;
    let mut array = Array::read(&args.input)?;
    let device = choose(args)?;

    let start = Instant::now();
    let values = std::mem::take(&mut array.values);
    let mut x = Tensor::from_vec(&device, values, array.shape())?;
    Elu::new(alpha).forward_in_place(&mut x)?;
    array.values = x.into_vec_blocking()?;
    let took = start.elapsed();

    let summary = format!(
        "{} float32 on {}, alpha {}, {} -> {}",
        Shape(array.shape()),
        where_it_ran(args, &device),
        args.alpha.trim(),
        milliseconds(took),
        if path == Path::new("-") {
            "standard output".into()
        } else {
            path.display().to_string()
        },
    );
    output.write(|mut writer| array.write(&mut writer))?;
    // A closed standard error is no reason to fail after all is done.
    let summary: String = summary.chars().flat_map(crate::visible).collect();
    let _ = writeln!(std::io::stderr(), "{summary}");
    Ok(())
}

// ---- Internals ----

/// Infinity must be asked for by name: a number that float32 takes for it is a mistake.
fn parse_alpha(text: &str) -> Result<f64> {
    let needed = || format!("--alpha {text:?}: needed a float32 number, such as 1 or 0.5");
    let alpha = text.trim().parse::<f64>().ok().with_context(needed)?;
    let by_name = text.to_ascii_lowercase().contains("inf");
    let fits = alpha.abs() <= f32::MAX.into() || by_name;
    ensure!(fits, needed());
    Ok(alpha)
}

fn default_output(input: &Path) -> PathBuf {
    if input == Path::new("-") {
        "-".into()
    } else {
        input.with_extension("elu.npy")
    }
}

fn choose(args: &Args) -> Result<Device> {
    let named = std::env::var("WGPU_ADAPTER_NAME").is_ok_and(|name| !name.is_empty());
    let device = match (&args.adapter, args.device) {
        (Some(name), _) => Device::named_blocking(name).context("--adapter")?,
        (None, Choice::Cpu) => Device::Cpu,
        (None, Choice::Gpu) if !named => Device::gpu_blocking().context("--device gpu")?,
        (None, _) => Device::from_env_blocking()?,
    };
    Ok(device)
}

fn where_it_ran(args: &Args, device: &Device) -> String {
    match device {
        Device::Cpu if args.device == Choice::Auto => {
            format!("{device}, for want of a hardware GPU")
        }
        device => device.to_string(),
    }
}

fn milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 1.0 {
        format!("{ms:.2} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// `1797 x 128`
struct Shape<'a>(&'a [usize]);

impl std::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("one"),
            shape => f.write_str(
                &shape
                    .iter()
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join(" x "),
            ),
        }
    }
}
