//! `elu check`: a device's results against the exact values.

mod chart;
mod examine;
mod other;
mod report;
mod sample;

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use wgpu_elu::{DType, Device, Elu, Tensor, shader::Op};

use crate::{
    files::{FileArgs, Files},
    judge::Judge,
    place::{Alpha, Place, by_name, dtypes},
};
use chart::ErrorChart;
use examine::{Findings, examine, pieces};
use other::other_judges;
use report::{Others, Report};
use sample::{Extent, Sample};

const AFTER_HELP: &str = "\
JSON: device, op, dtype and alpha; results, contract (max_ulp, nearest, kept) and ranges (x, results, max_ulp, mean_ulp, \
nearest, broken, worst) for that alpha; other_factors (factors, results, max_ulp, mean_ulp, nearest, broken, worst, contract). \
A worst case has alpha, scale, input_scale, x, grad, the result y and the nearest number, each as value and bits, and ulp.";

/// Judge a device's results by the exact values, range by range of x
///
/// Takes every 97th bit pattern of float32, all of the 16-bit formats, and 131,072 of float64. To these it adds the numbers
/// where results are most likely to be wrong: around the multiples of ln 2 / 2 and the thresholds in the code, every power of
/// two, subnormal numbers and special values. Gradients are tried with incoming gradients of all exponents and both signs.
///
/// The table is for the given alpha. A smaller sample is then tried with a hundred other factors: alphas from subnormal to
/// infinite, SELU, CELU, and all three factors. The exit code is 1 if the contract is broken anywhere.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The number format
    #[arg(long, default_value = "float32", value_parser = dtypes())]
    dtype: DType,
    /// What is computed; for backward-from-output, x is the output
    #[arg(long, default_value = "forward", value_parser = by_name(&Op::ALL, Op::name))]
    op: Op,
    #[command(flatten)]
    alpha: Alpha,
    /// Every bit pattern there is, more gradients and more other factors: minutes for float32
    #[arg(long)]
    exhaustive: bool,
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.place.check();
    let (op, dtype) = (args.op, args.dtype);
    let factors = args.alpha.of(dtype)?.into();
    if args.exhaustive && dtype == DType::F64 {
        return Err(crate::usage(
            "--exhaustive: float64 has 2^64 values, which would take centuries; leave it out for a sample",
        ));
    }
    let files = Files::open(&args.files)?;
    let chosen = args.place.device()?;
    let device = chosen.for_dtype(dtype)?;
    let judge = Judge { op, dtype, factors };
    let extent = if args.exhaustive {
        Extent::Exhaustive
    } else {
        Extent::Default
    };
    let report = examine_all(&device, judge, extent, args.files.plots())?;

    let title = format!(
        "{} {dtype}, alpha {}, on {}",
        op.name(),
        args.alpha,
        chosen.told(&[dtype])
    );
    let chart = ErrorChart {
        title: &title,
        points: &report.curve(),
        most: judge.most_ulp(),
    };
    files.write(&chart, &report.as_json(&device), &report.as_text(&title))?;
    report.check()
}

// ---- Internals ----

fn examine_all(device: &Device, judge: Judge, extent: Extent, is_drawn: bool) -> Result<Report> {
    let sample = Sample::new(judge, extent);
    let is_exhaustive = extent == Extent::Exhaustive;
    let others: Vec<(Judge, Sample)> = other_judges(judge.op, judge.dtype, is_exhaustive)
        .into_iter()
        .map(|judge| {
            let extent = if is_exhaustive {
                Extent::Many
            } else {
                Extent::Few
            };
            (judge, Sample::new(judge, extent))
        })
        .collect();
    let count: u64 = others.iter().map(|(_, sample)| sample.len()).sum();
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {percent}%  {eta} left")?;
        ProgressBar::new(sample.len() + count).with_style(style)
    } else {
        ProgressBar::hidden()
    };

    let len = if judge.dtype == DType::F64 {
        1 << 12
    } else {
        1 << 21
    };
    let empty = || Report::new(judge, is_drawn);
    let mut report = empty();
    for piece in pieces(&sample, len) {
        bar.inc(piece.end - piece.start);
        let compute = |x: &[u64], grad: &[u64]| compute(device, judge, x, grad);
        report = report.and(examine(&sample, piece, empty, compute)?);
    }
    let mut all = Others::default();
    for (judge, sample) in others {
        let empty = || Others::new(judge);
        let mut found = empty();
        for piece in pieces(&sample, len) {
            bar.inc(piece.end - piece.start);
            let compute = |x: &[u64], grad: &[u64]| compute(device, judge, x, grad);
            found = found.and(examine(&sample, piece, empty, compute)?);
        }
        all = all.with(found);
    }
    bar.finish_and_clear();
    Ok(report.with_others(all))
}

/// The device's results, as bits. Forward ignores `grad`.
fn compute(device: &Device, judge: Judge, x: &[u64], grad: &[u64]) -> Result<Vec<u64>> {
    let tensor = |bits: &[u64]| {
        let bytes = to_bytes(judge.dtype, bits);
        Tensor::from_bytes(device, judge.dtype, &bytes, &[bits.len()])
    };
    let (elu, x) = (Elu::from(judge.factors), tensor(x)?);
    let y = match judge.op {
        Op::Forward => elu.forward(&x)?,
        Op::Backward => elu.backward(&x, &tensor(grad)?)?,
        Op::BackwardFromOutput => elu.backward_from_output(&x, &tensor(grad)?)?,
    };
    let bytes = y.to_bytes_blocking()?;
    Ok(bytes
        .chunks_exact(judge.dtype.size())
        .map(from_bytes)
        .collect())
}

pub(crate) fn to_bytes(dtype: DType, bits: &[u64]) -> Vec<u8> {
    let size = dtype.size();
    let mut bytes = vec![0; bits.len() * size];
    for (bytes, bits) in bytes.chunks_exact_mut(size).zip(bits) {
        bytes.copy_from_slice(&bits.to_le_bytes()[..size]);
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
    }
    bytes
}

pub(crate) fn from_bytes(bytes: &[u8]) -> u64 {
    let join = |all: u64, &byte: &u8| all << 8 | u64::from(byte);
    if cfg!(target_endian = "big") {
        bytes.iter().fold(0, join)
    } else {
        bytes.iter().rev().fold(0, join)
    }
}
