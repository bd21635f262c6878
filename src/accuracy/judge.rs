//! Measures the distance of a result from the exact value, and decides whether the contract allows it.

use dashu_float::{FBig, round::mode::HalfEven};

use super::format::{bits, smallest_normal, to_f32, value};
use crate::{dtype::DType, elu::Elu, op::Op, reference};

/// Judges the results of one operation on one dtype.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The operation.
    pub op: Op,
    /// The dtype of the inputs and results.
    pub dtype: DType,
    /// The function.
    pub elu: Elu,
}

/// The verdict on one result.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The distance from the exact value, in units of the spacing of the dtype's numbers there. It is infinite for a
    /// result of the wrong kind or sign: NaN or infinity instead of a number, a number instead of NaN or infinity, or
    /// -0 instead of 0.
    pub ulp: f64,
    /// Whether no other number of the dtype is nearer to the exact value.
    pub is_nearest: bool,
    /// Whether the contract allows the result.
    pub is_allowed: bool,
}

/// The result that the contract requires.
#[derive(Clone, Debug)]
enum Due {
    /// Any result, because no input has this output.
    Anything,
    /// Exactly these bits.
    Same(u64),
    /// This zero, this infinity, or any NaN.
    Special(f64),
    /// A number near this one, which has dozens of bits more than the dtype.
    Near(f64),
    /// A number near this one, for float64.
    NearWide(Wide),
}

/// The factors, rounded to the type of the arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Rounded {
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
    /// Judges the result `y` for `x` (for a gradient from the output, the output) and `grad`, all as bits. Forward
    /// ignores `grad`.
    pub fn judge(&self, x_bits: u64, grad_bits: u64, y_bits: u64) -> Verdict {
        let y = value(self.dtype, y_bits);
        match self.due(x_bits, grad_bits) {
            Due::Anything => Verdict::RIGHT,
            Due::Same(bits) => Verdict::right_if(y_bits == bits),
            Due::Special(due) => {
                Verdict::right_if(y.to_bits() == due.to_bits() || (y.is_nan() && due.is_nan()))
            }
            Due::Near(due) => {
                let nearest = nearest(self.dtype, due);
                self.compare(y, nearest, || distance(self.dtype, y, due))
            }
            Due::NearWide(due) => {
                let (nearest, unit) = nearest_wide(&due);
                self.compare(y, nearest, || distance_wide(y, due, unit))
            }
        }
    }

    /// Returns the bits of the number that is nearest to the exact result, or `None` if any result is allowed.
    pub fn nearest(&self, x_bits: u64, grad_bits: u64) -> Option<u64> {
        let dtype = self.dtype;
        match self.due(x_bits, grad_bits) {
            Due::Anything => None,
            Due::Same(bits) => Some(bits),
            Due::Special(due) | Due::Near(due) => Some(bits(dtype, due)),
            Due::NearWide(due) => Some(bits(dtype, nearest_wide(&due).0)),
        }
    }

    /// Returns whether some input has this output. Returns `true` for operations that take the input.
    pub fn is_possible(&self, x_bits: u64) -> bool {
        let x = value(self.dtype, x_bits);
        // The smallest output is -negative, rounded to the dtype.
        let smallest = value(self.dtype, bits(self.dtype, -self.products().negative));
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
            ulp <= self.most_ulp()
        };
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
    pub fn most_ulp(&self) -> f64 {
        match self.dtype {
            DType::F64 => 2.0,
            _ => 1.0,
        }
    }

    /// Returns whether the contract requires the nearest number: for 16-bit formats, forward, with unit factors.
    pub fn is_rounded_correctly(&self) -> bool {
        matches!(self.dtype, DType::F16 | DType::BF16)
            && self.op == Op::Forward
            && self.elu == Elu::new(1.0)
    }

    fn due(&self, x_bits: u64, grad_bits: u64) -> Due {
        let [x, grad] = [x_bits, grad_bits].map(|bits| value(self.dtype, bits));
        match self.op {
            Op::Forward => self.due_forward(x_bits, x),
            _ if x.is_nan() || grad.is_nan() => Due::Special(f64::NAN),
            _ if x > 0.0 => self.due_above_zero(grad_bits, grad),
            op => self.due_below_zero(op, x, grad),
        }
    }

    fn due_forward(&self, x_bits: u64, x: f64) -> Due {
        let Rounded {
            negative,
            positive,
            input_scale,
        } = self.products();
        if x.is_nan() || x == 0.0 || (x > 0.0 && positive == 1.0) {
            Due::Same(x_bits)
        } else if x > 0.0 {
            self.product(x, positive)
        } else if !is_finite_and_not_zero(negative) {
            Due::Special(-negative)
        } else if self.dtype == DType::F64 {
            Due::NearWide(exponential(input_scale, x, FBig::exp_m1) * wide(negative))
        } else {
            Due::Near(reference::family(x, negative, 1.0, input_scale))
        }
    }

    /// Returns the required gradient where x > 0.
    fn due_above_zero(&self, grad_bits: u64, grad: f64) -> Due {
        match self.products().positive {
            1.0 => Due::Same(grad_bits),
            positive => self.product(grad, positive),
        }
    }

    /// Returns the required gradient where x <= 0.
    fn due_below_zero(&self, op: Op, x: f64, grad: f64) -> Due {
        let Rounded {
            negative,
            input_scale,
            ..
        } = self.products();
        let from_output = op == Op::BackwardFromOutput;
        if from_output && x < -2.0 * negative {
            return Due::Anything;
        }
        // `sign` has the sign of the slope, and is 0, infinite or NaN if the slope is.
        let sign = if from_output {
            x + negative
        } else {
            let is_product_finite = grad.is_finite() && negative.is_finite();
            let is_zero = self.underflows(input_scale * x) && !(x.is_finite() && is_product_finite);
            let exponential: f64 = if is_zero { 0.0 } else { 1.0 };
            if is_finite_and_not_zero(negative) {
                exponential.copysign(negative)
            } else {
                negative * exponential
            }
        };
        if !is_finite_and_not_zero(grad) || !is_finite_and_not_zero(sign) {
            return Due::Special(grad * sign);
        }
        if self.dtype == DType::F64 {
            let slope = if from_output {
                wide(x) + wide(negative)
            } else {
                exponential(input_scale, x, FBig::exp) * wide(negative)
            };
            return Due::NearWide(slope * wide(input_scale) * wide(grad));
        }
        let slope = if from_output {
            x + negative
        } else {
            negative * (input_scale * x).exp()
        };
        match grad * (slope * input_scale) {
            0.0 => Due::Special(0.0f64.copysign(grad * sign)),
            due => Due::Near(due),
        }
    }

    /// Returns the required product of a number that is not NaN and a finite factor.
    fn product(&self, v: f64, factor: f64) -> Due {
        if !is_finite_and_not_zero(v) {
            Due::Special(v * factor)
        } else if self.dtype == DType::F64 {
            Due::NearWide(wide(v) * wide(factor))
        } else {
            Due::Near(v * factor) // exact
        }
    }

    /// Returns whether exp(t) rounds to 0 in the type of the arithmetic. An infinite gradient then gives NaN.
    fn underflows(&self, t: f64) -> bool {
        match self.dtype {
            DType::F64 => t.exp() == 0.0,
            _ => t.exp() <= 0.5f64.powi(150), // half of the smallest number
        }
    }

    /// Returns the factors, rounded as the arithmetic uses them.
    pub fn products(&self) -> Rounded {
        let factors = self.elu.factors();
        let (alpha, scale) = (factors.alpha(), factors.scale());
        let input_scale = factors.input_scale();
        let rounded = Rounded {
            negative: alpha * scale,
            positive: scale,
            input_scale,
        };
        match self.dtype {
            DType::F64 => rounded,
            _ => Rounded {
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

/// Converts to a precision that leaves dozens of correct bits in a difference from an `f64`.
fn wide(value: f64) -> Wide {
    let value = Wide::try_from(value).unwrap_or(Wide::ZERO);
    value.with_precision(160).value()
}

/// Returns `of(input_scale * x)` for a finite `x`.
fn exponential(input_scale: f64, x: f64, of: fn(&Wide) -> Wide) -> Wide {
    // For such arguments exp is zero and expm1 is -1 in every bit that matters, and computing them takes long.
    if input_scale * x < -1e5 {
        of(&wide(-1e5))
    } else {
        of(&(wide(input_scale) * wide(x)))
    }
}

/// Returns the `f64` nearest to `exact`, which must not be 0, and the exponent of the spacing of numbers there.
fn nearest_wide(exact: &Wide) -> (f64, isize) {
    let repr = exact.repr();
    let exponent = repr.exponent() + repr.digits() as isize - 1;
    let unit = exponent.max(-1022) - 52;
    // Counts up to 2^53 units. The crate's own conversion turns subnormal numbers into 0.
    let units = (exact.clone() >> unit).round().to_f64().value();
    let half = power_of_two(unit / 2);
    let nearest = units.abs() * half * power_of_two(unit - unit / 2);
    (
        if *exact < Wide::ZERO {
            -nearest
        } else {
            nearest
        },
        unit,
    )
}

/// Returns the distance in units of 2^`unit`. An infinite `y` counts as 2^1024.
fn distance_wide(y: f64, exact: Wide, unit: isize) -> f64 {
    let y = if y.is_infinite() {
        wide(y.signum()) << 1024
    } else {
        wide(y)
    };
    ((y - exact) >> unit).to_f64().value().abs()
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

/// Returns the distance in units of the dtype's spacing. An infinite `y` counts as the smallest power of two that is
/// too large for the dtype.
fn distance(dtype: DType, y: f64, exact: f64) -> f64 {
    let y = if y.is_infinite() {
        let exponent = if dtype == DType::F16 { 16 } else { 128 };
        2f64.powi(exponent).copysign(y)
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
    // The largest power of two that is not larger, from the bits of the exponent.
    let power =
        f64::from_bits(value.abs().max(smallest_normal(dtype)).to_bits() & f64::INFINITY.to_bits());
    power * 0.5f64.powi(precision)
}
