//! Measurements on the CPU.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use wgpu_elu::{Element, cpu};

use super::{
    measurement::{Measurement, Measurements},
    workload::{Data, Workload, gradient},
};
use crate::timing::{CpuCopy, rounds, seconds, seconds_per_clock};

/// The workload with its input and output slices.
pub(crate) struct OnCpu<'a, E> {
    work: &'a Workload,
    data: &'a Data<E>,
    y: Vec<E>,
}

impl<'a, E: Element> OnCpu<'a, E> {
    /// Prepares the measurement. `y` receives the results and must have the length of the data.
    pub(crate) fn new(work: &'a Workload, data: &'a Data<E>, y: Vec<E>) -> Self {
        Self { work, data, y }
    }

    /// Checks the results. Measures the CPU path, the faster one of the [copies](CpuCopy), and the time of a clock cycle
    /// in seconds.
    pub(crate) fn time(mut self) -> Result<(Measurements, f64)> {
        const TIMED: [Timed; 4] = [
            Timed::Path,
            Timed::Copy(CpuCopy::Memcpy),
            Timed::Copy(CpuCopy::Loop),
            Timed::Clock,
        ];
        let started = Instant::now();
        for copy in CpuCopy::ALL {
            self.run(Timed::Copy(copy))?;
        }
        self.run(Timed::Path)?; // the last one, so that `y` holds its results
        self.work
            .confirm("the CPU", bytemuck::cast_slice(&self.y))?;
        // A sample repeats small sizes until it moves 1 MiB, because one run may be shorter than a tick of the clock.
        const BYTES: usize = 1 << 20;
        let moved = self.work.bytes_moved(self.y.len());
        let repetitions = (BYTES / moved).max(1);
        let results = rounds(&TIMED, started, |timed| {
            if timed == Timed::Clock {
                return Ok(seconds_per_clock());
            }
            let all = seconds(|| (0..repetitions).try_for_each(|_| self.run(timed)))?;
            Ok(all / repetitions as f64)
        })?;
        let (mut measurements, mut copies, mut clock) = (Measurements::new(), Vec::new(), f64::NAN);
        for (timed, stats) in results {
            match timed {
                Timed::Path => measurements.push((Measurement::Cpu, stats)),
                Timed::Copy(_) => copies.push(stats),
                Timed::Clock => clock = stats.median,
            }
        }
        let fastest = copies
            .into_iter()
            .min_by(|a, b| a.median.total_cmp(&b.median));
        measurements.extend(fastest.map(|stats| (Measurement::CpuCopy, stats)));
        Ok((measurements, clock))
    }
}

// ---- Internals ----

/// What is timed in turn.
#[derive(Clone, Copy, PartialEq)]
enum Timed {
    /// The CPU path.
    Path,
    Copy(CpuCopy),
    /// The clock rate.
    Clock,
}

impl<E: Element> OnCpu<'_, E> {
    /// Runs the CPU path or a copy once.
    fn run(&mut self, timed: Timed) -> Result<()> {
        let (x, grad) = (black_box(&self.data.x[..]), black_box(&self.data.grad[..]));
        let y = black_box(&mut self.y[..]);
        let Workload { op, elu, .. } = *self.work;
        match timed {
            Timed::Path => cpu::apply(op, elu, x, gradient(op, grad), y)?,
            Timed::Copy(copy) => {
                copy.run(x, y);
                // A gradient reads `x` and `grad` and writes `y`: 3 bytes for every 2 of a plain copy. Copying half of
                // `grad`, too, moves the same number of bytes.
                let half = grad.len() / 2;
                copy.run(&grad[..half], &mut y[..half]);
            }
            Timed::Clock => {
                seconds_per_clock();
            }
        }
        Ok(())
    }
}
