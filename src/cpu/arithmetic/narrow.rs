//! ELU and its gradients for 16-bit elements and an `input_scale` of 1, computed in `f32`. They need no pairs, because
//! the rounding errors in `f32` are small compared with that of the final rounding to 16 bits.
//!
//! The steps are those of `UnitForward`, with fewer terms in the polynomial, because an `f32` has 13 or 16 more bits
//! than the result. The polynomials are within 2^-20.7 (float16) and 2^-15.5 (bfloat16) of expm1, relative to the
//! result.
//!
//! For unit factors, each result must be the number nearest to the exact value. Only a test of all inputs can show this:
//! the exact value of `expm1(-1.4560547)` is closer than 1 / 15,000 ULP to the middle of two float16 numbers. The
//! coefficients were found in two steps:
//!
//! 1. `scripts/expm1-coefficients float16` and `bfloat16` print those with the smallest largest error.
//! 2. Their last digits were changed at random until all results were right for each of the 128 (64) ways to
//!    fuse the multiply-adds. `no_16_bit_result_for_unit_factors_depends_on_fused_multiply_adds` repeats this test, but
//!    no script repeats the search. The coefficients in `shaders/halves` must be equal.

use fearless_simd::prelude::*;

use super::{Formula, f32, polynomials::*};
use crate::factors::{RoundedFactors, Split};

/// Returns expm1(x) for x from -18 to 0, with the polynomial `q`: expm1(r) = r + r^2 q(r).
#[inline(always)]
pub(in super::super) fn expm1<S: Simd>(
    simd: S,
    x: S::f32s,
    q: impl Fn(S, S::f32s) -> S::f32s,
) -> S::f32s {
    let (power, r) = reduce(simd, x);
    power.mul_add((r * r).mul_add(q(simd, r), r), power - 1.0)
}

/// ELU with factors that are not degenerate.
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

/// The gradient from the input: `grad * positive` where `x > 0`, else `grad * slope * exp(x)`.
#[derive(Clone, Copy)]
pub(in super::super) struct NarrowBackward<S: Simd, Q> {
    slope: S::f32s,
    /// The polynomial.
    q: Q,
    positive: f32::Positive<S>,
    general: f32::Backward<S>,
}

impl<S: Simd, Q> NarrowBackward<S, Q> {
    /// Returns the formula, or `None` if only the general one keeps the error bound.
    #[inline(always)]
    pub(in super::super) fn new(simd: S, factors: RoundedFactors<f32>, q: Q) -> Option<Self> {
        // A product that is subnormal before the multiplication by slope * exp(r) has an error of up to 2^-150. The
        // largest slope makes it 2^-141, which is small compared with 2^-133, the smallest bfloat16. A slope of less than
        // 2^-125 could make slope * exp(r) subnormal; 2^-64 is far from that.
        let slopes = 2f32.powi(-64)..=2f32.powi(8);
        let slope = factors.negative;
        let is_possible = factors.has_unit_input_scale() && slopes.contains(&slope.abs());
        is_possible.then(|| Self {
            slope: S::f32s::splat(simd, slope),
            q,
            positive: f32::Positive::new(simd, factors.positive),
            general: f32::Backward::new(simd, factors),
        })
    }
}

impl<S: Simd, Q: Fn(S, S::f32s) -> S::f32s + Copy> Formula<S, S::f32s> for NarrowBackward<S, Q> {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let splat = |v: f32| S::f32s::splat(simd, v);
        let (power, r) = reduce(simd, x);
        let expm1 = (r * r).mul_add((self.q)(simd, r), r);
        let scaled_exp = self.slope.mul_add(expm1, self.slope);
        let product = grad * power * scaled_exp;
        let on_negative_side = x.simd_le(splat(0.0));
        // 2^n is subnormal there. The general formula is selected by lane and not by vector, because an element's bits
        // must not depend on its neighbours.
        let needs_general = x.simd_lt(splat(-87.0));
        let product = if needs_general.any_true() {
            needs_general.select(self.general.apply(simd, x, grad), product)
        } else {
            product
        };
        let positive = x.simd_eq(x).select(self.positive.times(grad), x);
        on_negative_side.select(product, positive)
    }
}

/// The gradient from the output: `grad * positive` where `y > 0`, else `grad * (y + negative)`.
#[derive(Clone, Copy)]
pub(in super::super) struct NarrowBackwardFromOutput<S: Simd> {
    negative: S::f32s,
    /// The lower bound of y, which keeps the sum finite. It is that of [`f32::BackwardFromOutput`].
    smallest: S::f32s,
    positive: f32::Positive<S>,
}

impl<S: Simd> NarrowBackwardFromOutput<S> {
    /// Returns the formula, or `None` if the general one is needed.
    #[inline(always)]
    pub(in super::super) fn new(simd: S, factors: RoundedFactors<f32>) -> Option<Self> {
        let Split { high, low, .. } = factors.split_negative();
        let power = factors.negative / (high + low); // exact: a power of two
        factors.has_unit_input_scale().then(|| Self {
            negative: S::f32s::splat(simd, factors.negative),
            smallest: S::f32s::splat(simd, (-4.0 * power).max(f32::MIN)),
            positive: f32::Positive::new(simd, factors.positive),
        })
    }
}

impl<S: Simd> Formula<S, S::f32s> for NarrowBackwardFromOutput<S> {
    #[inline(always)]
    fn apply(self, simd: S, y: S::f32s, grad: S::f32s) -> S::f32s {
        let product = grad * (y.max(self.smallest) + self.negative);
        let positive = y.simd_eq(y).select(self.positive.times(grad), y);
        y.simd_le(S::f32s::splat(simd, 0.0))
            .select(product, positive)
    }
}

// ---- Internals ----

/// Range reduction: returns 2^n and r, where x = n ln 2 + r. n must be at least -126.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const ROUNDER: f32 = (3 << 22) as f32 + 127.0; // the last bits of ROUNDER + n are the biased exponent of 2^n
    let splat = |v: f32| S::f32s::splat(simd, v);
    let rounder = x.mul_add(splat(std::f32::consts::LOG2_E), splat(ROUNDER));
    let power = (rounder.bitcast::<S::u32s>() << 23).bitcast::<S::f32s>();
    let n = rounder - ROUNDER;
    (power, n.mul_add(splat(-std::f32::consts::LN_2), x))
}
