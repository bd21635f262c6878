//! Sums over slices: short ones in the elements' own arithmetic, and their totals in `f64` with what each addition lost.

use std::ops::{Add, Sub};

use fearless_simd::prelude::*;

use super::{
    arithmetic::Formula,
    lanes::{Lanes, padded},
};

/// A sum as high + low, of which `high` alone counts where it is infinite or NaN.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        let (high, lost) = two_sum(self.high, other.high);
        Self {
            high,
            low: self.low + other.low + lost,
        }
    }

    pub(super) fn value(self) -> f64 {
        if self.high.is_finite() {
            self.high + self.low
        } else {
            self.high
        }
    }
}

/// Vectors that are summed in the elements' own arithmetic. In `f32` that makes 8 roundings at most, one more for 16-bit
/// elements, and 4 for each term: with the last, to the result, less than 1e-6 of it.
const BLOCK: usize = 16;

/// The sum of `op` of every element, where no result is negative and that of 0 is 0.
#[inline(always)]
pub(super) fn sum<S: Simd, E: Lanes<S>, O: Formula<S, E::Floats>>(simd: S, op: O, x: &[E]) -> Sum {
    let mut highs = S::f64s::splat(simd, 0.0);
    let mut lows = highs;
    for block in x.chunks(BLOCK * E::LEN) {
        let terms = |x: &[E]| E::terms(simd, op, E::load(simd, x));
        // Four at a time, since each addition waits for the one before it.
        let mut sums = [E::zeros(simd); 4];
        let mut fours = block.chunks_exact(4 * E::LEN);
        for four in fours.by_ref() {
            for (sum, x) in sums.iter_mut().zip(four.chunks_exact(E::LEN)) {
                *sum = *sum + terms(x);
            }
        }
        let mut ones = fours.remainder().chunks_exact(E::LEN);
        for x in ones.by_ref() {
            sums[0] = sums[0] + terms(x);
        }
        if !ones.remainder().is_empty() {
            sums[0] = sums[0] + terms(&padded(ones.remainder())[..E::LEN]);
        }
        let [a, b, c, d] = sums;
        let (high, lost) = two_sum(highs, E::total((a + b) + (c + d)));
        (highs, lows) = (high, lows + lost);
    }
    let lanes = highs.as_slice().iter().zip(lows.as_slice());
    lanes.fold(Sum::default(), |sum, (&high, &low)| {
        sum.add(Sum { high, low })
    })
}

// ---- Internals ----

/// Knuth's: the sum, and what it lost, whichever of the two is larger.
#[inline(always)]
fn two_sum<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}
