//! Nearest results of arithmetic in `f32`, which includes 16-bit elements: computed in `f64`.

use fearless_simd::prelude::*;
use half::{bf16, f16};

use super::{
    MAX_LANES, Pair, ROUNDER,
    exact::{self, F32_LIMBS},
    has_fma, is_degenerate, power_of_two, sign_of_slope, sign_of_sum, two_product, two_sum,
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
/// For t between this, -2^-48, and 0, expm1(t) = t + t^2 / 2 and exp(t) = 1 + t have relative errors below 2^-96.
const LINEAR: f64 = -1.0 / (1u64 << 48) as f64;
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

/// Numbers of the format, and whether the error could have decided the rounding.
struct Rounded<S: Simd> {
    value: S::f64s,
    undecided: <S::f64s as SimdBase<S>>::Mask,
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

/// Rounds an exact sum to odd: an inexact result gets 1 as its last bit. A second rounding to fewer bits then gives the
/// same result as a single rounding (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
/// algorithms using rounding to odd", IEEE Transactions on Computers 57, 2008).
#[inline(always)]
fn round_to_odd<S: Simd>(simd: S, sum: Pair<S>) -> S::f64s {
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
    low.simd_eq(splat(0.0)).select(high, odd)
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

        // The results without an error are pairs: a product, and -negative plus a tiny number.
        let is_linear = is_negative & t.simd_gt(splat(LINEAR));
        let is_saturated = t.simd_lt(splat(SATURATED));
        let is_exact = is_linear | is_saturated | !is_negative;
        let value = if is_exact.any_true() {
            let linear = two_product(simd, x, splat(negative * input_scale));
            let square = linear.high * t * 0.5;
            let tiny = f64::MIN_POSITIVE.copysign(negative);
            let is_infinite = x.simd_eq(splat(f64::NEG_INFINITY));
            let high = is_saturated.select(splat(-negative), x * positive);
            let low = (is_saturated & !is_infinite).select(splat(tiny), zero);
            let exact = Pair::<S> {
                high: is_linear.select(linear.high, high),
                low: is_linear.select(linear.low + square, low),
            };
            is_exact.select(round_to_odd(simd, exact), curve)
        } else {
            curve
        };
        let error = is_exact.select(zero, splat(ERROR));
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
        if undecided.any_true() {
            let exact = |x, _| exact::forward::<F32_LIMBS>(self.format.dtype, self.factors, x);
            y = replace(simd, undecided, [x, x], y, self.format, exact);
        }
        // Zeros keep their sign, and NaN its bits. `round` cannot round an infinity.
        let splat = |v: f32| S::f32s::splat(simd, v);
        let is_special = x.simd_eq(splat(0.0)) | x.simd_eq(splat(f32::INFINITY));
        let is_passed = is_special | !x.simd_eq(x);
        is_passed.select(x, canonical(simd, y))
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
        // The result is `exact` where `is_exact` holds, else `curve`.
        let (exact, is_exact, curve, sign);
        if self.from_output {
            let sum = two_sum::<S>(x, splat(negative));
            exact = product_of_sum(simd, grad * input_scale, sum);
            is_exact = x.simd_le(zero);
            curve = zero;
            sign = sign_of_sum(simd, x, sum.high);
        } else {
            let t = x * input_scale; // exact
            let product = two_product(simd, grad, splat(negative * input_scale));
            let (n, expm1) = reduce(simd, t.max(splat(EXP_SMALLEST)));
            let scaled = product.high * power_of_two(simd, n);
            exact = Pair::<S> {
                high: product.high,
                low: product.high * t + product.low,
            };
            is_exact = t.simd_gt(splat(LINEAR));
            curve = expm1.mul_add(scaled, scaled);
            sign = sign_of_slope(simd, negative, t.simd_le(splat(EXP_UNDERFLOWS)));
        }
        let is_exact = is_exact | is_above;
        let value = if is_exact.any_true() {
            let exact = Pair::<S> {
                high: is_above.select(grad * positive, exact.high),
                low: is_above.select(zero, exact.low),
            };
            is_exact.select(round_to_odd(simd, exact), curve)
        } else {
            curve
        };
        let error = is_exact.select(zero, splat(ERROR));
        let Rounded { value, undecided } = round(simd, self.format, value, error);

        // If `grad` or the slope is 0, infinite or NaN, `grad * sign` gives the value that IEEE 754 requires.
        let is_number = |v: S::f64s| v.abs().simd_gt(zero) & v.abs().simd_lt(splat(f64::INFINITY));
        let slope = if self.from_output || is_degenerate(negative) {
            sign
        } else {
            splat(1.0) // a product with an exponential that underflows may still be a number
        };
        let is_ordinary = is_number(grad) & (is_above | is_number(slope));
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
        if undecided.any_true() {
            let exact =
                |x, grad| exact::backward::<F32_LIMBS>(self.format.dtype, self.factors, x, grad);
            y = replace(simd, undecided, [x, grad], y, self.format, exact);
        }
        x.simd_eq(x).select(canonical(simd, y), x)
    }
}

/// Replaces every NaN with the quiet NaN without a payload.
#[inline(always)]
fn canonical<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    y.simd_eq(y).select(y, S::f32s::splat(simd, QUIET_NAN))
}

const QUIET_NAN: f32 = f32::from_bits(0x7fc0_0000);

/// Computes the undecided elements with integers.
#[inline(always)]
fn replace<S: Simd>(
    simd: S,
    undecided: <S::f32s as SimdBase<S>>::Mask,
    inputs: [S::f32s; 2],
    y: S::f32s,
    format: Format,
    exact: impl Fn(f64, f64) -> u64,
) -> S::f32s {
    let flags = undecided.select(S::f32s::splat(simd, 1.0), S::f32s::splat(simd, 0.0));
    let mut results = [0.0; MAX_LANES];
    y.store_slice(&mut results[..S::f32s::LEN]);
    let lanes = results.iter_mut().zip(flags.as_slice());
    let inputs = inputs[0].as_slice().iter().zip(inputs[1].as_slice());
    for ((y, &flag), (&x, &grad)) in lanes.zip(inputs) {
        if flag == 1.0 {
            *y = from_bits(format.dtype, exact(x.into(), grad.into()));
        }
    }
    S::f32s::from_slice(simd, &results[..S::f32s::LEN])
}

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
