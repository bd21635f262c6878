//! The results of `elu bench`, and their tables.

use std::fmt::Write as _;

use wgpu_elu::Gpu;

use super::{
    measurement::{Measurement, Measurements},
    workload::{Input, Workload},
};
use crate::timing::Stats;

/// The devices that are compared.
pub(crate) struct Machine {
    /// The SIMD level and the number of threads.
    pub(crate) cpu: String,
    /// The description of the GPU, or the reason why only the CPU is measured.
    pub(crate) gpu_description: String,
    /// The GPU, or `None` if only the CPU is measured.
    pub(crate) gpu: Option<ComparedGpu>,
}

/// The GPU that the CPU is compared with.
pub(crate) struct ComparedGpu {
    pub(crate) gpu: Gpu,
    /// Whether the kernel alone can be measured, by timestamps.
    pub(crate) has_timestamps: bool,
}

/// The results for one size.
pub(crate) struct Row {
    /// The number of elements.
    pub(crate) len: usize,
    pub(crate) measurements: Measurements,
    /// The time of one clock cycle of the CPU during the measurements, in seconds.
    pub(crate) seconds_per_clock: f64,
}

impl Row {
    /// Returns the statistics of a measurement, or `None` if it was not measured.
    pub(crate) fn get(&self, measurement: Measurement) -> Option<&Stats> {
        self.measurements
            .iter()
            .find(|(measured, _)| *measured == measurement)
            .map(|(_, stats)| stats)
    }

    /// Returns the speed of a measurement relative to that of a copy, or `None` if one of them was not measured.
    pub(super) fn share(&self, measurement: Measurement, copy: Measurement) -> Option<f64> {
        Some(self.get(copy)?.median / self.get(measurement)?.median)
    }

    /// Returns the number of the CPU's clock cycles for each element of the CPU path, or `None` if it was not measured.
    /// Long slices use several threads, so this is the elapsed time, not the work of all threads.
    pub(super) fn clocks_per_element(&self) -> Option<f64> {
        Some(self.get(Measurement::Cpu)?.median / self.seconds_per_clock / self.len as f64)
    }

    /// Returns whether any copy that the measurement is compared with was slower than possible: see [`is_noise`].
    pub(super) fn is_noise(&self, measurement: Measurement) -> bool {
        let copies = measurement.copies().iter();
        copies
            .filter_map(|copy| self.share(measurement, *copy))
            .any(is_noise)
    }
}

/// Returns whether a share of the speed of a copy is noise. ELU reads and writes the same bytes as the copy, so if its
/// share is larger than 1, the copy was slower than possible. Up to 105%, the difference is within the usual spread.
pub(super) fn is_noise(share: f64) -> bool {
    share > 1.05
}

/// A size that was not measured, or not on the GPU.
pub(crate) struct LeftOut {
    pub(super) len: usize,
    /// Whether only the measurements on the GPU are missing.
    pub(super) is_only_gpu: bool,
    pub(super) why: String,
}

/// The results for all sizes.
pub(crate) struct Report<'a> {
    pub(super) work: &'a Workload,
    pub(super) title: String,
    pub(super) machine: Machine,
    pub(super) rows: Vec<Row>,
    pub(super) left_out: Vec<LeftOut>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(work: &'a Workload, function: &str, machine: Machine) -> Self {
        Self {
            work,
            title: format!("{} {}, {function}", work.op.name(), work.dtype),
            machine,
            rows: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a size that was not measured, or not on the GPU, and the reason.
    pub(crate) fn leave_out(&mut self, len: usize, is_only_gpu: bool, why: String) {
        self.left_out.push(LeftOut {
            len,
            is_only_gpu,
            why,
        });
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns whether any share of the speed of a copy is noise.
    pub(super) fn has_noise(&self) -> bool {
        let rows = self.rows.iter();
        let mut measured =
            rows.flat_map(|row| row.measurements.iter().map(move |(m, _)| (row, *m)));
        measured.any(|(row, measurement)| row.is_noise(measurement))
    }

    /// Returns the speed in GB/s: the bytes that the operation reads plus those that it writes, per time.
    pub(crate) fn gb_per_s(&self, row: &Row, seconds: f64) -> f64 {
        self.work.bytes_moved(row.len) as f64 / seconds / 1e9
    }

    /// Returns lines that say from which size the GPU is faster than the CPU. Without a GPU, there are no lines.
    pub(crate) fn crossovers(&self) -> Vec<String> {
        let lines = [
            (Measurement::SubmitAndWait, "data on the GPU"),
            (Measurement::RoundTrip, "round trip"),
        ]
        .map(|(measurement, name)| {
            // The largest size at which the GPU was measured, and the GPU's time relative to the CPU's time.
            let largest = self
                .rows
                .iter()
                .rev()
                .find_map(|row| Some((row.len, ratio(row, measurement)?)));
            let (largest, ratio) = largest?;
            let ratio = format!(
                "({} times the CPU's time at {})",
                digits(ratio),
                size_name(largest)
            );
            Some(match self.crossover(measurement) {
                Some(len) if len == self.rows[0].len => {
                    format!("{name}: GPU wins at every size {ratio}")
                }
                Some(len) => format!("{name}: GPU wins from {} on {ratio}", size_name(len)),
                None => format!("{name}: GPU does not win {ratio}"),
            })
        });
        lines.into_iter().flatten().collect()
    }

    /// Returns the report as text: the devices, three tables, the sizes that were left out, and the crossovers.
    pub(crate) fn as_text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{}\nCPU: {}\nGPU: {}\ninput: {}\n",
            self.title,
            machine.cpu,
            machine.gpu_description,
            match self.work.input {
                Input::Random => "random numbers from -2.5 to 1.5",
                Input::Ramp => "multiples of 0.001 from -2.5 to 1.5",
            }
        );
        if let Some(gpu) = &machine.gpu {
            text += if gpu.has_timestamps {
                "kernel: timed by the GPU's timestamps, like the shader copy and the buffer copy\n"
            } else {
                "kernel: not measured, because the GPU has no reliable timestamps\n"
            };
        }
        for (caption, columns) in [
            (
                "time: median ± half of the distance between the first and the third quartile",
                self.times(),
            ),
            (
                "GB/s: bytes read plus written, 1 GB = 10^9 bytes; clocks: CPU cycles per element",
                self.speeds(),
            ),
            (
                "speed relative to a copy of the same number of bytes",
                self.shares(),
            ),
        ] {
            let _ = write!(text, "\n{caption}\n\n{}", self.table(columns));
        }
        if self.has_noise() {
            text += "* over 105%: noise, because the copy was slower than possible in this run\n";
        }
        if !self.left_out.is_empty() {
            text += "\n";
        }
        for left_out in &self.left_out {
            let place = if left_out.is_only_gpu {
                "on the GPU: "
            } else {
                ""
            };
            let (size, why) = (size_name(left_out.len), &left_out.why);
            let _ = writeln!(text, "left out: {size}: {place}{why}");
        }
        let crossovers = self.crossovers();
        if !crossovers.is_empty() {
            let _ = writeln!(text, "\n{}", crossovers.join("\n"));
        }
        text
    }
}

/// Formats a number of elements: a power of two as `2^20`, any other number in digits.
pub(crate) fn size_name(len: usize) -> String {
    if len.is_power_of_two() {
        format!("2^{}", len.ilog2())
    } else {
        len.to_string()
    }
}

// ---- Internals ----

/// A column of a table: a heading of two lines, and a cell for each row, which is `None` if the row has no value.
type Column = ([&'static str; 2], Vec<Option<String>>);

impl Report<'_> {
    /// Returns the smallest size at which, and above which, the GPU is always faster than the CPU, or `None` if the GPU
    /// is not faster at the largest size.
    pub(super) fn crossover(&self, measurement: Measurement) -> Option<usize> {
        let largest_first = self.rows.iter().rev();
        largest_first
            .filter_map(|row| Some((row.len, ratio(row, measurement)?)))
            .take_while(|(_, ratio)| *ratio < 1.0)
            .last()
            .map(|(len, _)| len)
    }

    /// Returns the columns of the table of times.
    fn times(&self) -> Vec<Column> {
        let column = |heading, measurement| {
            self.column(["", heading], |row| {
                let stats = row.get(measurement)?;
                let spread = match stats.spread() {
                    ..0.995 => percent(stats.spread()),
                    _ => ">99%".into(),
                };
                Some(format!("{} ±{spread:>4}", time(stats.median)))
            })
        };
        vec![
            column("CPU path", Measurement::Cpu),
            column("kernel", Measurement::Kernel),
            column("submit + wait", Measurement::SubmitAndWait),
            column("round trip", Measurement::RoundTrip),
            self.column(["", "samples"], |row| {
                let samples = row.measurements.iter().map(|(_, stats)| stats.samples);
                let (min, max) = (samples.clone().min()?, samples.max()?);
                Some(if min == max {
                    min.to_string()
                } else {
                    format!("{min}-{max}")
                })
            }),
        ]
    }

    /// Returns the columns of the table of speeds.
    fn speeds(&self) -> Vec<Column> {
        let column = |heading, measurement| {
            self.column(heading, |row| {
                Some(digits(self.gb_per_s(row, row.get(measurement)?.median)))
            })
        };
        vec![
            column(["CPU", "path"], Measurement::Cpu),
            column(["CPU", "copy"], Measurement::CpuCopy),
            self.column(["CPU", "clocks"], |row| {
                Some(digits(row.clocks_per_element()?))
            }),
            column(["", "kernel"], Measurement::Kernel),
            column(["submit", "+ wait"], Measurement::SubmitAndWait),
            column(["shader", "copy"], Measurement::ShaderCopy),
            column(["buffer", "copy"], Measurement::BufferCopy),
            column(["round", "trip"], Measurement::RoundTrip),
            column(["up and", "down"], Measurement::Transfers),
        ]
    }

    /// Returns the columns of the table of speeds relative to copies.
    fn shares(&self) -> Vec<Column> {
        // If any share is marked, the others get a space, so that the digits are aligned.
        let no_mark = if self.has_noise() { " " } else { "" };
        let column = |heading, measurement, copy| {
            self.column(heading, |row| {
                let share = row.share(measurement, copy)?;
                let mark = if is_noise(share) { "*" } else { no_mark };
                Some(percent(share) + mark)
            })
        };
        let (shader_copy, buffer_copy) = (Measurement::ShaderCopy, Measurement::BufferCopy);
        vec![
            column(
                ["CPU path", "/CPU copy"],
                Measurement::Cpu,
                Measurement::CpuCopy,
            ),
            column(["kernel", "/shader copy"], Measurement::Kernel, shader_copy),
            column(["kernel", "/buffer copy"], Measurement::Kernel, buffer_copy),
            column(
                ["submit+wait", "/shader copy"],
                Measurement::SubmitAndWait,
                shader_copy,
            ),
            column(
                ["round trip", "/up and down"],
                Measurement::RoundTrip,
                Measurement::Transfers,
            ),
        ]
    }

    fn column(&self, heading: [&'static str; 2], cell: impl Fn(&Row) -> Option<String>) -> Column {
        (heading, self.rows.iter().map(cell).collect())
    }

    /// Formats the columns. It omits columns without values, and lines of the heading that are empty in all columns.
    fn table(&self, columns: Vec<Column>) -> String {
        let sizes = self.rows.iter().map(|row| size_name(row.len));
        let names = ["".into(), "elements".into()].into_iter().chain(sizes);
        let mut lines: Vec<String> = names.map(|name| format!("{name:<8}")).collect();
        for (heading, cells) in columns {
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let heading = heading.map(|line| Some(line.to_owned()));
            let cells = heading.into_iter().chain(cells);
            let cells: Vec<String> = cells
                .map(|cell| cell.unwrap_or_else(|| "-".into()))
                .collect();
            let widest = cells.iter().map(|cell| cell.chars().count()).max();
            let width = 2 + widest.unwrap_or(0);
            for (line, cell) in lines.iter_mut().zip(cells) {
                let _ = write!(line, "{cell:>width$}");
            }
        }
        let lines = lines.iter().map(|line| line.trim_end());
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        lines.join("\n") + "\n"
    }
}

/// Returns the GPU's time relative to the CPU's time.
fn ratio(row: &Row, measurement: Measurement) -> Option<f64> {
    Some(row.get(measurement)?.median / row.get(Measurement::Cpu)?.median)
}

/// Formats a number with three significant digits, but with at most three decimals, and with all digits before the
/// point.
fn digits(value: f64) -> String {
    let decimals = match value {
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Formats a fraction of 1 as a percentage.
fn percent(fraction: f64) -> String {
    format!("{:.0}%", 100.0 * fraction)
}

/// Formats a time, such as `1.23 ms`. The unit always has two characters, so that the columns are aligned.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        ..0.9995e-6 => (seconds * 1e9, "ns"),
        ..0.9995e-3 => (seconds * 1e6, "us"),
        ..0.9995 => (seconds * 1e3, "ms"),
        _ => (seconds, "s "),
    };
    format!("{} {unit}", digits(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wgpu_elu::{DType, Op};

    use super::*;
    use crate::{bench::chart::SpeedChart, plot::Picture};

    /// Returns a report on a machine without a GPU.
    fn empty(work: &Workload) -> Report<'_> {
        let machine = Machine {
            cpu: String::new(),
            gpu_description: String::new(),
            gpu: None,
        };
        Report::new(work, "alpha 1", machine)
    }

    fn workload() -> Workload {
        Workload::new(Op::Forward, DType::F32, 1.0.into(), Input::Random)
    }

    /// Returns the crossovers of a CPU that takes 1 second at every size and a GPU that takes these times in seconds.
    fn crossovers(submit_and_wait: &[f64], round_trip: &[f64]) -> Vec<String> {
        let work = workload();
        let mut report = empty(&work);
        for (i, (&submit_and_wait, &round_trip)) in
            submit_and_wait.iter().zip(round_trip).enumerate()
        {
            let seconds = [
                (Measurement::Cpu, 1.0),
                (Measurement::SubmitAndWait, submit_and_wait),
                (Measurement::RoundTrip, round_trip),
            ];
            let measurements = seconds.map(|(measurement, s)| (measurement, Stats::of(vec![s])));
            report.add(Row {
                len: 1024 << (2 * i),
                measurements: measurements.to_vec(),
                seconds_per_clock: 1e-9,
            });
        }
        report.crossovers()
    }

    #[test]
    fn a_crossover_needs_all_larger_sizes_to_be_faster() {
        assert_eq!(
            crossovers(&[0.5, 2.0, 0.9, 0.25], &[4.0, 3.0, 2.0, 1.0]),
            [
                "data on the GPU: GPU wins from 2^14 on (0.250 times the CPU's time at 2^16)",
                "round trip: GPU does not win (1.00 times the CPU's time at 2^16)",
            ]
        );
        assert_eq!(
            crossovers(&[0.5, 0.4], &[0.9, 0.8])[0],
            "data on the GPU: GPU wins at every size (0.400 times the CPU's time at 2^12)"
        );
    }

    /// Returns a report on the CPU path, which takes 1 second, and on copies that take these times in seconds.
    fn copies<'a>(work: &'a Workload, seconds: &[f64]) -> Report<'a> {
        let mut report = empty(work);
        for (i, &copy) in seconds.iter().enumerate() {
            let seconds = [(Measurement::Cpu, 1.0), (Measurement::CpuCopy, copy)];
            let measurements = seconds.map(|(measurement, s)| (measurement, Stats::of(vec![s])));
            report.add(Row {
                len: 1024 << (2 * i),
                measurements: measurements.to_vec(),
                seconds_per_clock: 1e-9,
            });
        }
        report
    }

    #[test]
    fn a_share_over_105_percent_is_marked_as_noise() {
        let work = workload();
        let report = copies(&work, &[0.9, 1.05, 1.06]);
        let text = report.as_text();
        let table = "
           CPU path
elements  /CPU copy
2^10           90%
2^12          105%
2^14          106%*
* over 105%: noise, because the copy was slower than possible in this run
";
        assert!(text.ends_with(table), "{text}");
        let json = report.as_json();
        let noise = |size: usize| {
            json["sizes"][size]["measurements"]["cpu"]["share_of"]["cpu_copy"]["is_noise"].clone()
        };
        assert_eq!([0, 1, 2].map(noise), [false, false, true]);
        let picture = |report: &Report<'_>| {
            let svg = Picture::Svg.draw(&SpeedChart(report)).unwrap();
            String::from_utf8(svg).unwrap()
        };
        let drawn = picture(&report);
        // One mark at the point, and the note.
        assert_eq!(drawn.matches("\n*\n</text>").count(), 1, "{drawn}");
        let note = "* over 105% of the copy&apos;s speed:";
        assert!(drawn.contains(note), "{drawn}");

        let report = copies(&work, &[0.9, 1.05]);
        let text = report.as_text();
        let table = "
           CPU path
elements  /CPU copy
2^10            90%
2^12           105%
";
        assert!(text.ends_with(table), "{text}");
        assert!(!picture(&report).contains('*'));
    }

    #[test]
    fn sizes_that_are_left_out_are_reported() {
        let work = workload();
        let mut report = copies(&work, &[0.9]);
        report.leave_out(1 << 28, true, "too large".into());
        report.leave_out(1 << 30, false, "not enough memory".into());
        let text = report.as_text();
        let lines = "\nleft out: 2^28: on the GPU: too large\nleft out: 2^30: not enough memory\n";
        assert!(text.ends_with(lines), "{text}");
        assert_eq!(
            report.as_json()["left_out"],
            json!([
                { "elements": 1 << 28, "measurements": "gpu", "why": "too large" },
                { "elements": 1 << 30, "measurements": "all", "why": "not enough memory" },
            ])
        );
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (seconds, text) in [
            (123.4e-9, "123 ns"),
            (999.6e-9, "1.00 us"),
            (12.34e-6, "12.3 us"),
            (0.9996e-3, "1.00 ms"),
            (1.0, "1.00 s "),
        ] {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(
            [0.12345, 9.996, 99.96].map(digits),
            ["0.123", "10.0", "100"]
        );
    }
}
