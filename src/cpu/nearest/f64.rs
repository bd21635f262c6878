//! Nearest results in `f64`: computed in pairs of `f64`.
//!
//! ```text
//! t = input_scale * x                          a pair
//! t = n ln 2 + r                               ln 2 in three parts; r is a pair
//! expm1(r) = r + r^2 (1/2! + r/3! + ... )      the terms up to r^6/8! in pairs, the others in `f64`
//! expm1(t) = 2^n expm1(r) + (2^n - 1)          exp(t) = 2^n (1 + expm1(r))
//! the product with the factors                 pairs
//! ```
//!
//! Where a number is so small or large that a pair could lose bits, the element counts as undecided.

use fearless_simd::prelude::*;

use super::{
    Pair, ROUNDER, Rounded,
    exact::{self, F64_LIMBS},
    fast_two_sum, is_degenerate, is_number, keep_nan, power_of_two, replace, sign_of_slope,
    sign_of_sum, two_product, two_sum,
};
use crate::{cpu::arithmetic::Formula, dtype::DType, factors::RoundedFactors, op::Op};

/// A bound on the relative error of the pairs. Measured, that of exp and expm1 is at most 2^-82.
const ERROR: f64 = 1.0 / (1u128 << 78) as f64;
/// Between these magnitudes, no pair loses bits.
const SMALLEST: f64 = 1e-250;
const LARGEST: f64 = 1e290;
/// A lower bound of t in forward: below it, expm1(t) is -1 with an error smaller than `ERROR`.
const EXPM1_SMALLEST: f64 = -100.0;
/// A lower bound of t in gradients, where 2^n is normal. Elements with a smaller t are undecided.
const EXP_SMALLEST: f64 = -700.0;
/// If t is at most this, exp(t) rounds to 0.
const EXP_UNDERFLOWS: f64 = -745.133_219_101_941_2;
/// ln 2 in three parts. n times each of the first two is exact.
const LN2: [f64; 3] = [
    0.693_147_180_485_539_1,
    7.440_617_109_802_979e-11,
    2.094_174_429_270_072_5e-21,
];
/// 1/2! to 1/8! as pairs.
const HEAD: [[f64; 2]; 7] = [
    [0.5, 0.0],
    [0.166_666_666_666_666_66, 9.251_858_538_542_97e-18],
    [0.041_666_666_666_666_664, 2.312_964_634_635_742_7e-18],
    [0.008_333_333_333_333_333, 1.156_482_317_317_871_4e-19],
    [0.001_388_888_888_888_889, -5.300_543_954_373_577e-20],
    [0.000_198_412_698_412_698_4, 1.720_955_829_342_070_5e-22],
    [2.480_158_730_158_73e-05, 2.151_194_786_677_588_2e-23],
];
/// 1/9! to 1/22!.
const TAIL: [f64; 14] = [
    2.755_731_922_398_589_3e-06,
    2.755_731_922_398_589e-07,
    2.505_210_838_544_172e-08,
    2.087_675_698_786_81e-09,
    1.605_904_383_682_161_3e-10,
    1.147_074_559_772_972_5e-11,
    7.647_163_731_819_816e-13,
    4.779_477_332_387_385e-14,
    2.811_457_254_345_520_6e-15,
    1.561_920_696_858_622_5e-16,
    8.220_635_246_624_33e-18,
    4.110_317_623_312_165e-19,
    1.957_294_106_339_126_3e-20,
    8.896_791_392_450_574e-22,
];

/// Returns a * b.
#[inline(always)]
fn multiply<S: Simd>(simd: S, a: Pair<S>, b: Pair<S>) -> Pair<S> {
    let product = two_product(simd, a.high, b.high);
    let cross_terms = a.high.mul_add(b.low, a.low.mul_add(b.high, product.low));
    fast_two_sum(product.high, cross_terms)
}

/// Returns constant + v, where |v| is less than the constant.
#[inline(always)]
fn add_to<S: Simd>(simd: S, constant: [f64; 2], v: Pair<S>) -> Pair<S> {
    let [high, low] = constant.map(|v| S::f64s::splat(simd, v));
    let sum = fast_two_sum::<S>(high, v.high);
    Pair {
        high: sum.high,
        low: sum.low + (v.low + low),
    }
}

#[inline(always)]
fn pair_of<S: Simd>(simd: S, v: S::f64s) -> Pair<S> {
    Pair {
        high: v,
        low: S::f64s::splat(simd, 0.0),
    }
}

/// Returns t = `input_scale * x` for `x <= 0`, but at least about `smallest`.
#[inline(always)]
fn scaled_input<S: Simd>(simd: S, x: S::f64s, input_scale: f64, smallest: f64) -> Pair<S> {
    let bounded = x.max(S::f64s::splat(simd, smallest / input_scale));
    if input_scale == 1.0 {
        pair_of(simd, bounded)
    } else {
        two_product(simd, bounded, S::f64s::splat(simd, input_scale))
    }
}

/// Returns n and expm1(r) for t = n ln 2 + r.
#[inline(always)]
fn reduce<S: Simd>(simd: S, t: Pair<S>) -> (S::f64s, Pair<S>) {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let n = t
        .high
        .mul_add(splat(std::f64::consts::LOG2_E), splat(ROUNDER))
        - ROUNDER;
    let first = n.mul_add(splat(-LN2[0]), t.high); // exact
    let both = two_sum::<S>(first, n * splat(-LN2[1]));
    let rest = n.mul_add(splat(-LN2[2]), both.low + t.low);
    let r = fast_two_sum::<S>(both.high, rest);

    // The tail in Estrin's order, then the head in Horner's.
    let r2 = r.high * r.high;
    let r4 = r2 * r2;
    let two = |i: usize| r.high.mul_add(splat(TAIL[i + 1]), splat(TAIL[i]));
    let four = |i: usize| r2.mul_add(two(i + 2), two(i));
    let last = r4.mul_add(two(12), four(8));
    let tail = r4.mul_add(r4.mul_add(last, four(4)), four(0));
    let [constants @ .., last] = HEAD;
    let mut q = add_to(simd, last, pair_of(simd, tail * r.high));
    for constant in constants.into_iter().rev() {
        q = add_to(simd, constant, multiply(simd, q, r));
    }
    let smaller_terms = multiply(simd, multiply(simd, r, r), q);
    let sum = two_sum::<S>(r.high, smaller_terms.high);
    let low = sum.low + (r.low + smaller_terms.low);
    (n, fast_two_sum(sum.high, low))
}

/// Returns expm1(t).
#[inline(always)]
fn expm1<S: Simd>(simd: S, t: Pair<S>) -> Pair<S> {
    let (n, expm1) = reduce(simd, t);
    let power = power_of_two(simd, n);
    let power_minus_1 = power - 1.0;
    let lost = power - (power_minus_1 + 1.0);
    let sum = two_sum::<S>(power_minus_1, power * expm1.high);
    fast_two_sum(sum.high, sum.low + power.mul_add(expm1.low, lost))
}

/// Rounds a pair to one `f64`. `error` is a bound on its relative error; 0 means that the pair is exact.
#[inline(always)]
fn round<S: Simd>(simd: S, v: Pair<S>, error: S::f64s) -> Rounded<S> {
    let v = fast_two_sum::<S>(v.high, v.low);
    let distance = v.high * error;
    let value = v.high + (v.low + distance);
    let other = v.high + (v.low - distance);
    Rounded {
        value,
        undecided: !(value.simd_eq(other) & is_moderate(simd, value)),
    }
}

/// Returns whether no pair of this size loses bits. NaN is not moderate.
#[inline(always)]
fn is_moderate<S: Simd>(simd: S, v: S::f64s) -> <S::f64s as SimdBase<S>>::Mask {
    v.abs().simd_gt(S::f64s::splat(simd, SMALLEST)) & v.abs().simd_lt(S::f64s::splat(simd, LARGEST))
}

/// ELU with any factors.
#[derive(Clone, Copy)]
pub(in super::super) struct Forward(RoundedFactors<f64>);

impl Forward {
    pub(in super::super) fn new(factors: RoundedFactors<f64>, _: DType) -> Self {
        Self(factors)
    }
}

impl<S: Simd> Formula<S, S::f64s> for Forward {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f64s, _: S::f64s) -> S::f64s {
        let splat = |v: f64| S::f64s::splat(simd, v);
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.0;
        let zero = splat(0.0);
        let is_negative = x.simd_lt(zero);
        let is_curve = is_negative & x.simd_gt(splat(f64::NEG_INFINITY));
        let below = if is_degenerate(negative) {
            splat(-negative)
        } else {
            let t = scaled_input(simd, x.min(zero), input_scale, EXPM1_SMALLEST);
            let product = multiply(simd, expm1(simd, t), pair_of(simd, splat(negative)));
            let rounded = round(simd, product, splat(ERROR));
            let undecided = is_curve & (rounded.undecided | !is_moderate(simd, t.high));
            let y = replace(undecided, [x, x], rounded.value, |x, _| {
                f64::from_bits(exact::forward::<F64_LIMBS>(DType::F64, self.0, x))
            });
            is_curve.select(y, splat(-negative))
        };
        let y = is_negative.select(below, x * positive);
        // Zeros keep their sign, and NaN keeps its bits.
        x.simd_eq(zero).select(x, keep_nan(simd, x, y, QUIET_NAN))
    }
}

/// The gradient from the input, or from the output.
#[derive(Clone, Copy)]
pub(in super::super) struct Backward {
    factors: RoundedFactors<f64>,
    from_output: bool,
}

impl Backward {
    pub(in super::super) fn new(factors: RoundedFactors<f64>, _: DType, op: Op) -> Self {
        Self {
            factors,
            from_output: op == Op::BackwardFromOutput,
        }
    }
}

impl<S: Simd> Formula<S, S::f64s> for Backward {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f64s, grad: S::f64s) -> S::f64s {
        let splat = |v: f64| S::f64s::splat(simd, v);
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.factors;
        let zero = splat(0.0);
        let is_above = x.simd_gt(zero);
        let below = x.min(zero);
        // `moderate`: whether no intermediate result lost bits.
        let (product, error, moderate, sign);
        if self.from_output {
            let sum = two_sum::<S>(below, splat(negative));
            let factor = two_product(simd, grad, splat(input_scale));
            let first = two_product(simd, factor.high, sum.high);
            let cross_terms = factor.high.mul_add(sum.low, first.low);
            product = Pair::<S> {
                high: first.high,
                low: factor.low.mul_add(sum.high, cross_terms),
            };
            let is_zero = |v: S::f64s| v.simd_eq(zero);
            let is_exact = is_zero(factor.low) & (is_zero(first.low) | is_zero(sum.low));
            error = is_exact.select(zero, splat(ERROR));
            moderate = is_moderate(simd, factor.high) & is_moderate(simd, sum.high);
            sign = sign_of_sum(simd, below, sum.high);
        } else {
            let t = scaled_input(simd, below, input_scale, 4.0 * EXP_SMALLEST);
            let is_bounded = t.high.simd_ge(splat(EXP_SMALLEST));
            let bounded = Pair::<S> {
                high: t.high.max(splat(EXP_SMALLEST)),
                low: is_bounded.select(t.low, zero),
            };
            let (n, expm1) = reduce(simd, bounded);
            let exp = add_to(simd, [1.0, 0.0], expm1);
            let slope = two_product(simd, splat(negative), splat(input_scale));
            let factor = multiply(simd, slope, pair_of(simd, grad));
            let unscaled = multiply(simd, factor, exp);
            let power = power_of_two(simd, n);
            product = Pair::<S> {
                high: unscaled.high * power,
                low: unscaled.low * power,
            };
            // exp(0) is 1, and two floats have an exact product.
            let is_exact = below.simd_eq(zero) & slope.low.simd_eq(zero);
            error = is_exact.select(zero, splat(ERROR));
            moderate = is_bounded
                & is_moderate(simd, grad)
                & is_moderate(simd, slope.high)
                & is_moderate(simd, factor.high);
            sign = sign_of_slope(simd, negative, t.high.simd_le(splat(EXP_UNDERFLOWS)));
        }
        let Rounded { value, undecided } = round(simd, product, error);

        // If `grad` or the slope is 0, infinite or NaN, `grad * sign` gives the value that IEEE 754 requires.
        let slope = if self.from_output || is_degenerate(negative) {
            sign
        } else {
            splat(1.0) // a product with an exponential that underflows may still be a number
        };
        let is_ordinary = is_number(simd, grad) & is_number(simd, slope) & x.simd_le(zero);
        // A finite gradient times exp(-infinity) is 0.
        let is_ordinary = is_ordinary & x.simd_gt(splat(f64::NEG_INFINITY));
        let undecided = is_ordinary & (undecided | !moderate);
        let exact = if self.from_output {
            exact::backward_from_output::<F64_LIMBS>
        } else {
            exact::backward::<F64_LIMBS>
        };
        let value = replace(undecided, [below, grad], value, |x, grad| {
            f64::from_bits(exact(DType::F64, self.factors, x, grad))
        });
        let special = grad * is_above.select(splat(positive), sign);
        let y = is_ordinary.select(value, special);
        keep_nan(simd, x, y, QUIET_NAN)
    }
}

const QUIET_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);
