//! Sums of slices.
//!
//! 1. The terms of a block of 16 vectors are added in the elements' own arithmetic, which is fast.
//! 2. The block's sum is converted to `f64` and added to a running sum by `TwoSum`. The rounding errors of these
//!    additions are added up in a second number, so that the error does not grow with the length of the slice.
//! 3. The sums of all lanes and of all pieces are added in the same way.

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

/// The number of vectors that are added in the elements' own arithmetic. In `f32`, adding them rounds at most 8 times,
/// or 9 times for 16-bit elements, and computing a term rounds at most 4 times. With the rounding of the result, the
/// relative error is below 1e-6.
const BLOCK: usize = 16;

/// Returns the sum of the results of `formula` for every element. No result may be negative, because cancellation would
/// make the relative error large. The result for 0 must be 0, because the last vector is filled up with zeros.
#[inline(always)]
pub(super) fn sum<S: Simd, E: Lanes<S>, F: Formula<S, E::Floats>>(
    simd: S,
    formula: F,
    x: &[E],
) -> Sum {
    let mut highs = S::f64s::splat(simd, 0.0);
    let mut lows = highs;
    for block in x.chunks(BLOCK * E::LEN) {
        let terms = |x: &[E]| E::terms(simd, formula, E::load(simd, x));
        // Uses four independent sums, because an addition must wait for the previous addition to the same sum.
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

/// Knuth's `TwoSum`: returns the sum of two numbers and its rounding error, whichever number is larger.
#[inline(always)]
fn two_sum<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}
