//! `elu bench`: compares the speed of GPU and CPU with each other, and with copies of the same number of bytes.

mod chart;
mod json;
mod measurement;
mod on_cpu;
mod on_gpu;
mod table;
mod workload;

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use wgpu_elu::{
    DType, Device, Element, Error, Gpu, Op, cpu,
    half::{bf16, f16},
    wgpu,
};

use crate::{
    device_args::{DeviceArgs, SelectedDevice, dtypes, ops},
    files::{FileArgs, Files},
    function::FunctionArgs,
    timing::Timer,
};
use chart::SpeedChart;
use measurement::Measurements;
use on_cpu::OnCpu;
use on_gpu::{OnGpu, RoundTrips};
use table::{ComparedGpu, Machine, Report, Row, size_name};
use workload::{Data, Input, Workload, zeros};

const EXAMPLES: &str = "\
Examples:
  elu bench --max 2^16
  elu bench --max 2^16 --device cpu --dtype float16 --op backward
  elu bench --max 2^16 --plot speed.png --json speed.json

docs/cli.md in the repository explains the tables, the chart and the fields of the JSON.";

/// Compare the speed of ELU on the GPU and on the CPU for many sizes, and with copies of the same number of bytes
///
/// There are four measurements. "CPU path": from one slice to another, on all threads. "kernel": the work on the GPU
/// alone, measured by the device's timestamps. "submit + wait": from the submission until the GPU has finished, if the
/// data is on the GPU already. "round trip": from slices in the memory of the CPU to a vector there, with upload and
/// download. Results are checked before anything is timed.
///
/// If no hardware GPU is found, the CPU is compared with the best software adapter, which runs on the same CPU. If no
/// adapter is found, the CPU is measured alone.
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
    /// The input numbers, from -2.5 to 1.5
    ///
    /// Some GPUs compress regular data in memory, so that a ramp is faster than the data of real programs.
    #[arg(long, value_enum, default_value_t = Input::Random, ignore_case = true, hide_short_help = true)]
    input: Input,
    /// The largest number of elements, such as 2^20, 1e6 or 4096
    ///
    /// It can be from 2^10 to 2^30. The smaller sizes are 2^10, 2^12, 2^14 and so on.
    #[arg(long, value_name = "N", default_value = "2^26", value_parser = parse_len)]
    max: usize,
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check()?;
    let function = args.function.parse()?;
    let work = Workload::new(
        args.op,
        args.dtype,
        function.for_dtype(args.dtype)?,
        args.input,
    );
    let files = Files::open(&args.files)?;
    let selected = args.device_args.comparison_device()?;
    let selected = selected.for_rounding(args.function.rounding());
    let device = selected.for_dtype(args.dtype)?;
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu),
        Device::Cpu => None,
    };
    let timer = gpu.map(Timer::new).transpose()?.flatten();
    let machine = Machine {
        cpu: format!("{}, threads: {}", cpu::simd_level(), cpu::threads()),
        gpu_description: describe_gpu(&selected, &device, args.dtype),
        gpu: gpu.map(|gpu| ComparedGpu {
            gpu: gpu.clone(),
            has_timestamps: timer.is_some(),
        }),
    };
    let mut report = Report::new(&work, &function.to_string(), machine);
    let bench = Bench {
        work: &work,
        gpu,
        timer: timer.as_ref(),
    };
    let sizes = sizes(args.max);
    match args.dtype {
        DType::F16 => bench.run::<f16>(&sizes, &mut report)?,
        DType::BF16 => bench.run::<bf16>(&sizes, &mut report)?,
        DType::F64 => bench.run::<f64>(&sizes, &mut report)?,
        _ => bench.run::<f32>(&sizes, &mut report)?,
    }
    files.write(&SpeedChart(&report), &report.as_json(), &report.as_text())
}

// ---- Internals ----

/// The workload and the GPU that is compared with the CPU, if any.
struct Bench<'a> {
    work: &'a Workload,
    gpu: Option<&'a Gpu>,
    timer: Option<&'a Timer>,
}

impl Bench<'_> {
    /// Measures every size and adds the results to `report`.
    fn run<E: Element>(&self, sizes: &[usize], report: &mut Report<'_>) -> Result<()> {
        let phases = if self.gpu.is_some() { 3 } else { 1 };
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:40} {msg}")?;
            ProgressBar::new((sizes.len() * phases) as u64).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        for &len in sizes {
            let show_phase = |what: &str| bar.set_message(format!("{} {what}", size_name(len)));
            show_phase("on the CPU");
            let allocate = || Ok((Data::<E>::new(self.work, len)?, zeros(len)?));
            let (data, y) = match allocate() {
                Ok(buffers) => buffers,
                Err::<_, anyhow::Error>(error) => {
                    report.leave_out(len, false, error.to_string());
                    bar.inc(phases as u64);
                    continue;
                }
            };
            let (mut measurements, seconds_per_clock) = OnCpu::new(self.work, &data, y).time()?;
            bar.inc(1);
            if let Some(gpu) = self.gpu {
                match self.time_gpu(gpu, &data, &bar, show_phase) {
                    Ok(on_gpu) => measurements.extend(on_gpu),
                    Err(error) if is_too_large(&error) => {
                        report.leave_out(len, true, error.to_string());
                        // Skips the phases of this size that remain.
                        bar.set_position(bar.position().next_multiple_of(phases as u64));
                    }
                    Err(error) => return Err(error),
                }
            }
            report.add(Row {
                len,
                measurements,
                seconds_per_clock,
            });
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Measures one size on the GPU.
    fn time_gpu<E: Element>(
        &self,
        gpu: &Gpu,
        data: &Data<E>,
        bar: &ProgressBar,
        show_phase: impl Fn(&str),
    ) -> Result<Measurements> {
        show_phase("on the GPU");
        // Drops the tensors before the round trips create their own, because both together would need more memory.
        let mut measurements = OnGpu::new(self.work, data, gpu, self.timer)?.time(data)?;
        bar.inc(1);
        show_phase("round trips");
        measurements.extend(RoundTrips::new(self.work, data, gpu).time()?);
        bar.inc(1);
        Ok(measurements)
    }
}

/// Returns whether the error means that a size is too large for the device. Other sizes may still fit.
fn is_too_large(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    matches!(error, Some(Error::Limit { .. } | Error::OutOfMemory { .. }))
}

/// Returns whether the device is a software adapter.
fn is_software(device: &Device) -> bool {
    matches!(device, Device::Gpu(gpu) if gpu.info().device_type == wgpu::DeviceType::Cpu)
}

/// Describes the GPU, or gives the reason why only the CPU is measured.
fn describe_gpu(selected: &SelectedDevice, device: &Device, dtype: DType) -> String {
    match (device, &selected.device) {
        (Device::Gpu(_), _) if is_software(device) && !selected.requested => {
            format!("{device}: software adapter; no hardware GPU found")
        }
        (Device::Gpu(_), _) if is_software(device) => format!("{device}: software adapter"),
        (Device::Gpu(_), _) => device.to_string(),
        (Device::Cpu, Device::Cpu) => match &selected.reason {
            Some(reason) => format!("none: {reason}"),
            None => "none, as requested".into(),
        },
        (Device::Cpu, gpu) => match selected.obstacle(dtype) {
            Some(obstacle) => format!("none: {}", obstacle.of(gpu)),
            None => "none".into(),
        },
    }
}

/// The smallest number of elements.
const MIN_LEN: usize = 1 << 10;
/// The largest number of elements that `--max` accepts.
const MAX_LEN: usize = 1 << 30;

/// Returns 2^10, 2^12, 2^14 and so on below `max`, and `max`.
fn sizes(max: usize) -> Vec<usize> {
    let powers = (0..)
        .map(|i| MIN_LEN << (2 * i))
        .take_while(|&len| len < max);
    powers.chain([max]).collect()
}

/// Parses a number of elements, such as `2^26`, `1e6` or `4096`.
fn parse_len(text: &str) -> Result<usize, String> {
    let number = match text.split_once('^') {
        Some(("2", power)) => power.parse().ok().and_then(|power| 1u64.checked_shl(power)),
        _ => text.parse().ok().or_else(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "fractions are rejected here, and negative and too large numbers by the range check below"
            )]
            let integer = |number: f64| (number.fract() == 0.0).then_some(number as u64);
            text.parse().ok().and_then(integer)
        }),
    };
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (MIN_LEN..=MAX_LEN).contains(number))
        .ok_or_else(|| "needed a number from 2^10 to 2^30, such as 2^20, 1e6 or 4096".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_parsed() {
        for (text, number) in [
            ("2^10", 1024),
            ("2^30", 1 << 30),
            ("1e6", 1_000_000),
            ("1.5e3", 1500),
            ("4096", 4096),
        ] {
            assert_eq!(parse_len(text), Ok(number), "{text}");
        }
        for text in [
            "", "2^9", "2^31", "2^64", "2^", "3^12", "1e3", "1e400", "-4096", "4096.5", "nan",
            "many",
        ] {
            assert!(parse_len(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_end_with_the_largest() {
        assert_eq!(sizes(1024), [1024]);
        assert_eq!(sizes(1500), [1024, 1500]);
        assert_eq!(sizes(1 << 15), [1 << 10, 1 << 12, 1 << 14, 1 << 15]);
        assert_eq!(sizes(1 << 26).len(), 9);
    }
}
