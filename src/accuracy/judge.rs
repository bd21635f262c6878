//! Measures the distance of a result from the exact value, and decides whether the contract allows it.

use dashu_float::{FBig, round::mode::HalfEven};

use super::format::{bits, quiet_nan, smallest_normal, to_f32, value};
use crate::{dtype::DType, elu::Elu, op::Op, reference, rounding::Rounding};

/// Judges the results of one operation on one dtype.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The operation.
    pub op: Op,
    /// The dtype of the inputs and results.
    pub dtype: DType,
    /// The function, with its factors.
    pub elu: Elu,
}

/// The verdict on one result.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The distance from the exact value in ULP: the spacing of the dtype's numbers around the exact value. It is
    /// infinite for a result of the wrong kind or sign, for example NaN instead of a number, or -0 instead of 0.
    pub ulp: f64,
    /// Whether no other number of the dtype is nearer to the exact value.
    pub is_nearest: bool,
    /// Whether the contract allows the result.
    pub is_allowed: bool,
}

/// The results that the contract allows.
#[derive(Clone, Debug)]
enum Expected {
    /// Any result, because no input has this output.
    Anything,
    /// Exactly these bits.
    Same(u64),
    /// Exactly this zero or infinity; if it is NaN, any NaN, or with [`Rounding::Nearest`] the quiet NaN without a payload.
    Special(f64),
    /// A number near this exact value, which has dozens of bits more than the dtype.
    Near(f64),
    /// A number near this exact value, which has more bits than an `f64`.
    NearWide(Wide),
}

/// The factors, rounded to the type of the arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct RoundedFactors {
    /// `alpha * scale`.
    pub negative: f64,
    /// `scale`.
    pub positive: f64,
    /// `input_scale`.
    pub input_scale: f64,
}

impl Verdict {
    const RIGHT: Self = Self {
        ulp: 0.0,
        is_nearest: true,
        is_allowed: true,
    };
    const WRONG: Self = Self {
        ulp: f64::INFINITY,
        is_nearest: false,
        is_allowed: false,
    };

    fn right_if(right: bool) -> Self {
        if right { Self::RIGHT } else { Self::WRONG }
    }
}

impl Judge {
    /// Judges the result `y` for `x` (for [`Op::BackwardFromOutput`], the output) and the incoming gradient `grad`, all
    /// as bits. Forward ignores `grad`.
    pub fn judge(&self, x_bits: u64, grad_bits: u64, y_bits: u64) -> Verdict {
        let y = value(self.dtype, y_bits);
        match self.expected(x_bits, grad_bits) {
            Expected::Anything => Verdict::RIGHT,
            Expected::Same(bits) => Verdict::right_if(y_bits == bits),
            Expected::Special(expected) if expected.is_nan() => {
                let is_same_everywhere =
                    self.elu.rounding() == Rounding::Faithful || y_bits == quiet_nan(self.dtype);
                Verdict::right_if(y.is_nan() && is_same_everywhere)
            }
            Expected::Special(expected) => Verdict::right_if(y.to_bits() == expected.to_bits()),
            Expected::Near(expected) => {
                let nearest = nearest(self.dtype, expected);
                self.compare(y, nearest, || distance(self.dtype, y, expected))
            }
            Expected::NearWide(expected) => {
                let (nearest, ulp_exponent) = nearest_wide(self.dtype, &expected);
                self.compare(y, nearest, || {
                    distance_wide(self.dtype, y, expected, ulp_exponent)
                })
            }
        }
    }

    /// Returns the bits of the number that is nearest to the exact result, or `None` if any result is allowed.
    pub fn nearest(&self, x_bits: u64, grad_bits: u64) -> Option<u64> {
        let dtype = self.dtype;
        match self.expected(x_bits, grad_bits) {
            Expected::Anything => None,
            Expected::Same(bits) => Some(bits),
            Expected::Special(expected) | Expected::Near(expected) => Some(bits(dtype, expected)),
            Expected::NearWide(expected) => Some(bits(dtype, nearest_wide(dtype, &expected).0)),
        }
    }

    /// Returns whether an `x` can occur: for [`Op::BackwardFromOutput`], whether some input has this output, else
    /// `true`.
    pub fn is_possible(&self, x_bits: u64) -> bool {
        let x = value(self.dtype, x_bits);
        // The smallest output is -negative, rounded to the dtype.
        let smallest = value(
            self.dtype,
            bits(self.dtype, -self.rounded_factors().negative),
        );
        self.op != Op::BackwardFromOutput || x.is_nan() || x >= smallest
    }

    /// Judges `y` against the nearest number, which has the sign of the exact value. `ulp` computes the distance from
    /// the exact value.
    fn compare(&self, y: f64, nearest: f64, ulp: impl FnOnce() -> f64) -> Verdict {
        if y.is_nan() || y.is_sign_negative() != nearest.is_sign_negative() {
            return Verdict::WRONG;
        }
        let is_nearest = y == nearest;
        if is_nearest && y.is_infinite() {
            return Verdict::RIGHT;
        }
        let ulp = ulp();
        let is_allowed = if self.is_rounded_correctly() {
            is_nearest
        } else {
            ulp <= self.max_ulp()
        };
        // An infinity instead of a number, or the reverse, is a result of the wrong kind. It is allowed only within
        // `max_ulp` of the exact value, where `distance` counts infinity as the next power of two.
        if !is_allowed && y.is_infinite() != nearest.is_infinite() {
            return Verdict::WRONG;
        }
        Verdict {
            ulp,
            is_nearest,
            is_allowed,
        }
    }

    /// Returns the largest error that the contract allows, in ULP.
    pub fn max_ulp(&self) -> f64 {
        match self.dtype {
            DType::F64 => 2.0,
            _ => 1.0,
        }
    }

    /// Returns whether the contract requires the nearest number: for [`Rounding::Nearest`], and for 16-bit formats,
    /// forward, ELU with alpha 1.
    pub fn is_rounded_correctly(&self) -> bool {
        self.elu.rounding() == Rounding::Nearest
            || matches!(self.dtype, DType::F16 | DType::BF16)
                && self.op == Op::Forward
                && self.elu == Elu::new(1.0)
    }

    fn expected(&self, x_bits: u64, grad_bits: u64) -> Expected {
        let expected = self.usual_expected(x_bits, grad_bits);
        // If the error of the exact value could decide which number is nearest, and that matters, more bits are needed.
        let is_undecided = self.elu.rounding() == Rounding::Nearest
            && match &expected {
                Expected::Near(v) => {
                    let ulps = v.abs() / spacing(self.dtype, *v);
                    (ulps.fract() - 0.5).abs() < NEAR_MIDDLE
                }
                Expected::NearWide(v) => {
                    let (_, ulp_exponent) = nearest_wide(self.dtype, v);
                    let ulps = v.clone() >> ulp_exponent;
                    let fraction = (ulps.clone() - ulps.trunc()).to_f64().value();
                    (fraction.abs() - 0.5).abs() < NEAR_MIDDLE
                }
                Expected::Anything | Expected::Same(_) | Expected::Special(_) => false,
            };
        if is_undecided {
            let [x, grad] = [x_bits, grad_bits].map(|bits| value(self.dtype, bits));
            return Expected::NearWide(self.wide(x, grad, MANY_BITS));
        }
        expected
    }

    /// Returns the exact value with `precision` bits, for inputs that are not special.
    fn wide(&self, x: f64, grad: f64, precision: usize) -> Wide {
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.rounded_factors();
        let wide = |v| wide(v, precision);
        match self.op {
            Op::Forward if x > 0.0 => wide(x) * wide(positive),
            Op::Forward => exp_m1(input_scale, x, precision) * wide(negative),
            _ if x > 0.0 => wide(grad) * wide(positive),
            Op::Backward => {
                exp(input_scale, x, precision) * wide(negative) * wide(input_scale) * wide(grad)
            }
            Op::BackwardFromOutput => (wide(x) + wide(negative)) * wide(input_scale) * wide(grad),
        }
    }

    fn usual_expected(&self, x_bits: u64, grad_bits: u64) -> Expected {
        let [x, grad] = [x_bits, grad_bits].map(|bits| value(self.dtype, bits));
        match self.op {
            Op::Forward => self.expected_forward(x_bits, x),
            _ if x.is_nan() && self.elu.rounding() == Rounding::Nearest => Expected::Same(x_bits),
            _ if x.is_nan() || grad.is_nan() => Expected::Special(f64::NAN),
            _ if x > 0.0 => self.expected_above_zero(grad_bits, grad),
            op => self.expected_below_zero(op, x, grad),
        }
    }

    fn expected_forward(&self, x_bits: u64, x: f64) -> Expected {
        let RoundedFactors {
            negative,
            positive,
            input_scale,
        } = self.rounded_factors();
        if x.is_nan() || x == 0.0 || (x > 0.0 && positive == 1.0) {
            Expected::Same(x_bits)
        } else if x > 0.0 {
            self.product(x, positive)
        } else if !is_finite_and_not_zero(negative) {
            Expected::Special(-negative)
        } else if self.dtype == DType::F64 {
            Expected::NearWide(self.wide(x, 0.0, FEW_BITS))
        } else {
            Expected::Near(reference::family(x, negative, 1.0, input_scale))
        }
    }

    /// Returns the expected gradient where x > 0.
    fn expected_above_zero(&self, grad_bits: u64, grad: f64) -> Expected {
        match self.rounded_factors().positive {
            1.0 => Expected::Same(grad_bits),
            positive => self.product(grad, positive),
        }
    }

    /// Returns the expected gradient where x <= 0.
    fn expected_below_zero(&self, op: Op, x: f64, grad: f64) -> Expected {
        let RoundedFactors {
            negative,
            input_scale,
            ..
        } = self.rounded_factors();
        let from_output = op == Op::BackwardFromOutput;
        // No input has an output below -negative. The implementations still add `negative` exactly down to twice that,
        // but may clamp smaller outputs, so any result is right for those.
        if from_output && x < -2.0 * negative {
            return Expected::Anything;
        }
        // `sign` is 0, infinite or NaN if the slope is, else a number with the slope's sign.
        let sign = if from_output {
            x + negative
        } else {
            // An exp that underflows counts as 0 only in a product with an infinity, or if x is infinite.
            let all_finite = x.is_finite() && grad.is_finite() && negative.is_finite();
            let is_zero = self.underflows(input_scale * x) && !all_finite;
            let exponential: f64 = if is_zero { 0.0 } else { 1.0 };
            if is_finite_and_not_zero(negative) {
                exponential.copysign(negative)
            } else {
                negative * exponential
            }
        };
        if !is_finite_and_not_zero(grad) || !is_finite_and_not_zero(sign) {
            return Expected::Special(grad * sign);
        }
        if self.dtype == DType::F64 {
            return Expected::NearWide(self.wide(x, grad, FEW_BITS));
        }
        let slope = if from_output {
            x + negative
        } else {
            negative * (input_scale * x).exp()
        };
        match grad * (slope * input_scale) {
            0.0 => Expected::Special(0.0f64.copysign(grad * sign)), // underflows even in `f64`
            expected => Expected::Near(expected),
        }
    }

    /// Returns the expected product of a number that is not NaN and a finite factor.
    fn product(&self, v: f64, factor: f64) -> Expected {
        if !is_finite_and_not_zero(v) {
            Expected::Special(v * factor)
        } else if self.dtype == DType::F64 {
            Expected::NearWide(wide(v, FEW_BITS) * wide(factor, FEW_BITS))
        } else {
            Expected::Near(v * factor) // exact
        }
    }

    /// Returns whether exp(t) rounds to 0 in the type of the arithmetic. The product with an infinite gradient is then
    /// NaN.
    fn underflows(&self, t: f64) -> bool {
        match self.dtype {
            DType::F64 => t.exp() == 0.0,
            _ => t.exp() <= 0.5f64.powi(150), // half of the smallest number
        }
    }

    /// Returns the factors, rounded as the arithmetic uses them.
    pub fn rounded_factors(&self) -> RoundedFactors {
        let factors = self.elu.factors();
        let (alpha, scale) = (factors.alpha(), factors.scale());
        let input_scale = factors.input_scale();
        let rounded = RoundedFactors {
            negative: alpha * scale,
            positive: scale,
            input_scale,
        };
        match self.dtype {
            DType::F64 => rounded,
            _ => RoundedFactors {
                negative: to_f32(rounded.negative),
                positive: to_f32(rounded.positive),
                input_scale: to_f32(rounded.input_scale),
            },
        }
    }
}

// ---- Internals ----

fn is_finite_and_not_zero(value: f64) -> bool {
    value.is_finite() && value != 0.0
}

type Wide = FBig<HalfEven, 2>;

/// A precision with which the difference of an exact value and a nearby `f64` has dozens of correct bits.
const FEW_BITS: usize = 160;
/// A precision that shows on which side of the middle between two numbers an exact value lies. In `f64`, x can be as
/// small as 2^-1074, and x^2 / 2 decides.
const MANY_BITS: usize = 2400;
/// If the distance from the middle between two numbers is smaller, in ULP, the exact value is computed with
/// [`MANY_BITS`]. The error of other exact values is smaller than this.
const NEAR_MIDDLE: f64 = 1e-7;

fn wide(value: f64, precision: usize) -> Wide {
    let value = Wide::try_from(value).unwrap_or(Wide::ZERO);
    value.with_precision(precision).value()
}

/// Returns exp(t) for t = `input_scale * x` and a finite `x`. Replaces arguments below -1e5, for which the computation
/// takes long, and where exp(t) is 0 in every bit that matters.
fn exp(input_scale: f64, x: f64, precision: usize) -> Wide {
    if input_scale * x < -1e5 {
        wide(-1e5, precision).exp()
    } else {
        (wide(input_scale, precision) * wide(x, precision)).exp()
    }
}

/// Returns expm1(t) for t = `input_scale * x`. Replaces finite arguments below -1000, where expm1(t) is -1 except in
/// bits that do not matter.
fn exp_m1(input_scale: f64, x: f64, precision: usize) -> Wide {
    if x == f64::NEG_INFINITY {
        wide(-1.0, precision)
    } else if input_scale * x < -1000.0 {
        wide(-1000.0, precision).exp_m1()
    } else {
        (wide(input_scale, precision) * wide(x, precision)).exp_m1()
    }
}

/// Returns the number of `dtype` nearest to `exact`, which must not be 0, and the exponent of one ULP: the ULP is
/// 2^exponent.
fn nearest_wide(dtype: DType, exact: &Wide) -> (f64, isize) {
    let (fraction, smallest_exponent) = match dtype {
        DType::F16 => (10, -14),
        DType::BF16 => (7, -126),
        DType::F32 => (23, -126),
        DType::F64 => (52, -1022),
    };
    let repr = exact.repr();
    let exponent = repr.exponent() + repr.digits() as isize - 1;
    let ulp_exponent = exponent.max(smallest_exponent) - fraction;
    // Rounds to an integer number of ULPs, at most 2^53. `FBig::to_f64` would turn a subnormal number into 0.
    let ulps = round_to_even(exact.clone() >> ulp_exponent);
    let half = power_of_two(ulp_exponent / 2);
    let magnitude = ulps.abs() * half * power_of_two(ulp_exponent - ulp_exponent / 2);
    let nearest = if *exact < Wide::ZERO {
        -magnitude
    } else {
        magnitude
    };
    (value(dtype, bits(dtype, nearest)), ulp_exponent)
}

/// Rounds to the nearest integer, ties to even. (`FBig::round` rounds ties away from 0.)
fn round_to_even(number: Wide) -> f64 {
    let floor = number.clone().floor();
    let above_middle = (number - floor.clone()).cmp(&wide(0.5, FEW_BITS));
    let floor = floor.to_f64().value();
    let is_odd = floor % 2.0 != 0.0;
    if above_middle.is_gt() || (above_middle.is_eq() && is_odd) {
        floor + 1.0
    } else {
        floor
    }
}

/// Returns the distance of `y` from `exact` in units of 2^`ulp_exponent`. An infinite `y` counts as the smallest power
/// of two that is too large for the dtype.
fn distance_wide(dtype: DType, y: f64, exact: Wide, ulp_exponent: isize) -> f64 {
    let y = if y.is_infinite() {
        wide(y.signum(), FEW_BITS) << overflow_exponent(dtype)
    } else {
        wide(y, FEW_BITS)
    };
    ((y - exact) >> ulp_exponent).to_f64().value().abs()
}

/// Returns the exponent of the smallest power of two that is too large for the dtype.
fn overflow_exponent(dtype: DType) -> isize {
    match dtype {
        DType::F16 => 16,
        DType::BF16 | DType::F32 => 128,
        DType::F64 => 1024,
    }
}

/// Returns 2^`exponent`, even if that is 0 or infinite.
fn power_of_two(exponent: isize) -> f64 {
    let base = if exponent < 0 { 0.5f64 } else { 2.0 };
    base.powi(i32::try_from(exponent.abs()).unwrap_or(i32::MAX))
}

/// Returns the number of a narrower dtype that is nearest to `exact`.
fn nearest(dtype: DType, exact: f64) -> f64 {
    value(dtype, bits(dtype, exact))
}

/// Returns the distance of `y` from `exact` in ULP. An infinite `y` counts as the smallest power of two that is too
/// large for the dtype.
fn distance(dtype: DType, y: f64, exact: f64) -> f64 {
    let y = if y.is_infinite() {
        power_of_two(overflow_exponent(dtype)).copysign(y)
    } else {
        y
    };
    (y - exact).abs() / spacing(dtype, exact)
}

/// Returns the distance between neighbouring numbers of `dtype` around `value`.
fn spacing(dtype: DType, value: f64) -> f64 {
    let precision = match dtype {
        DType::F16 => 10,
        DType::BF16 => 7,
        DType::F64 => 52,
        _ => 23,
    };
    // The largest power of two up to the value's magnitude: only the bits of the exponent are kept.
    let power =
        f64::from_bits(value.abs().max(smallest_normal(dtype)).to_bits() & f64::INFINITY.to_bits());
    power * 0.5f64.powi(precision)
}
