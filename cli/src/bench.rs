//! `elu bench`: compares GPU and CPU, each next to a copy of the same bytes.

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
    device_args::{Alpha, DeviceArgs, SelectedDevice, by_name, dtypes},
    files::{FileArgs, Files},
    timing::Timer,
};
use chart::SpeedChart;
use measurement::Round;
use on_cpu::OnCpu;
use on_gpu::{OnGpu, Trips};
use table::{ComparedGpu, Machine, Report, Row, size_name};
use workload::{Data, Workload, zeros};

/// Compare the speed of ELU on the GPU and on the CPU, by size, each next to a copy of the same bytes
///
/// "CPU path" is the time from slice to slice, on all threads. "kernel" is the work on the GPU alone, by the device's
/// timestamps. "submit + wait" is the time that the caller waits when the data is on the GPU. "round trip" is the time
/// from a slice to a vector. Results are checked before anything is timed.
///
/// If no hardware GPU exists, the CPU is compared with the best software adapter, which runs on the same CPU. If no
/// adapter exists, the CPU is measured alone.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    device_args: DeviceArgs,
    /// The number format of the elements
    #[arg(long, default_value = "float32", value_parser = dtypes(), ignore_case = true)]
    dtype: DType,
    /// The operation; for backward-from-output, x is the output
    #[arg(long, default_value = "forward", value_parser = by_name(&Op::ALL, Op::name))]
    op: Op,
    #[command(flatten)]
    alpha: Alpha,
    /// The largest number of elements, such as 2^20, 1e6 or 4096; smaller sizes are 2^10, 2^12, 2^14 and so on
    #[arg(long, value_name = "N", default_value = "2^26", value_parser = max)]
    max: usize,
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device_args.check();
    let work = Workload::new(args.op, args.dtype, args.alpha.of(args.dtype)?.into());
    let files = Files::open(&args.files)?;
    let selected = args.device_args.comparison_device()?;
    let device = selected.for_dtype(args.dtype)?;
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu),
        Device::Cpu => None,
    };
    let timer = gpu.map(Timer::new).transpose()?.flatten();
    let machine = Machine {
        cpu: format!("{}, threads: {}", cpu::simd_level(), cpu::threads()),
        about_gpu: about_gpu(&selected, &device, args.dtype),
        gpu: gpu.map(|_| ComparedGpu {
            name: device.to_string(),
            is_software: is_software(&device),
            has_timestamps: timer.is_some(),
        }),
    };
    let mut report = Report::new(&work, &args.alpha.to_string(), machine);
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

/// What is compared.
struct Bench<'a> {
    work: &'a Workload,
    gpu: Option<&'a Gpu>,
    timer: Option<&'a Timer>,
}

impl Bench<'_> {
    fn run<E: Element>(&self, sizes: &[usize], report: &mut Report<'_>) -> Result<()> {
        let groups = if self.gpu.is_some() { 3 } else { 1 };
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:40} {msg}")?;
            ProgressBar::new((sizes.len() * groups) as u64).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        for &len in sizes {
            let show_phase = |what: &str| bar.set_message(format!("{} {what}", size_name(len)));
            show_phase("on the CPU");
            let room = || Ok((Data::<E>::new(self.work, len)?, zeros(len)?));
            let (data, y) = match room() {
                Ok(room) => room,
                Err::<_, anyhow::Error>(error) => {
                    report.leave_out(len, error.to_string());
                    bar.inc(groups as u64);
                    continue;
                }
            };
            let mut found = OnCpu::new(self.work, &data, y).time()?;
            bar.inc(1);
            if let Some(gpu) = self.gpu {
                match self.time_gpu(gpu, &data, &bar, show_phase) {
                    Ok(of_gpu) => found.extend(of_gpu),
                    Err(error) if lacks_room(&error) => {
                        report.leave_out(len, format!("on the GPU: {error}"));
                        bar.set_position(bar.position().next_multiple_of(groups as u64));
                    }
                    Err(error) => return Err(error),
                }
            }
            report.add(Row { len, found });
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn time_gpu<E: Element>(
        &self,
        gpu: &Gpu,
        data: &Data<E>,
        bar: &ProgressBar,
        show_phase: impl Fn(&str),
    ) -> Result<Round> {
        show_phase("on the GPU");
        // One after the other, because both together would need more memory.
        let mut found = OnGpu::new(self.work, data, gpu, self.timer)?.time(data)?;
        bar.inc(1);
        show_phase("round trips");
        found.extend(Trips::new(self.work, data, gpu).time()?);
        bar.inc(1);
        Ok(found)
    }
}

/// Returns whether a device lacks memory for a size. It may still have enough for smaller sizes.
fn lacks_room(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    matches!(error, Some(Error::Limit { .. } | Error::OutOfMemory { .. }))
}

fn is_software(device: &Device) -> bool {
    matches!(device, Device::Gpu(gpu) if gpu.info().device_type == wgpu::DeviceType::Cpu)
}

/// Describes the GPU, or says why there is none.
fn about_gpu(selected: &SelectedDevice, device: &Device, dtype: DType) -> String {
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
        (Device::Cpu, gpu) => match selected.missing_feature(dtype) {
            Some(feature) => format!("none: {gpu} has no {feature}"),
            None => "none".into(),
        },
    }
}

const LEAST: usize = 1 << 10;
const MOST: usize = 1 << 30;

/// Returns every power of 4 from 2^10 up to `max`, and `max`.
fn sizes(max: usize) -> Vec<usize> {
    let powers = (0..).map(|i| LEAST << (2 * i)).take_while(|&len| len < max);
    powers.chain([max]).collect()
}

/// Parses `2^26`, `1e6` or `4096`.
fn max(text: &str) -> Result<usize, String> {
    let number = match text.split_once('^') {
        Some(("2", power)) => power.parse().ok().and_then(|power| 1u64.checked_shl(power)),
        _ => text.parse().ok().or_else(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the code rejects numbers that are not whole or too large"
            )]
            let whole = |number: f64| (number.fract() == 0.0).then_some(number as u64);
            text.parse().ok().and_then(whole)
        }),
    };
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (LEAST..=MOST).contains(number))
        .ok_or_else(|| "needed a number from 2^10 to 2^30, such as 2^20, 1e6 or 4096".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_elements() {
        for (text, number) in [
            ("2^10", 1024),
            ("2^30", 1 << 30),
            ("1e6", 1_000_000),
            ("1.5e3", 1500),
            ("4096", 4096),
        ] {
            assert_eq!(max(text), Ok(number), "{text}");
        }
        for text in [
            "", "2^9", "2^31", "2^64", "2^", "3^12", "1e3", "1e400", "-4096", "4096.5", "nan",
            "many",
        ] {
            assert!(max(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_up_to_the_largest() {
        assert_eq!(sizes(1024), [1024]);
        assert_eq!(sizes(1500), [1024, 1500]);
        assert_eq!(sizes(1 << 15), [1 << 10, 1 << 12, 1 << 14, 1 << 15]);
        assert_eq!(sizes(1 << 26).len(), 9);
    }
}
