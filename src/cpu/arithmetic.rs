//! The formulas of ELU and its gradients, on vectors of floats.
//!
//! ```text
//! t = input_scale * x                           x <= 0; t is a pair of floats
//! 1. range reduction:  t = n ln 2 + r           n is an integer, |r| <= ln 2 / 2
//! 2. polynomial:       expm1(r) = r + r^2 / 2 + r^3 p(r)
//! 3. reconstruction:   exp(t)   = 2^n (1 + expm1(r))
//!                      expm1(t) = 2^n expm1(r) + (2^n - 1)
//! 4. product:          expm1(t) * negative, or exp(t) * slope * grad
//! 5. final scaling:    the product * 2^(the sum of all exponents)
//! ```
//!
//! Why each step is needed:
//!
//! 1. A short polynomial is accurate only near 0. ln 2 is split into two parts so that n times the first part is exact.
//!    r is then exact, and `r_low`, which contains n times the second part, is small.
//! 2. exp(r) - 1 would cancel where r is near 0, so expm1(r) is computed directly. Its largest term, r, is exact; the
//!    rounding errors are in the smaller terms.
//! 3. 2^n - 1 is exact, and 0 for n = 0, so that expm1(t) does not cancel either. The result is a pair: if it
//!    were rounded to one float here, and the product again in step 4, the error would exceed 1 ULP.
//! 4. Error-free transformations multiply pairs as exactly as if they were numbers of higher precision. Only the result
//!    is rounded.
//! 5. The factors may be near the ends of the range although their product is not. Therefore steps 3 and 4 compute with
//!    significands near 1, and the exponents are added separately and applied once, at the end.
//!
//! Forward with unit factors (all three are 1) needs only steps 1 to 3, and no pairs. docs/numerics.md derives the
//! error bounds.
//!
//! A function that has the name of one in `shaders/primitives.wgsl` or `shaders/exponential.wgsl` does the same. Some
//! things are simpler here. Rust does not change floating-point operations, so there is no optimization barrier.
//! Subnormal numbers are not flushed, so exponents can be floats with integer values, and multiplications apply them.
//! On machines with FMA, pairs need not be split: `mul_add` gives the rounding error of a product.

#[macro_use]
mod primitives;
#[macro_use]
mod exponential;
#[macro_use]
mod factors;
#[macro_use]
mod forward;
#[macro_use]
mod gradient;
#[macro_use]
mod penalty;
mod narrow;
mod polynomials;

use fearless_simd::prelude::*;

use super::has_fma;
use crate::factors::{RoundedFactors, Split};
pub(super) use narrow::{
    NarrowBackward, NarrowBackwardFromOutput, NarrowForward, expm1 as narrow_expm1,
};
use polynomials::*;
#[cfg(test)]
pub(super) use polynomials::{Q_OF_BF16, Q_OF_F16};
pub(super) use polynomials::{q_of_bf16, q_of_f16, q_of_f64};

/// A formula that is applied to every element: to `x` and, for a gradient, `grad`. Forward ignores `grad`.
pub(super) trait Formula<S: Simd, V>: Copy {
    fn apply(self, simd: S, x: V, grad: V) -> V;
}

/// Generates the formulas for one type of floats. The numbers in parentheses are those of `f64`.
///
/// - `mantissa`: the number of bits of the fraction.
/// - `exponent_bias`: the bias of the exponent bits.
/// - `leading`: the mask of the bits that a split number keeps: the sign, the exponent, and 12 (26) bits of the
///   significand.
/// - `expm1_smallest`: the lower bound that t is clamped to in forward. Below it, expm1(t) rounds to -1.
/// - `expm1_smallest_power`: the smallest n for which 2^n - 1 is exact. Smaller n are replaced by it.
/// - `expm1_small`: 2^-30 (2^-60). If |t| is smaller, expm1(t) rounds to t.
/// - `exp_smallest`: the lower bound that t is clamped to in gradients. Below it, exp(t) times the largest slope and
///   gradient rounds to 0.
/// - `exp_underflows`: if t is at most this, exp(t) rounds to 0.
/// - `exp_normal`: if t is at least this, 2^n is normal.
/// - `largest_power`: the bound of the exponents in `scale_by_power`. Beyond it, every result is 0 or infinite.
/// - `unit_expm1_smallest`: `expm1_smallest` for unit factors.
/// - `ln_2_for_unit`: ln 2 for `UnitForward` and `expm1_of_float`, in one part or two.
/// - `ln_2`: ln 2 in the two parts of step 1.
/// - `p`, `q`, `q_centered`: the polynomials.
/// - `center_shift`: the number by which `UnitBackward` moves the range of r up, to the range of `q_centered`.
macro_rules! arithmetic {
    (
        $float:ident, $bits:ident, $floats:ident, $uints:ident,
        mantissa: $mantissa:literal, exponent_bias: $bias:literal, leading: $leading:literal,
        expm1_smallest: $expm1_smallest:literal, expm1_smallest_power: $expm1_smallest_power:literal,
        expm1_small: $expm1_small:literal,
        exp_smallest: $exp_smallest:literal, exp_underflows: $exp_underflows:literal, exp_normal: $exp_normal:literal,
        largest_power: $largest_power:literal,
        unit_expm1_smallest: $unit_expm1_smallest:literal,
        ln_2_for_unit: [$($ln_2_part:expr),+], ln_2: $ln_2:expr,
        p: $p:ident, q: $q:ident, center_shift: $center_shift:literal, q_centered: $q_centered:ident,
    ) => {
        pub(super) mod $float {
            use super::*;

            primitives!($float, $bits, $floats, $uints, ln_2: $ln_2, mantissa: $mantissa, bias: $bias, leading: $leading, largest_power: $largest_power);
            exponential!($float, $floats, $uints, p: $p, q: $q, expm1_smallest_power: $expm1_smallest_power, mantissa: $mantissa, ln_2_for_unit: [$($ln_2_part),+]);
            factors!($float, $floats, expm1_small: $expm1_small);
            forward!($float, $floats, $uints, unit_expm1_smallest: $unit_expm1_smallest, mantissa: $mantissa, ln_2_for_unit: [$($ln_2_part),+], q: $q, expm1_smallest: $expm1_smallest, expm1_small: $expm1_small);
            gradient!($float, $floats, $uints, exp_smallest: $exp_smallest, exp_underflows: $exp_underflows, center_shift: $center_shift, mantissa: $mantissa, q_centered: $q_centered, exp_normal: $exp_normal);
            penalty!($float, $floats);
        }
    };
}

arithmetic! {
    f32, u32, f32s, u32s,
    mantissa: 23, exponent_bias: 127, leading: 0xffff_f000,
    expm1_smallest: -19.0, expm1_smallest_power: -24.0, expm1_small: 9.313_226e-10,
    exp_smallest: -330.0, exp_underflows: -103.972_084, exp_normal: -87.0, largest_power: 250.0,
    unit_expm1_smallest: -18.0,
    ln_2_for_unit: [std::f32::consts::LN_2],
    ln_2: [0.693_145_75, 1.428_606_8e-6],
    p: p_of_f32, q: q_of_f32, center_shift: 0.0589, q_centered: q_of_f32_centered,
}

arithmetic! {
    f64, u64, f64s, u64s,
    mantissa: 52, exponent_bias: 1023, leading: 0xffff_ffff_f800_0000,
    expm1_smallest: -39.0, expm1_smallest_power: -53.0, expm1_small: 8.673_617_379_884_035e-19,
    exp_smallest: -2240.0, exp_underflows: -745.133_219_101_941_2, exp_normal: -708.0, largest_power: 2040.0,
    unit_expm1_smallest: -40.0,
    ln_2_for_unit: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    ln_2: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    p: p_of_f64, q: q_of_f64, center_shift: 0.0, q_centered: q_of_f64,
}
