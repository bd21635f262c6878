//! `elu run`: ELU of a file.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, error::ErrorKind};
use wgpu_elu::{DType, Device, Elu, Tensor};

use crate::{
    npy::Array,
    output::Output,
    place::{Alpha, Place},
    safetensors::Tensors,
};

/// ELU of every number in a .npy file, or of tensors in a .safetensors file
///
/// Tells on standard error what ran, where, and how long it took from the numbers in memory to the results in memory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A .npy file, versions 1 to 3, of float16, float32 or float64, or `-` for one on standard input; or a .safetensors
    /// file, of which every F16, BF16, F32 and F64 tensor is replaced by its ELU and all else is kept
    input: PathBuf,
    /// Where the result goes, in INPUT's format, shape, order and byte order; `-` is standard output
    /// [default: INPUT with .elu before its extension, or `-` for standard input]
    #[arg(short, long, verbatim_doc_comment)]
    output: Option<PathBuf>,
    /// Replace this tensor of a .safetensors file only; may be given several times
    #[arg(short, long, value_name = "NAME")]
    tensor: Vec<String>,
    #[command(flatten)]
    alpha: Alpha,
    #[command(flatten)]
    place: Place,
    /// Replace OUTPUT if it exists
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.place.check();
    let is_safetensors = has_extension(&args.input, "safetensors");
    if !is_safetensors && !args.tensor.is_empty() {
        let message = "--tensor names a tensor of a .safetensors file, and INPUT is none";
        crate::Cli::command()
            .error(ErrorKind::ArgumentConflict, message)
            .exit();
    }
    args.alpha.parse()?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&args.input));
    let (format, other) = if is_safetensors {
        ("safetensors", "npy")
    } else {
        ("npy", "safetensors")
    };
    ensure!(
        !has_extension(&path, other),
        "{}: the result is a .{format} file, as INPUT is: give it another name",
        path.display()
    );
    let output = Output::open(&path, args.force)?;
    let (what, where_it_ran, took) = if is_safetensors {
        run_safetensors(args, output)?
    } else {
        run_npy(args, output)?
    };
    let summary = format!(
        "{what} on {where_it_ran}, alpha {}, {} -> {}",
        args.alpha,
        milliseconds(took),
        if path == Path::new("-") {
            "standard output".into()
        } else {
            path.display().to_string()
        },
    );
    // A closed standard error is no reason to fail after all is done.
    let summary: String = summary.chars().flat_map(crate::visible).collect();
    let _ = writeln!(std::io::stderr(), "{summary}");
    Ok(())
}

// ---- Internals ----

/// What was done, where, and how long it took.
type Done = (String, String, Duration);

fn run_npy(args: &Args, output: Output) -> Result<Done> {
    let mut array = Array::read(&args.input)?;
    let alpha = args.alpha.of(array.dtype())?;
    let chosen = args.place.device()?;
    let device = chosen.for_dtype(array.dtype())?;
    let start = Instant::now();
    let bytes = std::mem::take(&mut array.bytes);
    array.bytes = elu(&device, alpha, array.dtype(), &bytes, array.shape())?;
    let took = start.elapsed();
    let what = format!("{} {}", Shape(array.shape()), array.dtype());
    let where_it_ran = chosen.told(&[array.dtype()]);
    output.write(|mut writer| array.write(&mut writer))?;
    Ok((what, where_it_ran, took))
}

fn run_safetensors(args: &Args, output: Output) -> Result<Done> {
    let mut tensors = Tensors::read(&args.input)?;
    let file = || args.input.display().to_string();
    for name in &args.tensor {
        let entry = tensors.entries().iter().find(|entry| entry.name == *name);
        let entry = entry
            .with_context(|| format!("no tensor named {name:?}"))
            .with_context(file)?;
        ensure!(
            entry.dtype.is_some(),
            "{}: tensor {name:?} is {}, needed F16, BF16, F32 or F64",
            file(),
            entry.stored
        );
    }
    let chosen = args.place.device()?;
    let (mut taken, mut elements, mut left) = (Vec::new(), 0, Vec::new());
    let mut took = Duration::ZERO;
    for index in 0..tensors.entries().len() {
        let entry = &tensors.entries()[index];
        let is_wanted = args.tensor.is_empty() || args.tensor.contains(&entry.name);
        let Some(dtype) = entry.dtype.filter(|_| is_wanted) else {
            left.push(format!("{} ({})", entry.name, entry.stored));
            continue;
        };
        let tensor = || format!("{}: tensor {:?}", file(), entry.name);
        let alpha = args.alpha.of(dtype).with_context(tensor)?;
        let device = chosen.for_dtype(dtype).with_context(tensor)?;
        let bytes = tensors.get(entry);
        let start = Instant::now();
        let result = elu(&device, alpha, dtype, &bytes, &entry.shape).with_context(tensor)?;
        took += start.elapsed();
        taken.push(dtype);
        elements += bytes.len() / dtype.size();
        tensors.set(index, result);
    }
    ensure!(
        !taken.is_empty(),
        "{}: no tensor of F16, BF16, F32 or F64",
        file()
    );
    let count = taken.len();
    let s = if count == 1 { "" } else { "s" };
    let mut what = format!("{count} tensor{s} of {elements} elements");
    if !left.is_empty() {
        what += &format!(" (kept as they were: {})", left.join(", "));
    }
    output.write(|mut writer| tensors.write(&mut writer))?;
    Ok((what, chosen.told(&taken), took))
}

fn elu(
    device: &Device,
    alpha: f64,
    dtype: DType,
    bytes: &[u8],
    shape: &[usize],
) -> Result<Vec<u8>> {
    let mut x = Tensor::from_bytes(device, dtype, bytes, shape)?;
    Elu::new(alpha).forward_in_place(&mut x)?;
    Ok(x.to_bytes_blocking()?)
}

fn default_output(input: &Path) -> PathBuf {
    if input == Path::new("-") {
        "-".into()
    } else if has_extension(input, "safetensors") {
        input.with_extension("elu.safetensors")
    } else {
        input.with_extension("elu.npy")
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
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
