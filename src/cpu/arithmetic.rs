//! The formulas for a vector of floats. One macro generates them for `f32` and `f64`, each with its own constants.
//!
//! 1. Range reduction: t = n ln 2 + r with an integer n and |r| <= ln 2 / 2. r is a pair of floats, of which the first
//!    is exact.
//! 2. Polynomial: expm1(r) = r + r^2 / 2 + r^3 p(r). The coefficients of p come from `scripts/expm1-coefficients`.
//! 3. Reconstruction: exp(t) = 2^n (1 + expm1(r)), and expm1(t) = 2^n expm1(r) + (2^n - 1), as a pair of floats with
//!    few bits in the first.
//! 4. Product with the factor, also a pair, by error-free transformations: it is rounded once.
//! 5. Scaling by the sum of all exponents, so that nothing overflows or underflows on the way.
//!
//! Unit factors need only steps 1 to 3, and without pairs. docs/numerics.md derives the error bounds.
//!
//! The functions have the same names and do the same as those in `shaders/primitives.wgsl` and
//! `shaders/exponential.wgsl`. Three things are simpler here, because Rust does not change floating-point operations:
//! nothing must be hidden from the compiler, subnormal numbers are not flushed, and exponents can be floats with
//! integer values.

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
mod polynomials;

use fearless_simd::prelude::*;

use super::fuses;
use crate::factors::{Products, Split};
use polynomials::*;

/// A formula for every element, from `x` and, for a gradient, `grad`.
pub(super) trait Formula<S: Simd, V>: Copy {
    fn apply(self, simd: S, x: V, grad: V) -> V;
}

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
            exponential!($float, $floats, $uints, p: $p, expm1_smallest_power: $expm1_smallest_power, mantissa: $mantissa, ln_2_for_unit: [$($ln_2_part),+]);
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

/// ELU with factors that are not degenerate and an `input_scale` of 1, for results that are rounded to 16 bits. Their
/// error budget has room for some roundings.
#[derive(Clone, Copy)]
pub(super) struct NarrowForward<S: Simd> {
    negative: S::f32s,
    positive: f32::Positive<S>,
}

impl<S: Simd> NarrowForward<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, products: Products<f32>) -> Self {
        Self {
            negative: S::f32s::splat(simd, products.negative),
            positive: f32::Positive::new(simd, products.positive),
        }
    }
}

impl<S: Simd> Formula<S, S::f32s> for NarrowForward<S> {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let y = f32::UnitForward.apply(simd, x, grad) * self.negative;
        x.simd_lt(S::f32s::splat(simd, 0.0))
            .select(y, self.positive.times(x))
    }
}
