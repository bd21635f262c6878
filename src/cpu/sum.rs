//! Sums of slices. Short runs are added in the elements' own arithmetic, and their totals in `f64` together with the
//! rounding error of every addition.

use std::ops::{Add, Sub};

use fearless_simd::prelude::*;

use super::{
    arithmetic::Formula,
    lanes::{Lanes, padded},
};

/// The sum high + low. If `high` is infinite or NaN, `low` is ignored.
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

/// The number of vectors that are added in the elements' own arithmetic. In `f32` that is at most 8 roundings, one more
/// for 16-bit elements, and 4 for each term. With the rounding of the result, the relative error is below 1e-6.
const BLOCK: usize = 16;

/// Returns the sum of `op` of every element. No result may be negative, and `op` of 0 must be 0.
#[inline(always)]
pub(super) fn sum<S: Simd, E: Lanes<S>, O: Formula<S, E::Floats>>(simd: S, op: O, x: &[E]) -> Sum {
    let mut highs = S::f64s::splat(simd, 0.0);
    let mut lows = highs;
    for block in x.chunks(BLOCK * E::LEN) {
        let terms = |x: &[E]| E::terms(simd, op, E::load(simd, x));
        // Four independent sums, because each addition waits for the previous one.
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

/// Knuth's TwoSum: the sum and its rounding error, for any order of magnitude.
#[inline(always)]
fn two_sum<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}
