//! `elu check`: a device's results against the exact values.

mod chart;
mod report;
mod sample;

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use wgpu_elu::{DType, Device, Elu, Tensor, shader::Op};

use crate::{
    files::{FileArgs, Files},
    judge::{Judge, bits},
    place::{Alpha, Place, by_name, dtypes},
};
use chart::ErrorChart;
use report::{Case, Report};
use sample::Sample;

/// Judge a device's results by the exact values, range by range of x
///
/// Takes every 97th bit pattern of float32, all of the 16-bit formats, and 262,144 of float64, with all special values.
/// Gradients are tried with several values for the gradient that comes in. The exit code is 1 if the contract is broken.
#[derive(clap::Args)]
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
    /// Every bit pattern there is: minutes for float32
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
    let sample = Sample::new(dtype, args.exhaustive);
    let report = examine(&device, judge, &sample, args.files.plots())?;

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

/// The gradients that come in, in turn.
const GRADS: [f64; 4] = [1.0, -0.37, 1234.567, 3e-5];

fn examine(device: &Device, judge: Judge, sample: &Sample, is_drawn: bool) -> Result<Report> {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {percent}%  {eta} left")?;
        ProgressBar::new(sample.count).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let grads = GRADS.map(|grad| bits(judge.dtype, grad));
    let empty = || Report::new(judge, is_drawn);
    let mut report = empty();
    for x in sample.pieces() {
        let grad: Vec<u64> = (0..x.len()).map(|i| grads[i % grads.len()]).collect();
        let y = compute(device, judge, &x, &grad)?;
        let found = x
            .par_iter()
            .zip(&grad)
            .zip(y.par_chunks_exact(judge.dtype.size()))
            .with_min_len(1 << 9)
            .fold(empty, |mut report, ((&x, &grad), y)| {
                let y = from_bytes(y);
                report.add(Case { x, grad, y });
                report
            })
            .reduce(empty, Report::and);
        report = report.and(found);
        bar.inc(x.len() as u64);
    }
    bar.finish_and_clear();
    Ok(report)
}

/// The device's results, as bytes. Forward takes no notice of `grad`.
fn compute(device: &Device, judge: Judge, x: &[u64], grad: &[u64]) -> Result<Vec<u8>> {
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
    Ok(y.to_bytes_blocking()?)
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
