//! `elu run`: applies ELU to a file.

use std::{
    cell::Cell,
    fs::File,
    io::{IsTerminal, Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
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

const EXAMPLES: &str = "\
Examples:
  elu run x.npy                             # writes x.elu.npy
  elu run x.npy --alpha 0.5 -o y.npy --force
  elu run - < x.npy > y.npy
  elu run model.safetensors --tensor hidden -o model2.safetensors
  elu run -d cpu ./-x.npy                   # a name that starts with a hyphen";

/// Apply ELU to every number in a .npy file, or to the arrays in a .npz or .safetensors file
///
/// The file may be larger than memory. When the work is done, the command prints one line on standard error: what it
/// computed, on which device, and how long it took without the time for reading and writing the files.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// A .npy, .npz or .safetensors file, or `-` for standard input
    ///
    /// The content decides the format, not the name. A .npy file has version 1 to 3, and contains float16, float32 or
    /// float64, or bfloat16 with --dtype. In a .npz or .safetensors file, every array of float16, bfloat16 (only
    /// .safetensors), float32 and float64 is replaced by its ELU, and everything else is kept. A .npz file cannot be
    /// read from standard input.
    input: PathBuf,
    /// The file for the result, or `-` for standard output [default: INPUT with .elu and the format's extension]
    ///
    /// The result has the format, shape, axis order and byte order of INPUT. If INPUT is `-`, the default is `-`.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Replace only the array NAME of a .npz or .safetensors file; can be repeated
    #[arg(short, long, value_name = "NAME")]
    tensor: Vec<String>,
    /// The dtype of a .npy file; only bfloat16 needs it
    ///
    /// NumPy stores bfloat16 without its name, as `<V2`.
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
    // Reports an invalid alpha before any file is opened. It is parsed again when the dtype is known.
    args.alpha.parse()?;
    // Reports an unsuitable output before the command waits for data on standard input.
    let output = args.output.as_ref();
    let output = output
        .map(|path| Output::open(path, args.force))
        .transpose()?;
    let input = Input::open(&args.input)?;
    let format = input.format();
    if format == Format::Npy && !args.tensor.is_empty() {
        return Err(crate::conflict(
            "--tensor needs a .npz or .safetensors file as INPUT",
        ));
    }
    if format != Format::Npy && args.dtype.is_some() {
        return Err(crate::conflict("--dtype needs a .npy file as INPUT"));
    }
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&args.input, format));
    // Pipes, device files and directories may have any name.
    let is_file = std::fs::metadata(&path).map_or(true, |found| found.is_file());
    let extension = format.extension();
    if is_file
        && path
            .extension()
            .is_some_and(|found| !found.eq_ignore_ascii_case(extension))
    {
        return Err(crate::usage(format!(
            "{}: the result is a .{extension} file like INPUT: use the extension .{extension}",
            path.display()
        )));
    }
    let output = output.map_or_else(|| Output::open(&path, args.force), Ok)?;
    let run = match format {
        Format::Npy => run_npy,
        Format::Npz => run_npz,
        Format::Safetensors => run_safetensors,
    };
    let (what, devices, took) = run(args, input, output)?;
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

fn run_npy(args: &Args, input: Input, output: Output) -> Result<Summary> {
    let file = input.name().to_owned();
    let (reader, size) = input.into_reader();
    let (form, elements) = npy::read(reader, size, args.dtype).with_context(|| file.clone())?;
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
    let took = took.map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let what = format!("{} {dtype}", Shape(form.shape()));
    Ok((what, selected.describe(&[dtype]), took))
}

fn run_safetensors(args: &Args, input: Input, output: Output) -> Result<Summary> {
    const WORDS: Words = Words {
        one: "tensor",
        dtypes: "F16, BF16, F32 or F64",
    };
    let file = input.name().to_owned();
    let (reader, size) = input.into_reader();
    let (tensors, mut data) = safetensors::read(reader, size).with_context(|| file.clone())?;
    let entries = tensors.entries();
    let selected = args.device_args.select()?;
    let dtypes = entries::select(entries, &args.tensor, &WORDS).with_context(|| file.clone())?;
    let streams = streams(args, &selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(|| file.clone())?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let bar = progress_bar(entries.iter().map(|entry| entry.size).sum())?;
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
            forward(&mut stream, source, sink).map(|time| took += time)
        } else {
            copy(source, sink)
        };
        result.map_err(|error| with_path(error, &file, &name))?;
    }
    // If every tensor is empty, still drain the input to detect trailing bytes.
    copy(data, &mut pending).map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let dtypes: Vec<DType> = dtypes.into_iter().flatten().collect();
    Ok((what, selected.describe(&dtypes), took))
}

fn run_npz(args: &Args, input: Input, output: Output) -> Result<Summary> {
    const WORDS: Words = Words {
        one: "array",
        dtypes: "float16, float32 or float64",
    };
    let file = input.name().to_owned();
    let archive = npz::Archive::open(input.into_file()?).with_context(|| file.clone())?;
    let entries = archive.entries();
    let selected = args.device_args.select()?;
    let dtypes = entries::select(entries, &args.tensor, &WORDS).with_context(|| file.clone())?;
    let streams = streams(args, &selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(|| file.clone())?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let mut pending = output.begin()?;
    let name = pending.name();
    let took = if pending.is_seekable() {
        write_npz(
            archive,
            streams,
            npz::Writer::new(&mut pending),
            &file,
            &name,
        )
    } else {
        write_npz(
            archive,
            streams,
            npz::Writer::new_stream(&mut pending),
            &file,
            &name,
        )
    }?;
    pending.finish()?;
    let dtypes: Vec<DType> = dtypes.into_iter().flatten().collect();
    Ok((what, selected.describe(&dtypes), took))
}

/// Writes the archive with the results of the streams. `file` and `name` are the names of input and output. Returns the
/// time without reading and writing.
fn write_npz(
    mut archive: npz::Archive<File>,
    streams: Vec<Option<Stream>>,
    mut writer: npz::Writer<impl Write + Seek>,
    file: &str,
    name: &str,
) -> Result<Duration> {
    let sizes = archive.entries().iter().map(|entry| entry.size);
    let bar = progress_bar(sizes.sum())?;
    let mut took = Duration::ZERO;
    for (index, stream) in streams.into_iter().enumerate() {
        let entry = &archive.entries()[index];
        let (size, place) = (entry.size, format!("{file}: member {:?}", entry.name));
        let result = if let Some(mut stream) = stream {
            let started = writer.start(&mut archive, index);
            started.map_err(|error| with_path(error, &place, name))?;
            let (form, elements) = archive.array(index).with_context(|| place.clone())?;
            let sink = form.write(&mut writer).map_err(write_error);
            sink.and_then(|sink| forward(&mut stream, bar.wrap_read(elements), sink))
                .map(|time| took += time)
        } else {
            let copied = writer.copy(&mut archive, index);
            copied.map(|()| bar.inc(size))
        };
        result.map_err(|error| with_path(error, &place, name))?;
    }
    let finished = writer.finish(&archive);
    finished.map_err(|error| with_path(error, file, name))?;
    bar.finish_and_clear();
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
    let stream = |entry: &Entry, dtype: DType| -> Result<Stream> {
        let elu = Elu::new(args.alpha.parse_for(dtype)?);
        let stream = Stream::new(&selected.for_dtype(dtype)?, elu, dtype)?;
        Ok(stream.with_expected_len(entry.len()))
    };
    let stream_or_error = |(entry, dtype): (&Entry, &Option<DType>)| {
        let stream = dtype.map(|dtype| stream(entry, dtype)).transpose();
        stream.with_context(|| format!("{} {:?}", words.one, entry.name))
    };
    entries.iter().zip(dtypes).map(stream_or_error).collect()
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
fn default_output(input: &Path, format: Format) -> PathBuf {
    if input == Path::new("-") {
        "-".into()
    } else {
        input.with_extension(format!("elu.{}", format.extension()))
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
