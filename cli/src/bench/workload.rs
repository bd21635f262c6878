//! The operation and the numbers that are measured, and the check of the results.

use anyhow::{Context, Result, ensure};
use wgpu_elu::{
    DType, Element, Elu, Op,
    accuracy::{Judge, bits, from_bytes, to_bytes, value},
    reference,
};

use crate::timing::random_input;

/// The input numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Input {
    /// Random numbers
    Random,
    /// Multiples of 0.001
    Ramp,
}

impl Input {
    /// Returns the name on the command line and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Ramp => "ramp",
        }
    }

    /// The number of different inputs. It is a prime, so that vectors and chunks, whose sizes are powers of two, start
    /// at different numbers.
    const fn period(self) -> usize {
        match self {
            Self::Random => 65_537,
            Self::Ramp => 4001,
        }
    }

    /// Returns the number with this index, from -2.5 to 1.5. `stream` selects one of several sequences.
    ///
    /// A period of the ramp contains all multiples of 0.001 in this range, once each. Its neighbours differ by 0.083
    /// for the stream 0 (the step 7919 is -83 modulo 4001), and by 0.031 for the stream 1, so the sign changes every
    /// few dozen numbers.
    fn number(self, index: usize, stream: usize) -> f64 {
        match self {
            Self::Random => random_input(2 * index as u64 + stream as u64),
            Self::Ramp => ((index * [7919, 31][stream]) % self.period()) as f64 / 1000.0 - 2.5,
        }
    }
}

/// An operation with its inputs, which repeat after a period.
pub(crate) struct Workload {
    pub(crate) op: Op,
    pub(crate) dtype: DType,
    pub(crate) elu: Elu,
    pub(crate) input: Input,
    /// One period of the input, as bits.
    x: Vec<u64>,
    /// One period of the incoming gradient, as bits.
    grad: Vec<u64>,
}

impl Workload {
    pub(crate) fn new(op: Op, dtype: DType, elu: Elu, input: Input) -> Self {
        let factors = elu.factors();
        let x = |i| match (op, input.number(i, 0)) {
            (Op::BackwardFromOutput, x) => {
                reference::family(x, factors.alpha(), factors.scale(), factors.input_scale())
            }
            (Op::Forward | Op::Backward, x) => x,
        };
        let grad = |i| input.number(i, 1);
        let period = input.period();
        Self {
            op,
            dtype,
            elu,
            input,
            x: (0..period).map(|i| bits(dtype, x(i))).collect(),
            grad: (0..period).map(|i| bits(dtype, grad(i))).collect(),
        }
    }

    /// Returns the number of bytes that the operation reads plus the number that it writes, for `len` elements.
    pub(crate) fn bytes_moved(&self, len: usize) -> usize {
        let buffers = if self.op.has_grad() { 3 } else { 2 };
        buffers * self.dtype.size() * len
    }

    /// Checks `y`, the results for [`Data`] as bytes. The first period must keep the contract, and the others must be
    /// equal to it. `device` is the name of the device, for the error message.
    pub(crate) fn confirm(&self, device: &str, y: &[u8]) -> Result<()> {
        let judge = Judge {
            op: self.op,
            dtype: self.dtype,
            elu: self.elu,
        };
        let size = self.dtype.size();
        let period = &y[..y.len().min(self.x.len() * size)];
        let results = from_bytes(self.dtype, period);
        for ((&x, &grad), y) in self.x.iter().zip(&self.grad).zip(results) {
            let number = |bits| value(self.dtype, bits);
            ensure!(
                judge.judge(x, grad, y).is_allowed,
                "{device}: the result {:e} for x {:e} breaks the contract, so nothing is timed; run `elu check`",
                number(y),
                number(x),
            );
        }
        ensure!(
            y.chunks(period.len())
                .all(|part| *part == period[..part.len()]),
            "{device}: results for the same x differ, so nothing is timed"
        );
        Ok(())
    }
}

/// Inputs of any length, in the memory of the CPU.
pub(crate) struct Data<E> {
    pub(crate) x: Vec<E>,
    /// The incoming gradient; empty for forward.
    pub(crate) grad: Vec<E>,
}

impl<E: Element> Data<E> {
    /// Returns the first `len` numbers of the workload, or an error if there is not enough memory.
    pub(crate) fn new(work: &Workload, len: usize) -> Result<Self> {
        let grads = if work.op.has_grad() { len } else { 0 };
        Ok(Self {
            x: repeated(work.dtype, &work.x, len)?,
            grad: repeated(work.dtype, &work.grad, grads)?,
        })
    }
}

/// Returns `grad` if the operation takes an incoming gradient, else `None`.
pub(crate) fn gradient<T>(op: Op, grad: T) -> Option<T> {
    op.has_grad().then_some(grad)
}

/// Returns `len` zeros, or an error if there is not enough memory.
pub(crate) fn zeros<E: Element>(len: usize) -> Result<Vec<E>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).context("not enough memory")?;
    values.resize(len, E::zeroed());
    Ok(values)
}

// ---- Internals ----

/// Repeats the numbers, which are given as bits, up to `len` elements.
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
    fn inputs_are_in_the_range() {
        for input in [Input::Random, Input::Ramp] {
            for stream in [0, 1] {
                let mut numbers: Vec<f64> = (0..input.period())
                    .map(|i| input.number(i, stream))
                    .collect();
                numbers.sort_by(f64::total_cmp);
                numbers.dedup();
                assert_eq!(numbers.len(), input.period(), "{input:?}");
                let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
                assert!(
                    (-2.5..-2.49).contains(&first) && (1.49..=1.5).contains(&last),
                    "{first} {last}"
                );
            }
        }
        // Random numbers use all bits of the significand, so that no device can compress them.
        let work = Workload::new(Op::Forward, DType::F32, 1.0.into(), Input::Random);
        let zeros: u32 = work.x.iter().map(|bits| bits.trailing_zeros()).sum();
        assert!((zeros as usize) < 2 * work.x.len(), "{zeros}");
    }

    #[test]
    fn wrong_results_are_rejected() {
        const PERIOD: usize = Input::Ramp.period();
        let work = Workload::new(Op::Forward, DType::F32, 1.0.into(), Input::Ramp);
        let data = Data::<f32>::new(&work, 3 * PERIOD).unwrap();
        let mut y = zeros::<f32>(3 * PERIOD).unwrap();
        cpu::forward(1.0, &data.x, &mut y).unwrap();
        let confirm = |y: &[f32]| work.confirm("it", bytemuck::cast_slice(y));
        confirm(&y).unwrap();
        confirm(&y[..1024]).unwrap();
        let correct = std::mem::replace(&mut y[2 * PERIOD], 0.5);
        assert_eq!(
            confirm(&y).unwrap_err().to_string(),
            "it: results for the same x differ, so nothing is timed"
        );
        y[2 * PERIOD] = correct;
        y[0] = 0.5;
        assert_eq!(
            confirm(&y).unwrap_err().to_string(),
            "it: the result 5e-1 for x -2.5e0 breaks the contract, so nothing is timed; run `elu check`"
        );
    }
}
