//! `elu run`: applies ELU to files.

mod names;
mod plan;
mod raw;
mod report;

use std::{
    cell::{Cell, OnceCell},
    fs::File,
    io::{IsTerminal, Read, Seek, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use wgpu_elu::{DType, Elu, Stream};

use crate::{
    bytes::{Ordered, Timed, copy, write_error},
    content::Format,
    device_args::{Alpha, DeviceArgs, SelectedDevice, dtypes},
    entries::{self, Entry, Words},
    input::Input,
    npy, npz,
    output::Output,
    safetensors,
};
use plan::Planned;
use report::{Array, Done, Report};

const EXAMPLES: &str = "\
Examples:
  elu run x.npy                             # writes x.elu.npy
  elu run x.npy --alpha 0.5 -o y.npy --force
  elu run *.npy --output-dir results        # writes results/x.npy and so on
  elu run - < x.npy > y.npy
  elu run model.safetensors --tensor hidden -o model2.safetensors
  elu run --raw float32 x.bin               # numbers without a header
  elu run -d cpu ./-x.npy                   # a name that starts with a hyphen";

/// Apply ELU to the numbers in .npy, .npz and .safetensors files
///
/// Files may be larger than memory. For each file, the command prints one line on standard error: what it computed, on
/// which device, and how long it took without the time for reading and writing the files.
///
/// All outputs are checked before the first result is computed. If one of several files fails, the others are still written,
/// and the exit code is 1.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// .npy, .npz or .safetensors files, or `-` for standard input
    ///
    /// The content decides the format, not the name. A .npy file has version 1 to 3, and contains float16, float32 or
    /// float64, or bfloat16 with --dtype. In a .npz or .safetensors file, every array of float16, bfloat16 (only
    /// .safetensors), float32 and float64 is replaced by its ELU, and everything else is kept. A .npz file cannot be
    /// read from standard input.
    ///
    /// If there are several, files that are named like a result, such as x.elu.npy, are skipped.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The file for the result [default: x.elu.npy for x.npy]
    ///
    /// `-` is standard output, and the default if INPUT is `-`. The result has the format, shape, axis order and byte
    /// order of INPUT.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Write each result into DIR, with the name of its INPUT
    ///
    /// DIR is created if it does not exist. The name gets the extension of the format if it has another.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
    /// Replace only the array or tensor NAME; can be repeated
    ///
    /// The other arrays of the .npz or .safetensors file are kept.
    #[arg(short, long, value_name = "NAME")]
    tensor: Vec<String>,
    /// The dtype of a .npy file; only bfloat16 needs it
    ///
    /// NumPy stores bfloat16 without its name, as `<V2`.
    #[arg(long, value_parser = dtypes(), ignore_case = true, hide_short_help = true)]
    dtype: Option<DType>,
    /// Read and write numbers of DTYPE without a header
    ///
    /// They are little-endian on every machine. The content and the extension of INPUT do not matter: x.bin becomes
    /// x.elu.bin.
    #[arg(long, value_name = "DTYPE", value_parser = dtypes(), ignore_case = true, conflicts_with_all = ["tensor", "dtype"])]
    raw: Option<DType>,
    #[command(flatten)]
    alpha: Alpha,
    #[command(flatten)]
    device_args: DeviceArgs,
    /// Replace outputs that exist
    #[arg(short, long)]
    force: bool,
    /// Print the results as JSON on standard output
    ///
    /// docs/cli.md in the repository lists the fields.
    #[arg(long)]
    json: bool,
    /// Print errors only
    ///
    /// Hides the lines about each file and the progress bar.
    #[arg(short, long)]
    quiet: bool,
    // The device for all files, as soon as it is selected.
    #[arg(skip)]
    selected: OnceCell<SelectedDevice>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check()?;
    // Reports an invalid alpha before any file is opened. It is parsed again when the dtype is known.
    args.alpha.parse()?;
    let plan = plan::plan(args)?;
    let is_run = |(_, planned): &&(_, Planned)| matches!(planned, Planned::Run(..));
    if plan.files.iter().filter(is_run).count() > 1 {
        // Reports an unavailable device once, not for each input.
        args.select()?;
    }
    let mut report = Report::new(args, plan.files.len());
    report.skipped(&plan.skipped);
    for (path, planned) in plan.files {
        match planned {
            Planned::Failed(error) => report.failed(path, error),
            Planned::Run(input, output_path, output) => {
                let format = input.format();
                match run_one(args, input, output) {
                    Ok(done) => report.written(path, format, &output_path, &done),
                    Err(error) => report.failed(path, error),
                }
            }
        }
    }
    report.finish()
}

// ---- Internals ----

impl Args {
    /// Returns the device for all files. Selects it at the first call.
    fn select(&self) -> Result<&SelectedDevice> {
        if let Some(selected) = self.selected.get() {
            return Ok(selected);
        }
        let selected = self.device_args.select()?;
        Ok(self.selected.get_or_init(|| selected))
    }
}

/// Applies ELU to one input.
fn run_one(args: &Args, input: Input, output: Output) -> Result<Done> {
    match input.format() {
        Format::Npy => run_npy(args, input, output),
        Format::Npz => run_npz(args, input, output),
        Format::Safetensors => run_safetensors(args, input, output),
        Format::Raw(dtype) => raw::run(args, dtype, input, output),
    }
}

fn run_npy(args: &Args, input: Input, output: Output) -> Result<Done> {
    let file = input.name().to_owned();
    let (reader, size) = input.into_reader()?;
    let (form, elements) = npy::read(reader, size, args.dtype).with_context(|| file.clone())?;
    let (dtype, len) = (form.dtype(), form.len() as u64);
    let selected = args.select()?;
    let stream = stream(args, selected, dtype).with_context(|| file.clone())?;
    let mut stream = stream.with_expected_len(len);
    let bar = progress_bar(args, len * dtype.size() as u64)?;
    let mut pending = output.begin()?;
    let name = pending.name();
    let sink = form.write(bar.wrap_write(&mut pending));
    let took = sink
        .map_err(write_error)
        .and_then(|sink| forward(&mut stream, elements, sink));
    let (_, took) = took.map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let what = format!("{} {dtype}", Shape(form.shape()));
    let array = Array {
        name: None,
        dtype,
        shape: Some(form.shape().to_owned()),
        len,
    };
    Ok(Done::one(what, array, selected, took))
}

fn run_safetensors(args: &Args, input: Input, output: Output) -> Result<Done> {
    const WORDS: Words = Words {
        one: "tensor",
        dtypes: "F16, BF16, F32 or F64",
    };
    let file = input.name().to_owned();
    let (reader, size) = input.into_reader()?;
    let (tensors, mut data) = safetensors::read(reader, size).with_context(|| file.clone())?;
    let entries = tensors.entries();
    let selected = args.select()?;
    let dtypes = entries::select(entries, &args.tensor, &WORDS).with_context(|| file.clone())?;
    let streams = streams(args, selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(|| file.clone())?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let bar = progress_bar(args, entries.iter().map(|entry| entry.size).sum())?;
    let mut pending = output.begin()?;
    let name = pending.name();
    tensors.write(&mut pending).with_context(|| name.clone())?;
    let mut took = Duration::ZERO;
    for (entry, stream) in entries.iter().zip(streams) {
        let source = (&mut data).take(entry.size);
        let sink = bar.wrap_write(&mut pending);
        let result = if let Some(mut stream) = stream {
            let size = stream.dtype().size();
            let source = Ordered::new(source, size, safetensors::BIG_ENDIAN);
            let sink = Ordered::new(sink, size, safetensors::BIG_ENDIAN);
            forward(&mut stream, source, sink).map(|(_, time)| took += time)
        } else {
            copy(source, sink)
        };
        result.map_err(|error| with_path(error, &file, &name))?;
    }
    // If every tensor is empty, still drain the input to detect trailing bytes.
    copy(data, &mut pending).map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    Ok(Done::several(what, entries, &dtypes, selected, took))
}

fn run_npz(args: &Args, input: Input, output: Output) -> Result<Done> {
    const WORDS: Words = Words {
        one: "array",
        dtypes: "float16, float32 or float64",
    };
    let file = input.name().to_owned();
    let mut archive = npz::Archive::open(input.into_file()?).with_context(|| file.clone())?;
    let entries = archive.entries();
    let selected = args.select()?;
    let dtypes = entries::select(entries, &args.tensor, &WORDS).with_context(|| file.clone())?;
    let streams = streams(args, selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(|| file.clone())?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let bar = progress_bar(args, entries.iter().map(|entry| entry.size).sum())?;
    let mut pending = output.begin()?;
    let name = pending.name();
    let took = if pending.is_seekable() {
        let writer = npz::Writer::new(&mut pending);
        write_npz(&mut archive, streams, writer, &bar, (&file, &name))
    } else {
        let writer = npz::Writer::new_stream(&mut pending);
        write_npz(&mut archive, streams, writer, &bar, (&file, &name))
    }?;
    bar.finish_and_clear();
    pending.finish()?;
    let entries = archive.entries();
    Ok(Done::several(what, entries, &dtypes, selected, took))
}

/// Writes the archive with the results of the streams. `file` and `name` are the names of input and output. Returns the
/// time without reading and writing.
fn write_npz(
    archive: &mut npz::Archive<File>,
    streams: Vec<Option<Stream>>,
    mut writer: npz::Writer<impl Write + Seek>,
    bar: &ProgressBar,
    (file, name): (&str, &str),
) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for (index, stream) in streams.into_iter().enumerate() {
        let entry = &archive.entries()[index];
        let (size, place) = (entry.size, format!("{file}: member {:?}", entry.name));
        let result = if let Some(mut stream) = stream {
            let started = writer.start(archive, index);
            started.map_err(|error| with_path(error, &place, name))?;
            let (form, elements) = archive.array(index).with_context(|| place.clone())?;
            let sink = form.write(&mut writer).map_err(write_error);
            sink.and_then(|sink| forward(&mut stream, bar.wrap_read(elements), sink))
                .map(|(_, time)| took += time)
        } else {
            let copied = writer.copy(archive, index);
            copied.map(|()| bar.inc(size))
        };
        result.map_err(|error| with_path(error, &place, name))?;
    }
    let finished = writer.finish(archive);
    finished.map_err(|error| with_path(error, file, name))?;
    Ok(took)
}

/// Creates a stream for each entry that is replaced, so that an unsuitable entry is reported before anything is
/// written. A stream allocates its buffers only when it runs. An entry without a dtype is kept, and gets `None`.
fn streams(
    args: &Args,
    selected: &SelectedDevice,
    entries: &[Entry],
    dtypes: &[Option<DType>],
    words: &Words,
) -> Result<Vec<Option<Stream>>> {
    let stream_or_error = |(entry, dtype): (&Entry, &Option<DType>)| {
        let stream = dtype.map(|dtype| stream(args, selected, dtype)).transpose();
        let stream = stream.map(|stream| Some(stream?.with_expected_len(entry.len())));
        stream.with_context(|| format!("{} {:?}", words.one, entry.name))
    };
    entries.iter().zip(dtypes).map(stream_or_error).collect()
}

/// Creates a stream for elements of `dtype`.
fn stream(args: &Args, selected: &SelectedDevice, dtype: DType) -> Result<Stream> {
    let elu = Elu::new(args.alpha.parse_for(dtype)?);
    Ok(Stream::new(&selected.for_dtype(dtype)?, elu, dtype)?)
}

/// Reads elements from `source`, and writes their ELU to `sink`. Returns the number of elements, and the time without
/// the time for reading and writing.
fn forward(
    stream: &mut Stream,
    source: impl Read,
    sink: impl Write,
) -> Result<(u64, Duration), wgpu_elu::Error> {
    let spent = Cell::default();
    let source = Timed::new(source, &spent);
    let sink = Timed::new(sink, &spent);
    let start = Instant::now();
    let len = stream.forward_blocking(source, sink)?;
    Ok((len, start.elapsed().saturating_sub(spent.get())))
}

/// Adds the path of the file that caused an error: the output if writing failed, else the input.
fn with_path(error: wgpu_elu::Error, input: &str, output: &str) -> anyhow::Error {
    match error {
        wgpu_elu::Error::Read { error } => anyhow::Error::new(error).context(input.to_owned()),
        wgpu_elu::Error::Write { error } => anyhow::Error::new(error).context(output.to_owned()),
        error => anyhow::Error::new(error).context(input.to_owned()),
    }
}

/// Creates a progress bar. It is hidden if the data is small, with `--quiet`, or if standard error is not a terminal.
fn progress_bar(args: &Args, bytes: u64) -> Result<ProgressBar> {
    if bytes > Stream::BUDGET && !args.quiet && std::io::stderr().is_terminal() {
        let template = "{bar:40} {percent}%  {binary_bytes_per_sec}  {eta} left";
        let bar = ProgressBar::new(bytes).with_style(ProgressStyle::with_template(template)?);
        // Errors are printed without a bar before them.
        Ok(bar.with_finish(ProgressFinish::AndClear))
    } else {
        Ok(ProgressBar::hidden())
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
