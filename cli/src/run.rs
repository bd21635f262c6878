//! `elu run`: applies ELU to a file.

use std::{
    cell::Cell,
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use wgpu_elu::{DType, Elu, Stream};

use crate::{
    bytes::{Ordered, Timed, copy, write_error},
    device_args::{Alpha, DeviceArgs, SelectedDevice, dtypes},
    npy,
    output::Output,
    safetensors::{self, Entry},
};

/// Apply ELU to every number in a .npy file, or to the tensors in a .safetensors file
///
/// The file may be larger than memory. When the work is done, the command prints one line on standard error: what it
/// computed, on which device, and how long it took without the time for reading and writing the files.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A .npy file (version 1 to 3; float16, float32 or float64, or bfloat16 with --dtype), `-` for a .npy file on
    /// standard input, or a .safetensors file, in which every F16, BF16, F32 and F64 tensor is replaced by its ELU and
    /// everything else is kept
    input: PathBuf,
    /// The file for the result, or `-` for standard output. The result has the format, shape, axis order and byte order
    /// of INPUT [default: INPUT with .elu before its extension, or `-` if INPUT is `-`]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Replace only the tensor NAME of a .safetensors file; can be given several times
    #[arg(short, long, value_name = "NAME")]
    tensor: Vec<String>,
    /// The dtype of a .npy file. Only bfloat16 needs it, because NumPy stores that without its name (`<V2`)
    #[arg(long, value_parser = dtypes(), ignore_case = true)]
    dtype: Option<DType>,
    #[command(flatten)]
    alpha: Alpha,
    #[command(flatten)]
    device_args: DeviceArgs,
    /// Replace OUTPUT if it exists
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check()?;
    let is_safetensors = has_extension(&args.input, "safetensors");
    if !is_safetensors && !args.tensor.is_empty() {
        return Err(crate::conflict(
            "--tensor needs a .safetensors file as INPUT",
        ));
    }
    if is_safetensors && args.dtype.is_some() {
        return Err(crate::conflict("--dtype needs a .npy file as INPUT"));
    }
    // Reports an invalid alpha before any file is opened. It is parsed again when the dtype is known.
    args.alpha.parse()?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&args.input));
    let format = if is_safetensors { "safetensors" } else { "npy" };
    // Pipes, device files and directories may have any name.
    let is_file = std::fs::metadata(&path).map_or(true, |found| found.is_file());
    if is_file && path.extension().is_some() && !has_extension(&path, format) {
        return Err(crate::usage(format!(
            "{}: the result is a .{format} file like INPUT: use the extension .{format}",
            path.display()
        )));
    }
    let output = Output::open(&path, args.force)?;
    let (what, devices, took) = if is_safetensors {
        run_safetensors(args, output)?
    } else {
        run_npy(args, output)?
    };
    let summary = format!(
        "{what} on {devices}, alpha {}, {} -> {}",
        args.alpha,
        milliseconds(took),
        if path == Path::new("-") {
            "standard output".into()
        } else {
            path.display().to_string()
        },
    );
    let summary: String = summary.chars().flat_map(crate::escape_control).collect();
    // The result is written, so the command succeeds even if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{summary}");
    Ok(())
}

// ---- Internals ----

/// A description of the results, a description of the devices, and the time without reading and writing.
type Summary = (String, String, Duration);

fn run_npy(args: &Args, output: Output) -> Result<Summary> {
    let (form, elements) = npy::open(&args.input, args.dtype)?;
    let (dtype, len) = (form.dtype(), form.len() as u64);
    let alpha = args.alpha.parse_for(dtype)?;
    let selected = args.device_args.select()?;
    let elu = Elu::new(alpha);
    let mut stream = Stream::new(&selected.for_dtype(dtype)?, elu, dtype)?.with_expected_len(len);
    let bar = progress_bar(len * dtype.size() as u64)?;
    let mut pending = output.begin()?;
    let name = pending.name();
    let sink = form.write(bar.wrap_write(&mut pending));
    let took = sink
        .map_err(write_error)
        .and_then(|sink| forward(&mut stream, elements, sink));
    let took = took.map_err(|error| with_path(error, &npy::name(&args.input), &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let what = format!("{} {dtype}", Shape(form.shape()));
    Ok((what, selected.describe(&[dtype]), took))
}

fn run_safetensors(args: &Args, output: Output) -> Result<Summary> {
    let (tensors, mut data) = safetensors::open(&args.input)?;
    let entries = tensors.entries();
    let file = args.input.display().to_string();
    let selected = args.device_args.select()?;
    // Creates all streams first, so that an unsuitable tensor is reported before anything is written.
    let streams = streams(args, &selected, entries).with_context(|| file.clone())?;
    let dtypes: Vec<DType> = streams.iter().flatten().map(Stream::dtype).collect();
    let bar = progress_bar(entries.iter().map(|entry| entry.size).sum())?;
    let mut pending = output.begin()?;
    let name = pending.name();
    tensors.write(&mut pending).with_context(|| name.clone())?;
    let (mut elements, mut unchanged, mut took) = (0, Vec::new(), Duration::ZERO);
    for (entry, stream) in entries.iter().zip(streams) {
        let source = (&mut data).take(entry.size);
        let sink = bar.wrap_write(&mut pending);
        let result = if let Some(mut stream) = stream {
            elements += entry.len();
            let size = stream.dtype().size();
            let source = Ordered::new(source, size, safetensors::BIG_ENDIAN);
            let sink = Ordered::new(sink, size, safetensors::BIG_ENDIAN);
            forward(&mut stream, source, sink).map(|time| took += time)
        } else {
            unchanged.push(format!("{} ({})", entry.name, entry.stored));
            copy(source, sink)
        };
        result.map_err(|error| with_path(error, &file, &name))?;
    }
    // If every tensor is empty, still drain the input to detect trailing bytes.
    copy(data, &mut pending).map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let count = dtypes.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut what = format!("{count} tensor{plural} of {elements} elements");
    if !unchanged.is_empty() {
        what += &format!(" (unchanged: {})", unchanged.join(", "));
    }
    Ok((what, selected.describe(&dtypes), took))
}

/// Creates a stream for each tensor that is replaced, and `None` for the others. A stream allocates its buffers only
/// when it runs.
fn streams(
    args: &Args,
    selected: &SelectedDevice,
    entries: &[Entry],
) -> Result<Vec<Option<Stream>>> {
    for name in &args.tensor {
        let entry = entries.iter().find(|entry| entry.name == *name);
        let entry = entry.with_context(|| format!("no tensor named {name:?}"))?;
        ensure!(
            entry.dtype.is_some(),
            "tensor {name:?} is {}, needed F16, BF16, F32 or F64",
            entry.stored
        );
    }
    let stream = |entry: &Entry| -> Result<Option<Stream>> {
        let is_selected = args.tensor.is_empty() || args.tensor.contains(&entry.name);
        let Some(dtype) = entry.dtype.filter(|_| is_selected) else {
            return Ok(None);
        };
        let elu = Elu::new(args.alpha.parse_for(dtype)?);
        let stream = Stream::new(&selected.for_dtype(dtype)?, elu, dtype)?;
        Ok(Some(stream.with_expected_len(entry.len())))
    };
    let stream_or_error =
        |entry: &Entry| stream(entry).with_context(|| format!("tensor {:?}", entry.name));
    let streams: Vec<_> = entries.iter().map(stream_or_error).collect::<Result<_>>()?;
    ensure!(
        streams.iter().any(Option::is_some),
        "no tensor of F16, BF16, F32 or F64"
    );
    Ok(streams)
}

/// Reads elements from `source`, and writes their ELU to `sink`. Returns the time without the time for reading and
/// writing.
fn forward(
    stream: &mut Stream,
    source: impl Read,
    sink: impl Write,
) -> Result<Duration, wgpu_elu::Error> {
    let spent = Cell::default();
    let source = Timed::new(source, &spent);
    let sink = Timed::new(sink, &spent);
    let start = Instant::now();
    stream.forward_blocking(source, sink)?;
    Ok(start.elapsed().saturating_sub(spent.get()))
}

/// Adds the path of the file that caused an error of reading or writing.
fn with_path(error: wgpu_elu::Error, input: &str, output: &str) -> anyhow::Error {
    match error {
        wgpu_elu::Error::Read { error } => anyhow::Error::new(error).context(input.to_owned()),
        wgpu_elu::Error::Write { error } => anyhow::Error::new(error).context(output.to_owned()),
        error => error.into(),
    }
}

/// Creates a progress bar. It is hidden if the data is small or if standard error is not a terminal.
fn progress_bar(bytes: u64) -> Result<ProgressBar> {
    if bytes > Stream::BUDGET && std::io::stderr().is_terminal() {
        let template = "{bar:40} {percent}%  {binary_bytes_per_sec}  {eta} left";
        Ok(ProgressBar::new(bytes).with_style(ProgressStyle::with_template(template)?))
    } else {
        Ok(ProgressBar::hidden())
    }
}

/// Returns the output path if the user gives none.
fn default_output(input: &Path) -> PathBuf {
    if input == Path::new("-") {
        "-".into()
    } else if has_extension(input, "safetensors") {
        input.with_extension("elu.safetensors")
    } else {
        input.with_extension("elu.npy")
    }
}

/// Returns whether the path ends in this extension, ignoring case.
fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 1.0 {
        format!("{ms:.2} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// Displays a shape, such as `1797 x 128`, or `one` for an array without dimensions.
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
