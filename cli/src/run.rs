//! `elu run`: applies ELU or a gradient to files.

mod gradient;
mod model;
mod names;
mod npy;
mod npz;
mod plan;
mod raw;
mod report;
mod safetensors;

use std::{
    cell::{Cell, OnceCell},
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use wgpu_elu::{DType, Op, Role, Stream, cpu};

use crate::{
    bytes::Timed,
    content::Format,
    device_args::{DeviceArgs, SelectedDevice, dtypes},
    entries::{Entry, Words},
    function::{Function, FunctionArgs},
    input::Input,
    output::Output,
};
use gradient::OpArgs;
use model::ModelArgs;
use plan::Planned;
use report::{Array, Done, Report};

const EXAMPLES: &str = "\
Examples:
  elu run x.npy                             # writes x.elu.npy
  elu run x.npy --alpha 0.5 -o y.npy --force
  elu run *.npy --output-dir results        # writes results/x.npy and so on
  elu run x.npy --keras model.keras --layer last
  elu run x.npy --op backward --grad grad.npy -o grad_x.npy
  elu run - < x.npy > y.npy
  elu run model.safetensors --tensor hidden -o model2.safetensors
  elu run --raw float32 x.bin               # numbers without a header
  elu run -d cpu ./-x.npy                   # a name that starts with a hyphen";

/// Apply ELU to the numbers in .npy, .npz and .safetensors files
///
/// The options select ELU, SELU or CELU, or a gradient of them.
///
/// Files may be larger than memory. For each file, the command prints one line on standard error: what it computed, on
/// which device, and how long it took without the time for reading and writing the files.
///
/// All outputs are checked before the first result is computed. If one of several files fails, the others are still
/// written, and the exit code is 1.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// .npy, .npz or .safetensors files, or `-` for standard input
    ///
    /// The content decides the format, not the name. A .npy file has version 1 to 3, and contains float16, float32 or
    /// float64, or bfloat16 with --dtype. In a .npz or .safetensors file, every array of these dtypes is replaced by
    /// its result, and everything else is kept. A .npz file cannot be read from standard input.
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
    /// DIR is created if it does not exist. If a name does not have the extension of its format, it gets it: blob
    /// becomes DIR/blob.safetensors.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
    /// Replace only the array or tensor NAME; can be repeated
    ///
    /// The other arrays of the .npz or .safetensors file are kept.
    #[arg(short, long, value_name = "NAME")]
    tensor: Vec<String>,
    /// Read 2-byte elements without a type as bfloat16
    ///
    /// NumPy files contain bfloat16 without its name, as `<V2`. For a .npy file, DTYPE can be any dtype; a file of
    /// another one is an error.
    #[arg(long, value_parser = dtypes(), ignore_case = true, hide_short_help = true)]
    dtype: Option<DType>,
    /// Read and write numbers of DTYPE without a header
    ///
    /// They are little-endian on every machine. INPUT may have any content and any extension: the result of x.bin is
    /// x.elu.bin.
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = dtypes(),
        ignore_case = true,
        hide_short_help = true,
        conflicts_with_all = ["tensor", "dtype"]
    )]
    raw: Option<DType>,
    #[command(flatten)]
    op: OpArgs,
    #[command(flatten)]
    function: FunctionArgs,
    #[command(flatten)]
    model: ModelArgs,
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
    #[arg(short, long, hide_short_help = true)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check()?;
    args.op.check(&args.inputs)?;
    // Reports invalid factors before any other file is opened.
    let function = match args.model.function()? {
        Some(function) => function.with_rounding(args.function.rounding()),
        None => args.function.parse()?,
    };
    let task = Task {
        args,
        function,
        selected: OnceCell::new(),
    };
    let plan = plan::plan(args)?;
    let is_run = |(_, planned): &&(_, Planned)| matches!(planned, Planned::Run(..));
    if plan.files.iter().filter(is_run).count() > 1 {
        // Reports an unavailable device once, not for each input.
        task.select()?;
    }
    let mut report = Report::new(&task, plan.files.len());
    report.skipped(&plan.skipped);
    for (path, planned) in plan.files {
        match planned {
            Planned::Failed(error) => report.failed(path, error),
            Planned::Run(files, output_path) => {
                let format = files.x.format();
                match run_one(&task, files) {
                    Ok(done) => report.written(path, format, &output_path, &done),
                    Err(error) => report.failed(path, error),
                }
            }
        }
    }
    report.finish()
}

// ---- Internals ----

/// The files of one INPUT, which are known to be readable and writable.
struct Files {
    /// INPUT: `x`, or the output `y` for a gradient from the output.
    x: Input,
    /// The incoming gradient, if the operation takes it.
    grad: Option<Input>,
    output: Output,
}

impl Files {
    fn names(&self) -> Names {
        let grad = self.grad.as_ref().map(Input::name);
        Names {
            x: self.x.name().to_owned(),
            grad: grad.unwrap_or_default().to_owned(),
            output: self.output.name(),
        }
    }
}

/// The names of [`Files`] for error messages.
struct Names {
    x: String,
    /// The name of the incoming gradient, or nothing if there is none.
    grad: String,
    output: String,
}

impl Names {
    /// Adds the name of a member to the names of the inputs.
    fn member(&self, name: &str) -> Self {
        let member = |file| format!("{file}: member {name:?}");
        Self {
            x: member(&self.x),
            grad: member(&self.grad),
            output: self.output.clone(),
        }
    }

    /// Adds the name of the file that caused an error.
    fn add_to(&self, error: wgpu_elu::Error) -> anyhow::Error {
        use wgpu_elu::Error::{EndsEarly, PartialElement, Read, Write};
        let name = match &error {
            Write { .. } => &self.output,
            Read { role, .. } | PartialElement { role, .. } | EndsEarly { role, .. }
                if *role == Role::Gradient =>
            {
                &self.grad
            }
            _ => &self.x,
        };
        match error {
            Read { error, .. } | Write { error } => anyhow::Error::new(error),
            error => anyhow::Error::new(error),
        }
        .context(name.clone())
    }
}

/// What is computed for every INPUT.
struct Task<'a> {
    args: &'a Args,
    function: Function,
    /// The device for all files, as soon as it is selected.
    selected: OnceCell<SelectedDevice>,
}

impl Task<'_> {
    /// Returns the device for all files. Selects it at the first call.
    fn select(&self) -> Result<&SelectedDevice> {
        if let Some(selected) = self.selected.get() {
            return Ok(selected);
        }
        let selected = self.args.device_args.select()?;
        let selected = selected.for_rounding(self.function.elu().rounding());
        Ok(self.selected.get_or_init(|| selected))
    }

    /// Creates a stream for `len` elements of `dtype`, so that unsuitable factors are reported before anything is
    /// written. It allocates its buffers only when it runs.
    fn stream(&self, selected: &SelectedDevice, dtype: DType, len: u64) -> Result<Stream> {
        let elu = self.function.for_dtype(dtype)?;
        if self.args.op.op == Op::BackwardFromOutput {
            // Without elements, this only checks the factors.
            match dtype.arithmetic_dtype() {
                DType::F64 => cpu::backward_from_output::<f64>(elu, &[], &[], &mut [])?,
                _ => cpu::backward_from_output::<f32>(elu, &[], &[], &mut [])?,
            }
        }
        let stream = Stream::new(&selected.for_dtype(dtype)?, elu, dtype)?;
        Ok(stream.with_expected_len(len))
    }

    /// Creates a stream for each entry that is replaced. An entry without a dtype is kept, and gets `None`.
    fn streams(
        &self,
        selected: &SelectedDevice,
        entries: &[Entry],
        dtypes: &[Option<DType>],
        words: &Words,
    ) -> Result<Vec<Option<Stream>>> {
        let stream_or_error = |(entry, dtype): (&Entry, &Option<DType>)| {
            let stream = dtype.map(|dtype| self.stream(selected, dtype, entry.len()));
            let name = || format!("{} {:?}", words.one, entry.name);
            stream.transpose().with_context(name)
        };
        entries.iter().zip(dtypes).map(stream_or_error).collect()
    }

    /// Reads elements from `source`, and incoming gradients from `grad` if the operation takes them, and writes the
    /// results to `sink`. Returns their number, and the time without the time for reading and writing.
    fn apply(
        &self,
        stream: &mut Stream,
        source: impl Read,
        grad: Option<impl Read>,
        sink: impl Write,
    ) -> Result<(u64, Duration), wgpu_elu::Error> {
        let spent = Cell::default();
        let source = Timed::new(source, &spent);
        let grad = grad.map(|grad| Timed::new(grad, &spent));
        let sink = Timed::new(sink, &spent);
        let start = Instant::now();
        let len = stream.apply_blocking(self.args.op.op, source, grad, sink)?;
        Ok((len, start.elapsed().saturating_sub(spent.get())))
    }

    /// Creates a progress bar. It is hidden if the data is small, with `--quiet`, or if standard error is not a
    /// terminal.
    fn progress_bar(&self, bytes: u64) -> Result<ProgressBar> {
        if bytes > Stream::BUDGET && !self.args.quiet && std::io::stderr().is_terminal() {
            let template = "{bar:40} {percent}%  {binary_bytes_per_sec}  {eta} left";
            let bar = ProgressBar::new(bytes).with_style(ProgressStyle::with_template(template)?);
            // Errors are printed without a bar before them.
            Ok(bar.with_finish(ProgressFinish::AndClear))
        } else {
            Ok(ProgressBar::hidden())
        }
    }
}

/// Computes the results of one INPUT.
fn run_one(task: &Task, files: Files) -> Result<Done> {
    match files.x.format() {
        Format::Npy => npy::run(task, files),
        Format::Npz => npz::run(task, files),
        Format::Safetensors => safetensors::run(task, files),
        Format::Raw(dtype) => raw::run(task, dtype, files),
    }
}
