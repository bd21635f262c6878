//! Nearest results of arithmetic in `f32`, which includes 16-bit elements: computed in `f64`.

use fearless_simd::prelude::*;
use half::{bf16, f16};

use super::{
    Pair, ROUNDER, Rounded,
    exact::{self, F32_LIMBS},
    has_fma, is_degenerate, is_number, keep_nan, power_of_two, replace, sign_of_slope, sign_of_sum,
    two_product, two_sum,
};
use crate::{
    cpu::arithmetic::{Formula, q_of_f64},
    dtype::DType,
    factors::RoundedFactors,
    op::Op,
};

/// A bound on the relative error of [`Rounded`] values with an exponential: that of exp and expm1 is at most 2^-51.9,
/// measured, and that of two products is 2^-52.
const ERROR: f64 = 1.0 / (1u64 << 49) as f64;
/// For t between this, -2^-48, and 0, the results are exact products with 1 + t / 2 and 1 + t instead of expm1(t) / t
/// and exp(t).
const LINEAR: f64 = -1.0 / (1u64 << 48) as f64;
/// A bound on the relative error of these results: the terms that are left out are at most 2^-97, and the rounding
/// errors of the pairs are at most 3 * 2^-101.
const LINEAR_ERROR: f64 = 1.0 / (1u128 << 95) as f64;
/// For t between this, -2^-74, and 0, the error decides nothing. A product of three significands has 72 bits, so its
/// distance from the middle between two numbers is either at least 2^-72 of it, or 0. If it is 0, the sign of t decides.
const SIGN_DECIDES: f64 = -1.0 / (1u128 << 74) as f64;
/// For t below this, expm1(t) differs from -1 by less than a quarter of the last bit of an `f64`.
const SATURATED: f64 = -38.0;
/// A lower bound of t in forward, and in gradients. There, exp(t) times the largest slope (2^192) and the largest
/// gradient (2^128) rounds to 0.
const EXPM1_SMALLEST: f64 = -60.0;
const EXP_SMALLEST: f64 = -350.0;
/// If t is at most this, exp(t) rounds to 0 in `f32`.
const EXP_UNDERFLOWS: f64 = -103.972_077_083_991_8; // -150 ln 2
/// Below this, expm1(t) rounds to -1 in `f32`.
const UNIT_SMALLEST: f32 = -18.0;
/// ln 2 in two parts. n times the first part is exact.
const LN2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// The format that results are rounded to.
#[derive(Clone, Copy)]
struct Format {
    dtype: DType,
    smallest_normal: f64,
    /// The distance of the numbers from 1 to 2.
    epsilon: f64,
}

impl Format {
    /// Returns the format of a dtype whose arithmetic is in `f32`.
    fn of(dtype: DType) -> Self {
        let (epsilon, smallest_normal) = match dtype {
            DType::F16 => (f16::EPSILON.into(), f16::MIN_POSITIVE.into()),
            DType::BF16 => (bf16::EPSILON.into(), bf16::MIN_POSITIVE.into()),
            DType::F32 | DType::F64 => (f32::EPSILON.into(), f32::MIN_POSITIVE.into()),
        };
        Self {
            dtype,
            smallest_normal,
            epsilon,
        }
    }
}

/// Rounds `v` to nearest, ties to even. `error` is a bound on its relative error.
///
/// `large` is so large that its last bit has the weight of the last bit of the result. Adding it therefore rounds `v`
/// to the format, and subtracting it again is exact.
#[inline(always)]
fn round<S: Simd>(simd: S, format: Format, v: S::f64s, error: S::f64s) -> Rounded<S> {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let exponent_bits = S::u64s::splat(simd, f64::INFINITY.to_bits());
    let power = (v.bitcast::<S::u64s>() & exponent_bits).bitcast::<S::f64s>();
    let last_bit = power.max(splat(format.smallest_normal)) * format.epsilon;
    let large = last_bit * ROUNDER;
    let value = ((v + large) - large).copysign(v);
    let from_middle = ((v - value).abs() - last_bit * 0.5).abs();
    Rounded {
        value,
        undecided: from_middle.simd_lt(v.abs() * error),
    }
}

/// Rounds a sum to odd: an inexact result gets 1 as its last bit. A second rounding to fewer bits then gives the
/// same result as a single rounding (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
/// algorithms using rounding to odd", IEEE Transactions on Computers 57, 2008).
///
/// `error` is a bound on the sum's relative error. If the sum is closer to an `f64` than that, the result is this `f64`,
/// so that [`round`] finds it undecided where it is the middle between two numbers.
#[inline(always)]
fn round_to_odd<S: Simd>(simd: S, sum: Pair<S>, error: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let Pair { high, low } = two_sum::<S>(sum.high, sum.low);
    let one = S::u64s::splat(simd, 1);
    let bits = high.bitcast::<S::u64s>();
    // Steps back towards 0 if `high` is too far from it, and sets the last bit.
    let away = (splat(1.0).copysign(high) * low).simd_lt(splat(0.0));
    let odd = away.select(
        ((bits - one) | one).bitcast::<S::f64s>(),
        (bits | one).bitcast(),
    );
    low.abs().simd_le(high.abs() * error).select(high, odd)
}

/// Returns the bound on the error of a result that [`round_to_odd`] rounds. Without an exponential t must be 0.
#[inline(always)]
fn linear_error<S: Simd>(simd: S, t: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let matters = t.simd_gt(splat(LINEAR)) & t.simd_lt(splat(SIGN_DECIDES));
    matters.select(splat(LINEAR_ERROR), splat(0.0))
}

/// Returns n and expm1(r) for t = n ln 2 + r.
#[inline(always)]
fn reduce<S: Simd>(simd: S, t: S::f64s) -> (S::f64s, S::f64s) {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let n = t.mul_add(splat(std::f64::consts::LOG2_E), splat(ROUNDER)) - ROUNDER;
    let r = n.mul_add(splat(-LN2[0]), t);
    let r = n.mul_add(splat(-LN2[1]), r);
    (n, (r * r).mul_add(q_of_f64(simd, r), r))
}

#[inline(always)]
fn expm1<S: Simd>(simd: S, t: S::f64s) -> S::f64s {
    let (n, expm1) = reduce(simd, t);
    let power = power_of_two(simd, n);
    power.mul_add(expm1, power - 1.0)
}

/// ELU with unit factors, rounded to `f32`. It needs no test of the rounding: all 2^32 results were compared with those
/// of the general formula.
#[inline(always)]
fn unit_forward<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = S::f32s::splat(simd, 0.0);
    let bounded = x.max(S::f32s::splat(simd, UNIT_SMALLEST)).min(zero);
    let (first, second) = bounded.widen();
    let y = expm1(simd, first).narrow(expm1(simd, second));
    x.simd_lt(zero).select(y, x)
}

/// ELU with any factors.
#[derive(Clone, Copy)]
pub(in super::super) struct Forward {
    factors: RoundedFactors<f64>,
    format: Format,
    /// Whether [`unit_forward`] computes the results.
    is_unit: bool,
}

impl Forward {
    pub(in super::super) fn new(factors: RoundedFactors<f32>, dtype: DType) -> Self {
        Self {
            factors: factors.into(),
            format: Format::of(dtype),
            is_unit: dtype == DType::F32 && factors.class(Op::Forward).unit_factors,
        }
    }

    #[inline(always)]
    fn rounded<S: Simd>(self, simd: S, x: S::f64s) -> Rounded<S> {
        let splat = |v: f64| S::f64s::splat(simd, v);
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.factors;
        let zero = splat(0.0);
        let is_negative = x.simd_lt(zero);
        let t = x * input_scale; // exact
        let curve = expm1(simd, t.max(splat(EXPM1_SMALLEST)).min(zero)) * negative;

        // The results with little or no error are pairs: a product, and -negative plus a tiny number.
        let is_linear = is_negative & t.simd_gt(splat(LINEAR));
        let is_saturated = t.simd_lt(splat(SATURATED));
        let is_pair = is_linear | is_saturated | !is_negative;
        let (value, error) = if is_pair.any_true() {
            let linear = two_product(simd, x, splat(negative * input_scale));
            let square = linear.high * t * 0.5;
            let tiny = f64::MIN_POSITIVE.copysign(negative);
            let is_infinite = x.simd_eq(splat(f64::NEG_INFINITY));
            let high = is_saturated.select(splat(-negative), x * positive);
            let low = (is_saturated & !is_infinite).select(splat(tiny), zero);
            let pair = Pair::<S> {
                high: is_linear.select(linear.high, high),
                low: is_linear.select(linear.low + square, low),
            };
            let error = linear_error(simd, t.min(zero));
            let value = is_pair.select(round_to_odd(simd, pair, error), curve);
            (value, is_pair.select(error, splat(ERROR)))
        } else {
            (curve, splat(ERROR))
        };
        let rounded = round(simd, self.format, value, error);
        if is_degenerate(negative) {
            return Rounded {
                value: is_negative.select(splat(-negative), rounded.value),
                undecided: rounded.undecided & !is_negative,
            };
        }
        rounded
    }
}

impl<S: Simd> Formula<S, S::f32s> for Forward {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, _: S::f32s) -> S::f32s {
        if self.is_unit {
            return unit_forward(simd, x);
        }
        let (first, second) = x.widen();
        let (first, second) = (self.rounded(simd, first), self.rounded(simd, second));
        let mut y = first.value.narrow(second.value);
        let undecided = first.undecided.narrow(second.undecided);
        y = replace(undecided, [x, x], y, |x, _| {
            let bits = exact::forward::<F32_LIMBS>(self.format.dtype, self.factors, x.into());
            from_bits(self.format.dtype, bits)
        });
        // Zeros keep their sign, and NaN its bits. `round` cannot round an infinity.
        let splat = |v: f32| S::f32s::splat(simd, v);
        let is_passed = x.simd_eq(splat(0.0)) | x.simd_eq(splat(f32::INFINITY));
        is_passed.select(x, keep_nan(simd, x, y, QUIET_NAN))
    }
}

/// The gradient from the input, or from the output.
#[derive(Clone, Copy)]
pub(in super::super) struct Backward {
    factors: RoundedFactors<f64>,
    format: Format,
    from_output: bool,
}

impl Backward {
    pub(in super::super) fn new(factors: RoundedFactors<f32>, dtype: DType, op: Op) -> Self {
        Self {
            factors: factors.into(),
            format: Format::of(dtype),
            from_output: op == Op::BackwardFromOutput,
        }
    }

    #[inline(always)]
    fn rounded<S: Simd>(self, simd: S, x: S::f64s, grad: S::f64s) -> Rounded<S> {
        let splat = |v: f64| S::f64s::splat(simd, v);
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.factors;
        let zero = splat(0.0);
        let is_above = x.simd_gt(zero);
        let x = x.min(zero);
        // The result is `pair` where `is_pair` holds, else `curve`. The exponential is that of `t`.
        let (t, pair, is_pair, curve, sign);
        if self.from_output {
            let sum = two_sum::<S>(x, splat(negative));
            t = zero;
            pair = product_of_sum(simd, grad * input_scale, sum);
            is_pair = x.simd_le(zero);
            curve = zero;
            sign = sign_of_sum(simd, x, sum.high);
        } else {
            t = x * input_scale; // exact
            let product = two_product(simd, grad, splat(negative * input_scale));
            let (n, expm1) = reduce(simd, t.max(splat(EXP_SMALLEST)));
            let scaled = product.high * power_of_two(simd, n);
            pair = Pair::<S> {
                high: product.high,
                low: product.high * t + product.low,
            };
            is_pair = t.simd_gt(splat(LINEAR));
            curve = expm1.mul_add(scaled, scaled);
            sign = sign_of_slope(simd, negative, t.simd_le(splat(EXP_UNDERFLOWS)));
        }
        let is_pair = is_pair | is_above;
        let (value, error) = if is_pair.any_true() {
            let pair = Pair::<S> {
                high: is_above.select(grad * positive, pair.high),
                low: is_above.select(zero, pair.low),
            };
            let error = linear_error(simd, t);
            let value = is_pair.select(round_to_odd(simd, pair, error), curve);
            (value, is_pair.select(error, splat(ERROR)))
        } else {
            (curve, splat(ERROR))
        };
        let Rounded { value, undecided } = round(simd, self.format, value, error);

        // If `grad` or the slope is 0, infinite or NaN, `grad * sign` gives the value that IEEE 754 requires.
        let slope = if self.from_output || is_degenerate(negative) {
            sign
        } else {
            splat(1.0) // a product with an exponential that underflows may still be a number
        };
        let is_ordinary = is_number(simd, grad) & (is_above | is_number(simd, slope));
        let special = is_above.select(grad * positive, grad * sign);
        Rounded {
            value: is_ordinary.select(value, special),
            undecided: undecided & is_ordinary,
        }
    }
}

/// Returns `factor` times an exact sum. The sign of `low` is exact, and it is 0 only if the product is `high`. `factor`
/// must have at most 48 bits.
#[inline(always)]
fn product_of_sum<S: Simd>(simd: S, factor: S::f64s, sum: Pair<S>) -> Pair<S> {
    let product = two_product(simd, factor, sum.high);
    let low = if has_fma(simd.level()) {
        factor.mul_add(sum.low, product.low)
    } else {
        let rest = two_product(simd, factor, sum.low);
        let total = two_sum::<S>(product.low, rest.high);
        total.high + (total.low + rest.low)
    };
    Pair {
        high: product.high,
        low,
    }
}

impl<S: Simd> Formula<S, S::f32s> for Backward {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let (xs, grads) = (x.widen(), grad.widen());
        let first = self.rounded(simd, xs.0, grads.0);
        let second = self.rounded(simd, xs.1, grads.1);
        let mut y = first.value.narrow(second.value);
        let undecided = first.undecided.narrow(second.undecided);
        // The gradient from the output is never undecided.
        y = replace(undecided, [x, grad], y, |x, grad| {
            let (x, grad) = (x.into(), grad.into());
            let bits = exact::backward::<F32_LIMBS>(self.format.dtype, self.factors, x, grad);
            from_bits(self.format.dtype, bits)
        });
        keep_nan(simd, x, y, QUIET_NAN)
    }
}

const QUIET_NAN: f32 = f32::from_bits(0x7fc0_0000);

#[expect(
    clippy::cast_possible_truncation,
    reason = "a narrower dtype uses only the lower bits"
)]
pub(super) fn from_bits(dtype: DType, bits: u64) -> f32 {
    match dtype {
        DType::F16 => f16::from_bits(bits as u16).into(),
        DType::BF16 => bf16::from_bits(bits as u16).into(),
        DType::F32 | DType::F64 => f32::from_bits(bits as u32),
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::cpu::{name, tests::levels};

    /// Returns the sum high + low, rounded to float32, for a result with this t, or `None` if it is undecided.
    #[inline(always)]
    fn rounded<S: Simd>(simd: S, high: f64, low: f64, t: f64) -> Option<f64> {
        let [high, low, t] = [high, low, t].map(|v| S::f64s::splat(simd, v));
        let error = linear_error(simd, t);
        let value = round_to_odd(simd, Pair { high, low }, error);
        let Rounded { value, undecided } = round(simd, Format::of(DType::F32), value, error);
        (!undecided.any_true()).then_some(value[0])
    }

    /// The middle between 1 and the next float is 1 + 2^-24.
    #[test]
    fn a_pair_is_undecided_if_its_error_could_change_the_result() {
        let power = |exponent| 2f64.powi(exponent);
        let middle = 1.0 + power(-24);
        let next = 1.0 + power(-23);
        for (high, low, t, expected) in [
            (middle, power(-97), -power(-50), None),
            (middle, -power(-97), -power(-50), None),
            (middle, 0.0, -power(-73), None),
            // The pair is far enough from the middle, or not close to any.
            (middle, power(-90), -power(-50), Some(next)),
            (middle, -power(-90), -power(-50), Some(1.0)),
            (1.0 + power(-25), power(-97), -power(-50), Some(1.0)),
            (next, 0.0, -power(-50), Some(next)),
            // t is so small that the pair's sign decides, or there is no exponential.
            (middle, power(-97), -power(-74), Some(next)),
            (middle, -power(-97), -power(-80), Some(1.0)),
            (middle, 0.0, 0.0, Some(1.0)),
        ] {
            for level in levels() {
                let found = dispatch!(level, simd => rounded(simd, high, low, t));
                let level = name(level);
                assert_eq!(found, expected, "{level}: {high:e} + {low:e}, t {t:e}");
            }
        }
    }
}
