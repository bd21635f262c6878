//! ELU for 16-bit elements, computed in `f32`.
//!
//! The steps are those of `UnitForward`, with fewer terms in the polynomial, because an `f32` has 13 or 16 more bits than
//! the result. The polynomials are within 2^-20.7 (float16) and 2^-15.5 (bfloat16) of expm1, relative to the result.
//!
//! For unit factors, each result must be the number nearest to the exact value. Only a test of all inputs can show this:
//! the exact value of `expm1(-1.4560547)` is closer than 1 / 15,000 ULP to the middle of two float16 numbers. The
//! coefficients were found in two steps:
//!
//! 1. `scripts/expm1-coefficients float16` and `bfloat16` print those with the smallest largest error.
//! 2. Their last digits were changed at random until all results were right for each of the 128 (64) ways to
//!    fuse the multiply-adds. `no_16_bit_result_for_unit_factors_depends_on_fused_multiply_adds` repeats this test.

use fearless_simd::prelude::*;

use super::{Formula, f32, polynomials::*};
use crate::factors::RoundedFactors;

/// Returns expm1(x) for x from -18 to 0, with the polynomial `q`: expm1(r) = r + r^2 q(r).
#[inline(always)]
pub(in super::super) fn expm1<S: Simd>(
    simd: S,
    x: S::f32s,
    q: impl Fn(S, S::f32s) -> S::f32s,
) -> S::f32s {
    const ROUNDER: f32 = (3 << 22) as f32 + 127.0; // the last bits of ROUNDER + n are the biased exponent of 2^n
    let splat = |v: f32| S::f32s::splat(simd, v);
    let rounder = x.mul_add(splat(std::f32::consts::LOG2_E), splat(ROUNDER));
    let power = (rounder.bitcast::<S::u32s>() << 23).bitcast::<S::f32s>();
    let n = rounder - ROUNDER;
    let r = n.mul_add(splat(-std::f32::consts::LN_2), x);
    power.mul_add((r * r).mul_add(q(simd, r), r), power - 1.0)
}

/// ELU for 16-bit results, with factors that are not degenerate and an `input_scale` of 1. It needs no pairs, because
/// the rounding errors in `f32` are small compared with that of the final rounding to 16 bits.
#[derive(Clone, Copy)]
pub(in super::super) struct NarrowForward<S: Simd> {
    negative: S::f32s,
    positive: f32::Positive<S>,
}

impl<S: Simd> NarrowForward<S> {
    #[inline(always)]
    pub(in super::super) fn new(simd: S, factors: RoundedFactors<f32>) -> Self {
        Self {
            negative: S::f32s::splat(simd, factors.negative),
            positive: f32::Positive::new(simd, factors.positive),
        }
    }
}

impl<S: Simd> Formula<S, S::f32s> for NarrowForward<S> {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, _: S::f32s) -> S::f32s {
        let splat = |v: f32| S::f32s::splat(simd, v);
        let bounded = x.max(splat(-18.0)); // the result for x > 0 is not used
        let y = expm1(simd, bounded, q_of_f16) * self.negative;
        x.simd_lt(splat(0.0)).select(y, self.positive.times(x))
    }
}
