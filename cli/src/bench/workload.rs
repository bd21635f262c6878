//! The operation and numbers that are measured, and the check of the results.

use anyhow::{Context, Result, ensure};
use wgpu_elu::{
    DType, Element, Elu, Op,
    accuracy::{Judge, bits, from_bytes, to_bytes, value},
    reference,
};

/// An operation with numbers that repeat after [`PERIOD`].
pub(crate) struct Workload {
    pub(crate) op: Op,
    pub(crate) dtype: DType,
    pub(crate) elu: Elu,
    /// The numbers, as bits.
    x: Vec<u64>,
    grad: Vec<u64>,
}

/// A prime, so that no two powers of two start at the same number.
const PERIOD: usize = 4001;

impl Workload {
    pub(crate) fn new(op: Op, dtype: DType, elu: Elu) -> Self {
        // Numbers on both sides of 0, in no particular order.
        let spread = |i: usize, step: usize| ((i * step) % PERIOD) as f64 / 1000.0 - 2.5;
        let x = |i| match op {
            Op::BackwardFromOutput => reference::elu(spread(i, 7919), elu.alpha()),
            Op::Forward | Op::Backward => spread(i, 7919),
        };
        Self {
            op,
            dtype,
            elu,
            x: (0..PERIOD).map(|i| bits(dtype, x(i))).collect(),
            grad: (0..PERIOD).map(|i| bits(dtype, spread(i, 31))).collect(),
        }
    }

    /// Returns the number of bytes that are read and written for `len` elements.
    pub(crate) fn bytes_moved(&self, len: usize) -> usize {
        let buffers = if self.op.has_grad() { 3 } else { 2 };
        buffers * self.dtype.size() * len
    }

    /// Judges the results for [`Data`].
    pub(crate) fn confirm(&self, who: &str, y: &[u8]) -> Result<()> {
        let judge = Judge {
            op: self.op,
            dtype: self.dtype,
            elu: self.elu,
        };
        let size = self.dtype.size();
        let period = &y[..y.len().min(PERIOD * size)];
        let results = from_bytes(self.dtype, period);
        for ((&x, &grad), y) in self.x.iter().zip(&self.grad).zip(results) {
            let describe = |bits| value(self.dtype, bits);
            ensure!(
                judge.judge(x, grad, y).is_allowed,
                "{who}: {:e} for x {:e} is not within the contract, so nothing is timed; elu check reports more",
                describe(y),
                describe(x),
            );
        }
        ensure!(
            y.chunks(period.len())
                .all(|part| *part == period[..part.len()]),
            "{who}: results for the same x differ, so nothing is timed"
        );
        Ok(())
    }
}

/// `len` of the workload's numbers, in this machine's memory.
pub(crate) struct Data<E> {
    pub(crate) x: Vec<E>,
    /// Empty for forward.
    pub(crate) grad: Vec<E>,
}

impl<E: Element> Data<E> {
    pub(crate) fn new(work: &Workload, len: usize) -> Result<Self> {
        let grads = if work.op.has_grad() { len } else { 0 };
        Ok(Self {
            x: repeated(work.dtype, &work.x, len)?,
            grad: repeated(work.dtype, &work.grad, grads)?,
        })
    }
}

/// Returns the gradient if the operation takes one.
pub(crate) fn gradient<T>(op: Op, grad: T) -> Option<T> {
    op.has_grad().then_some(grad)
}

/// Returns zeros, or an error if there is not enough memory.
pub(crate) fn zeros<E: Element>(len: usize) -> Result<Vec<E>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).context("not enough memory")?;
    values.resize(len, E::zeroed());
    Ok(values)
}

// ---- Internals ----

fn repeated<E: Element>(dtype: DType, bits: &[u64], len: usize) -> Result<Vec<E>> {
    let bytes = to_bytes(dtype, bits);
    let period: Vec<E> = bytemuck::pod_collect_to_vec(&bytes);
    let mut values = zeros(len)?;
    for part in values.chunks_mut(period.len()) {
        part.copy_from_slice(&period[..part.len()]);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use wgpu_elu::cpu;

    use super::*;

    #[test]
    fn wrong_answers_are_refused() {
        let work = Workload::new(Op::Forward, DType::F32, 1.0.into());
        let data = Data::<f32>::new(&work, 3 * PERIOD).unwrap();
        let mut y = zeros::<f32>(3 * PERIOD).unwrap();
        cpu::forward(1.0, &data.x, &mut y).unwrap();
        let judge = |y: &[f32]| work.confirm("it", bytemuck::cast_slice(y));
        judge(&y).unwrap();
        judge(&y[..1024]).unwrap();
        let right = std::mem::replace(&mut y[2 * PERIOD], 0.5);
        assert_eq!(
            judge(&y).unwrap_err().to_string(),
            "it: results for the same x differ, so nothing is timed"
        );
        y[2 * PERIOD] = right;
        y[0] = 0.5;
        assert_eq!(
            judge(&y).unwrap_err().to_string(),
            "it: 5e-1 for x -2.5e0 is not within the contract, so nothing is timed; elu check reports more"
        );
    }
}
