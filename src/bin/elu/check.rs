//! `elu check`: a device's results against the exact values.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    ops::Range,
    path::PathBuf,
};

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::{Value, json};
use wgpu_elu::{DType, Device, Elu, Factors, Tensor, shader::Op};

use crate::{
    judge::{Judge, bits, smallest_normal, value},
    output::Output,
    place::{Place, by_name, parse_alpha},
    plot,
};

/// Judge a device's results by the exact values, range by range of x
///
/// Takes every 97th bit pattern of float32, all of the 16-bit formats, and 131,072 of float64, with all special values.
/// Gradients are tried with several values for the gradient that comes in. The exit code is 1 if the contract is broken.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The number format
    #[arg(long, default_value = "float32", value_parser = by_name(&DType::ALL, DType::name))]
    dtype: DType,
    /// What is computed; for backward-from-output, x is the output
    #[arg(long, default_value = "forward", value_parser = by_name(&Op::ALL, Op::name))]
    op: Op,
    /// The negative side tends to -A
    #[arg(
        short,
        long,
        value_name = "A",
        default_value = "1",
        allow_hyphen_values = true
    )]
    alpha: String,
    /// Every bit pattern there is: minutes for float32
    #[arg(long)]
    exhaustive: bool,
    /// Write what was found as JSON; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the error against x, beside that of the formula in plain floating point: FILE ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.place.check();
    let alpha = parse_alpha(&args.alpha)?;
    let (op, dtype) = (args.op, args.dtype);
    ensure!(
        !args.exhaustive || dtype != DType::F64,
        "--exhaustive: float64 has 2^64 values, which would take centuries; leave it out for a sample"
    );
    let open = |path: &PathBuf| Output::open(path, args.force);
    let json_output = args.json.as_ref().map(open).transpose()?;
    let plot = args.plot.as_ref().map(|path| -> Result<_> {
        let picture = plot::Picture::by_extension(path)?;
        Ok((picture, open(path)?))
    });
    let plot = plot.transpose()?;
    let device = args.place.device()?;
    let judge = Judge {
        op,
        dtype,
        factors: Factors::elu(alpha),
        on_gpu: device != Device::Cpu,
    };
    let sample = Sample::new(dtype, args.exhaustive);
    let report = examine(&device, judge, &sample)?;

    let title = format!(
        "{} {dtype}, alpha {}, on {}",
        op.name(),
        args.alpha.trim(),
        args.place.told(&device)
    );
    let to_stdout = args
        .json
        .as_deref()
        .is_some_and(|path| path.as_os_str() == "-");
    if !to_stdout {
        let text = report.as_text(&title, judge);
        std::io::stdout().write_all(text.as_bytes())?;
    }
    if let Some(output) = json_output {
        let text = format!("{:#}\n", report.as_json(&device, judge, alpha));
        output.write(|writer| Ok(writer.write_all(text.as_bytes())?))?;
    }
    if let Some((picture, output)) = plot {
        let bytes = picture.draw(&title, &report.curve(), judge.most_ulp())?;
        output.write(|writer| Ok(writer.write_all(&bytes)?))?;
    }
    let broken: u64 = report.rows.iter().map(|row| row.broken).sum();
    ensure!(
        broken == 0,
        "the contract is broken by {broken} of {} results",
        report.count()
    );
    Ok(())
}

// ---- Internals ----

/// The bit patterns that are tried: every `step`th, and the special ones.
struct Sample {
    dtype: DType,
    step: u64,
    count: u64,
}

impl Sample {
    fn new(dtype: DType, exhaustive: bool) -> Self {
        let (step, count) = match dtype {
            DType::F64 => ((1 << 47) - 115, 1 << 17), // no power of two, so that all bits vary
            DType::F16 | DType::BF16 => (1, 1 << 16),
            _ if exhaustive => (1, 1 << 32),
            _ => (97, (1u64 << 32).div_ceil(97)),
        };
        Self { dtype, step, count }
    }

    /// What is tried in one go: so much that the device has enough to do, in memory that does not grow.
    fn pieces(&self) -> impl Iterator<Item = Vec<u64>> {
        let piece = if self.dtype == DType::F64 {
            1 << 12
        } else {
            1 << 21
        };
        let every = (0..self.count).step_by(piece).map(move |start| {
            let end = self.count.min(start + piece as u64);
            (start..end).map(|i| i.wrapping_mul(self.step)).collect()
        });
        every.chain([self.specials()])
    }

    /// Where something changes: the ends of the format, of its subnormals, and of the ranges.
    fn specials(&self) -> Vec<u64> {
        let infinity = bits(self.dtype, f64::INFINITY);
        let sign = bits(self.dtype, -0.0);
        let normal = bits(self.dtype, smallest_normal(self.dtype));
        let ends = [
            0,
            1,
            normal - 1,
            normal,
            normal + 1,
            infinity - 1,
            infinity,
            infinity + 1,
        ];
        let inner = [
            17.4,
            1.0,
            0.1,
            1e-3,
            1e-7,
            18.0,
            0.346_573_6,
            std::f64::consts::LN_2,
        ];
        let inner = inner.map(|v| bits(self.dtype, v));
        ends.into_iter()
            .chain(inner)
            .flat_map(|bits| [bits, bits | sign])
            .collect()
    }
}

/// The gradients that come in, in turn.
const GRADS: [f64; 4] = [1.0, -0.37, 1234.567, 3e-5];

fn examine(device: &Device, judge: Judge, sample: &Sample) -> Result<Report> {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {percent}%  {eta} left")?;
        ProgressBar::new(sample.count).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let elu = Elu::from(judge.factors);
    let mut report = Report::new(judge);
    for x in sample.pieces() {
        let tensor = |bits: &[u64]| -> Result<Tensor> {
            let size = judge.dtype.size();
            let mut bytes = vec![0; bits.len() * size];
            for (bytes, bits) in bytes.chunks_exact_mut(size).zip(bits) {
                bytes.copy_from_slice(&bits.to_le_bytes()[..size]);
                if cfg!(target_endian = "big") {
                    bytes.reverse();
                }
            }
            Ok(Tensor::from_bytes(
                device,
                judge.dtype,
                &bytes,
                &[bits.len()],
            )?)
        };
        let grads = GRADS.map(|grad| bits(judge.dtype, grad));
        let grad: Vec<u64> = if judge.op.has_grad() {
            (0..x.len()).map(|i| grads[i % grads.len()]).collect()
        } else {
            vec![0; x.len()]
        };
        let y = match judge.op {
            Op::Forward => elu.forward(&tensor(&x)?)?,
            Op::Backward => elu.backward(&tensor(&x)?, &tensor(&grad)?)?,
            Op::BackwardFromOutput => elu.backward_from_output(&tensor(&x)?, &tensor(&grad)?)?,
        };
        let y = y.to_bytes_blocking()?;
        let found = x
            .par_iter()
            .zip(&grad)
            .zip(y.par_chunks_exact(judge.dtype.size()))
            .with_min_len(1 << 9)
            .fold(
                || Report::new(judge),
                |mut report, ((&x, &grad), y)| {
                    report.add(Case {
                        x,
                        grad,
                        y: from_bytes(y),
                    });
                    report
                },
            )
            .reduce(|| Report::new(judge), Report::and);
        report = report.and(found);
        bar.inc(x.len() as u64);
    }
    bar.finish_and_clear();
    Ok(report)
}

fn from_bytes(bytes: &[u8]) -> u64 {
    let join = |all: u64, &byte: &u8| all << 8 | u64::from(byte);
    if cfg!(target_endian = "big") {
        bytes.iter().fold(0, join)
    } else {
        bytes.iter().rev().fold(0, join)
    }
}

/// One result, as bits.
#[derive(Clone, Copy)]
struct Case {
    x: u64,
    grad: u64,
    y: u64,
}

/// What was found in a range of x.
#[derive(Clone)]
struct Row {
    name: &'static str,
    count: u64,
    broken: u64,
    nearest: u64,
    sum_ulp: f64,
    max_ulp: f64,
    worst: Option<Case>,
}

/// What was found in all.
struct Report {
    judge: Judge,
    rows: Vec<Row>,
    /// The largest errors by the logarithm of -x: ours, and the plain formula's.
    buckets: Vec<[f64; 2]>,
}

const RANGES: [&str; 9] = [
    "below -17.4",
    "-17.4 .. -1",
    "-1 .. -0.1",
    "-0.1 .. -1e-3",
    "-1e-3 .. -1e-7",
    "-1e-7 .. normal",
    "subnormal",
    "positive",
    "special",
];

/// The powers of ten of -x that are drawn, and buckets in one.
const DECADES: Range<i32> = -10..2;
const PER_DECADE: f64 = 50.0;

impl Report {
    fn new(judge: Judge) -> Self {
        let row = |name| Row {
            name,
            count: 0,
            broken: 0,
            nearest: 0,
            sum_ulp: 0.0,
            max_ulp: 0.0,
            worst: None,
        };
        let buckets = f64::from(DECADES.end - DECADES.start) * PER_DECADE;
        Self {
            judge,
            rows: RANGES.into_iter().map(row).collect(),
            buckets: vec![[0.0; 2]; bucket(buckets)],
        }
    }

    fn add(&mut self, case: Case) {
        let judge = self.judge;
        let x = value(judge.dtype, case.x);
        if judge.op == Op::BackwardFromOutput && x < -judge.factors.alpha() {
            return; // no output is
        }
        let verdict = judge.judge(case.x, case.grad, case.y);
        let row = &mut self.rows[range(judge.dtype, x)];
        row.count += 1;
        row.broken += u64::from(!verdict.is_allowed);
        row.nearest += u64::from(verdict.is_nearest);
        row.sum_ulp += verdict.ulp;
        if verdict.ulp > row.max_ulp || row.worst.is_none() {
            row.max_ulp = verdict.ulp;
            row.worst = Some(case);
        }
        if x < 0.0 {
            let at = ((-x).log10() - f64::from(DECADES.start)) * PER_DECADE;
            if let Some(most) = self.buckets.get_mut(bucket(at)).filter(|_| at >= 0.0) {
                let plain = plain(judge, x, value(judge.dtype, case.grad));
                let plain = judge.judge(case.x, case.grad, bits(judge.dtype, plain));
                *most = [most[0].max(verdict.ulp), most[1].max(plain.ulp)];
            }
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (row, other) in self.rows.iter_mut().zip(other.rows) {
            row.count += other.count;
            row.broken += other.broken;
            row.nearest += other.nearest;
            row.sum_ulp += other.sum_ulp;
            if other.worst.is_some() && (row.worst.is_none() || other.max_ulp > row.max_ulp) {
                row.max_ulp = other.max_ulp;
                row.worst = other.worst;
            }
        }
        for (most, other) in self.buckets.iter_mut().zip(other.buckets) {
            *most = [most[0].max(other[0]), most[1].max(other[1])];
        }
        self
    }

    fn count(&self) -> u64 {
        self.rows.iter().map(|row| row.count).sum()
    }

    fn as_text(&self, title: &str, judge: Judge) -> String {
        let mut text = format!("{title}\n{} results\n\n", self.count());
        let _ = writeln!(
            text,
            "{:<15}{:>11}{:>8}{:>7}{:>9}  worst x",
            "x", "results", "max ULP", "mean", "nearest"
        );
        for row in self.rows.iter().filter(|row| row.count > 0) {
            let count = row.count as f64;
            let worst = row
                .worst
                .filter(|_| row.max_ulp > 0.0)
                .map_or_else(String::new, |case| {
                    format!("{:.3e} {:#x}", value(judge.dtype, case.x), case.x)
                });
            let line = format!(
                "{:<15}{:>11}{:>8.3}{:>7.3}{:>8.3}%  {worst}",
                row.name,
                row.count,
                row.max_ulp,
                row.sum_ulp / count,
                100.0 * row.nearest as f64 / count,
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let contract = if judge.is_rounded_correctly() {
            "the nearest number".to_owned()
        } else {
            format!("within {} ULP", judge.most_ulp())
        };
        let broken: u64 = self.rows.iter().map(|row| row.broken).sum();
        let kept = if broken == 0 {
            "kept".to_owned()
        } else {
            format!("BROKEN by {broken}")
        };
        let _ = writeln!(text, "\ncontract: {contract}: {kept}");
        text
    }

    fn as_json(&self, device: &Device, judge: Judge, alpha: f64) -> Value {
        // JSON has no infinity.
        let number = |v: f64| {
            if v.is_finite() {
                json!(v)
            } else {
                json!(v.to_string())
            }
        };
        let rows = self.rows.iter().filter(|row| row.count > 0).map(|row| {
            let worst = row.worst.map(|case| {
                let told = |bits: u64| {
                    json!({
                        "value": number(value(judge.dtype, bits)),
                        "bits": format!("{bits:#x}"),
                    })
                };
                json!({ "x": told(case.x), "grad": told(case.grad), "y": told(case.y) })
            });
            json!({
                "x": row.name,
                "results": row.count,
                "max_ulp": number(row.max_ulp),
                "mean_ulp": number(row.sum_ulp / row.count as f64),
                "nearest": row.nearest as f64 / row.count as f64,
                "broken": row.broken,
                "worst": worst,
            })
        });
        json!({
            "device": device.to_string(),
            "op": judge.op.name(),
            "dtype": judge.dtype.name(),
            "alpha": number(alpha),
            "results": self.count(),
            "contract": {
                "max_ulp": judge.most_ulp(),
                "nearest": judge.is_rounded_correctly(),
                "kept": self.rows.iter().all(|row| row.broken == 0),
            },
            "ranges": rows.collect::<Vec<_>>(),
        })
    }

    /// -x in the middle of each bucket, and the largest errors there: ours, and the plain formula's.
    fn curve(&self) -> Vec<(f64, [f64; 2])> {
        let x = |i: usize| 10f64.powf(f64::from(DECADES.start) + (i as f64 + 0.5) / PER_DECADE);
        self.buckets
            .iter()
            .enumerate()
            .map(|(i, &errors)| (x(i), errors))
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is negative or too large becomes the end, and is left out"
)]
fn bucket(at: f64) -> usize {
    at as usize
}

/// The number of the range in [`RANGES`].
fn range(dtype: DType, x: f64) -> usize {
    if x == 0.0 || !x.is_finite() {
        8
    } else if x > 0.0 {
        7
    } else if x > -smallest_normal(dtype) {
        6
    } else {
        [-17.4, -1.0, -0.1, -1e-3, -1e-7]
            .into_iter()
            .filter(|&end| x >= end)
            .count()
    }
}

/// What the formula gives as it is written, in the floating point that arithmetic is done in.
fn plain(judge: Judge, x: f64, grad: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    fn narrow(v: f64) -> f32 {
        v as f32
    }
    let alpha = judge.factors.alpha();
    if judge.dtype == DType::F64 {
        return match judge.op {
            Op::Forward => alpha * (x.exp() - 1.0),
            Op::Backward => grad * (alpha * x.exp()),
            Op::BackwardFromOutput => grad * (x + alpha),
        };
    }
    let [x, grad, alpha] = [x, grad, alpha].map(narrow);
    f64::from(match judge.op {
        Op::Forward => alpha * (x.exp() - 1.0),
        Op::Backward => grad * (alpha * x.exp()),
        Op::BackwardFromOutput => grad * (x + alpha),
    })
}
