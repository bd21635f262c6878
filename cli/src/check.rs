//! `elu check`: measures the errors of a device's results.

mod chart;
mod curve;
mod json;

use std::io::IsTerminal;

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use pollster::block_on;
use wgpu_elu::{
    DType, Device, Op, Rounding,
    accuracy::{Case, Extent, Findings, Judge, Report, check_with, digest},
};

use crate::{
    device_args::{DeviceArgs, dtypes, ops},
    files::{FileArgs, Files},
    function::FunctionArgs,
};
use chart::ErrorChart;
use curve::Curve;
use json::as_json;

const EXAMPLES: &str = "\
Examples:
  elu check                                            # the best device
  elu check -d cpu --dtype float16 --exhaustive        # every float16 number
  elu check --dtype bfloat16 --op backward --alpha 0.5
  elu check --dtype float16 --plot error.png --json error.json
  elu check --dtype float16 --json - > error.json

docs/cli.md in the repository explains the table, the chart and the fields of the JSON.";

/// Measure the errors of a device's results, by ranges of x
///
/// Errors are differences from the exact values, in ULP (units in the last place: the distance between two neighbouring
/// numbers). The contract is the documented bound of these errors. The exit code is 1 if any result breaks it.
///
/// The sample of x contains every 97th bit pattern of float32, all patterns of a 16-bit format, or 131,072 patterns of
/// float64. It also contains the numbers at which results are most likely to be wrong: those around the multiples of
/// (ln 2) / 2 and around the thresholds in the code, powers of two, subnormal numbers and special values. Incoming
/// gradients have all exponents and both signs.
///
/// The table is for the given function. A smaller sample is then tested with about a hundred other sets of factors:
/// alphas from subnormal to infinite, SELU, CELU, and combinations of all three factors (alpha, scale and
/// `input_scale`).
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    device_args: DeviceArgs,
    /// The number format of the elements
    #[arg(long, default_value = "float32", value_parser = dtypes(), ignore_case = true)]
    dtype: DType,
    /// The operation: ELU or a gradient
    ///
    /// backward-from-output is the gradient, computed from the output, which takes the place of x.
    #[arg(long, default_value = "forward", value_parser = ops(), ignore_case = true)]
    op: Op,
    #[command(flatten)]
    function: FunctionArgs,
    /// Test every bit pattern, and more of everything else
    ///
    /// It also tests more incoming gradients and more other factors. It takes minutes for float32, and is not possible
    /// for float64. With --nearest, it also prints the SHA-256 of all results, which is the same on every device.
    #[arg(long)]
    exhaustive: bool,
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check()?;
    let (op, dtype) = (args.op, args.dtype);
    let function = args.function.parse()?;
    let elu = function.for_dtype(dtype)?;
    if args.exhaustive && dtype == DType::F64 {
        return Err(crate::usage(
            "--exhaustive: float64 has 2^64 values, which would take centuries; omit the option to test a sample",
        ));
    }
    let files = Files::open(&args.files)?;
    let selected = args.device_args.select()?;
    let selected = selected.for_rounding(args.function.rounding());
    let device = selected.for_dtype(dtype)?;
    let judge = Judge { op, dtype, elu };
    let extent = if args.exhaustive {
        Extent::Exhaustive
    } else {
        Extent::Default
    };
    let (report, curve) = examine_all(&device, judge, extent, args.files.has_plot())?;

    let title = format!(
        "{} {dtype}, {function}, on {}",
        op.name(),
        selected.describe(&[dtype])
    );
    let chart = ErrorChart {
        title: &title,
        points: &curve.points(),
        max_ulp: judge.max_ulp(),
    };
    let digest = digest_of(&device, judge, args.exhaustive)?;
    let line = digest.iter().map(|digest| format!("SHA-256 {digest}\n"));
    let text = format!("{title}\n{report}{}", line.collect::<String>());
    let written = files.write(&chart, &as_json(&report, digest, &device), &text);
    // A broken contract is reported even if a pipe was closed before the end of the table.
    match written {
        Err(error) if !crate::is_broken_pipe(&error) => Err(error),
        written => check(&report).and(written),
    }
}

// ---- Internals ----

/// Judges the results for the given factors and for the other sets of factors. The curve is empty if no chart is drawn.
fn examine_all(
    device: &Device,
    judge: Judge,
    extent: Extent,
    needs_curve: bool,
) -> Result<(Report, Curve)> {
    let bar = progress_bar()?;
    let progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };

    // Collects the curve only if it is drawn, because it takes time: the curve judges a second result for each x, that
    // of the textbook formula.
    let (report, curve, others) = if needs_curve {
        let empty = || ReportAndCurve(Report::new(judge), Curve::new(judge));
        let checked = block_on(check_with(device, judge, extent, empty, progress))?;
        let (ReportAndCurve(report, curve), others) = checked;
        (report, curve, others)
    } else {
        let empty = || Report::new(judge);
        let (report, others) = block_on(check_with(device, judge, extent, empty, progress))?;
        (report, Curve::new(judge), others)
    };
    bar.finish_and_clear();
    Ok((report.with_others(others), curve))
}

/// Returns the digest of all results if they are rounded to nearest, so that other devices must have the same digest.
fn digest_of(device: &Device, judge: Judge, is_exhaustive: bool) -> Result<Option<String>> {
    if !is_exhaustive || judge.elu.rounding() != Rounding::Nearest {
        return Ok(None);
    }
    let bar = progress_bar()?;
    let progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let digest = block_on(digest(device, judge, 1, progress))?;
    bar.finish_and_clear();
    Ok(Some(digest))
}

/// Creates a progress bar, which is hidden if standard error is not a terminal.
fn progress_bar() -> Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} {percent}%  {eta} left")?;
    Ok(ProgressBar::new(0).with_style(style))
}

/// Collects a report and a curve from the same results.
struct ReportAndCurve(Report, Curve);

impl Findings for ReportAndCurve {
    fn add(&mut self, case: Case) {
        self.0.add(case);
        self.1.add(case);
    }

    fn merge(self, other: Self) -> Self {
        Self(self.0.merge(other.0), self.1.merge(other.1))
    }
}

/// Fails if any result breaks the contract.
fn check(report: &Report) -> Result<()> {
    let others = report.others().tally();
    let (broken, count) = (
        report.broken() + others.broken,
        report.count() + others.count,
    );
    ensure!(
        report.is_kept(),
        "the contract is broken by {broken} of {count} results"
    );
    Ok(())
}
