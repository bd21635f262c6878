//! Measurements on the CPU.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use rayon::prelude::*;
use wgpu_elu::{Element, cpu};

use super::{
    measurement::{Measurement, Measurements},
    workload::{Data, Workload, gradient},
};
use crate::timing::{rounds, seconds};

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

    /// Checks the results, and measures the CPU path and the copy.
    pub(crate) fn time(mut self) -> Result<Measurements> {
        let started = Instant::now();
        self.run(Measurement::CpuCopy)?;
        self.run(Measurement::Cpu)?;
        self.work
            .confirm("the CPU", bytemuck::cast_slice(&self.y))?;
        // A sample repeats small sizes until it moves 1 MiB, because one run may be shorter than a tick of the clock.
        const BYTES: usize = 1 << 20;
        let moved = self.work.bytes_moved(self.y.len());
        let repetitions = (BYTES / moved).max(1);
        rounds(
            &[Measurement::Cpu, Measurement::CpuCopy],
            started,
            |measurement| {
                let all = seconds(|| (0..repetitions).try_for_each(|_| self.run(measurement)))?;
                Ok(all / repetitions as f64)
            },
        )
    }
}

// ---- Internals ----

impl<E: Element> OnCpu<'_, E> {
    /// Runs the CPU path or the copy once.
    fn run(&mut self, measurement: Measurement) -> Result<()> {
        let (x, grad) = (black_box(&self.data.x[..]), black_box(&self.data.grad[..]));
        let y = black_box(&mut self.y[..]);
        let Workload { op, elu, .. } = *self.work;
        if measurement == Measurement::Cpu {
            cpu::apply(op, elu, x, gradient(op, grad), y)?;
        } else {
            copy(x, y);
            // A gradient reads `x` and `grad` and writes `y`: 3 bytes for every 2 of a plain copy. Copying half of
            // `grad`, too, moves the same number of bytes.
            let half = grad.len() / 2;
            copy(&grad[..half], &mut y[..half]);
        }
        Ok(())
    }
}

/// Copies the slice on all threads, in chunks of at least 256 KiB. A short slice is one chunk, because a single thread
/// is faster for it.
fn copy<E: Element>(x: &[E], y: &mut [E]) {
    if cpu::threads() == 1 {
        y.copy_from_slice(x); // without rayon, whose threads may not have started
        return;
    }
    let chunk = y
        .len()
        .div_ceil(cpu::threads())
        .max((1 << 18) / size_of::<E>());
    y.par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .for_each(|(y, x)| y.copy_from_slice(x));
}
