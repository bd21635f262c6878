//! How far a result is from the exact value, and whether the contract allows it. The tests judge by this file too.

use dashu_float::{FBig, round::mode::HalfEven};
use wgpu_elu::{
    DType, Factors,
    half::{bf16, f16},
    reference,
    shader::Op,
};

/// What is computed, in which format, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    pub(crate) op: Op,
    pub(crate) dtype: DType,
    pub(crate) factors: Factors,
}

/// What is to be said of one result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// The distance from the exact value, in units of the format's spacing there. Infinite for what is no number, or the
    /// wrong one, where another was due.
    pub(crate) ulp: f64,
    /// Whether no other number of the format is nearer to the exact value.
    pub(crate) is_nearest: bool,
    /// Whether the contract allows it.
    pub(crate) is_allowed: bool,
}

/// The exact value, as a sum of two.
#[derive(Clone, Copy, Debug)]
struct Exact {
    high: f64,
    low: f64,
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
    /// Judges the result `y` for `x` (or, for a gradient from the output, the output) and `grad`, all as bits. Forward
    /// takes no notice of `grad`.
    pub(crate) fn judge(&self, x_bits: u64, grad_bits: u64, y_bits: u64) -> Verdict {
        let Self { op, dtype, .. } = *self;
        let [x, grad, y] = [x_bits, grad_bits, y_bits].map(|bits| value(dtype, bits));
        let products = self.products();
        if op == Op::Forward {
            let passes = x.is_nan() || x == 0.0 || (x > 0.0 && products.positive == 1.0);
            if passes {
                return Verdict::right_if(x_bits == y_bits);
            }
        } else {
            if x.is_nan() || grad.is_nan() {
                return Verdict::right_if(y.is_nan());
            }
            if op == Op::BackwardFromOutput && x < -2.0 * products.negative {
                return Verdict::RIGHT; // no input has that output
            }
            if x > 0.0 && products.positive == 1.0 {
                return Verdict::right_if(grad_bits == y_bits);
            }
            if grad.is_infinite() || products.negative.is_infinite() {
                let slope = self.rounded_slope(x);
                let exact = grad * slope;
                return Verdict::right_if(y == exact || (y.is_nan() && exact.is_nan()));
            }
        }
        let exact = self.exact(x, grad);
        if exact.high.is_nan() || y.is_nan() {
            return Verdict::right_if(exact.high.is_nan() && y.is_nan());
        }
        let nearest = nearest(dtype, exact);
        if y.is_infinite() || nearest.is_infinite() {
            return Verdict::right_if(y == nearest);
        }
        if exact.high == 0.0 {
            return Verdict::right_if(y.to_bits() == exact.high.to_bits());
        }
        let ulp = ((y - exact.high) - exact.low).abs() / spacing(dtype, exact.high);
        let is_nearest = y == nearest;
        let is_near = if self.is_rounded_correctly() {
            is_nearest
        } else {
            ulp <= self.most_ulp()
        };
        Verdict {
            ulp,
            is_nearest,
            is_allowed: is_near,
        }
    }

    /// The contract, in ULP.
    pub(crate) fn most_ulp(&self) -> f64 {
        match self.dtype {
            DType::F64 => 2.0,
            _ => 1.0,
        }
    }

    /// Whether the contract is even the nearest number: for 16 bits and plain ELU.
    pub(crate) fn is_rounded_correctly(&self) -> bool {
        matches!(self.dtype, DType::F16 | DType::BF16)
            && self.op == Op::Forward
            && self.factors == Factors::elu(1.0)
    }

    fn exact(&self, x: f64, grad: f64) -> Exact {
        let Rounded {
            negative,
            positive,
            input_scale,
        } = self.products();
        // In f64 the results for narrower formats have 29 bits to spare, but its own need more.
        let is_wide = self.dtype == DType::F64;
        let are_regular = |values: &[f64]| values.iter().all(|&v| is_finite_and_not_zero(v));
        match self.op {
            Op::Forward if x > 0.0 => product(positive, x, 1.0),
            Op::Forward if is_wide && x.is_finite() && are_regular(&[negative]) => {
                wide_exact([negative, 1.0, 1.0], input_scale, x, FBig::exp_m1)
            }
            Op::Forward => Exact::from(reference::family(x, negative, 1.0, input_scale)),
            Op::Backward | Op::BackwardFromOutput if x > 0.0 => product(positive, grad, 1.0),
            Op::Backward if is_wide && x.is_finite() && are_regular(&[negative, grad]) => {
                wide_exact([negative, input_scale, grad], input_scale, x, FBig::exp)
            }
            // A product of two numbers of 24 bits is exact in f64.
            Op::Backward => Exact::from(grad * (negative * input_scale * (input_scale * x).exp())),
            Op::BackwardFromOutput if is_wide => {
                narrow((wide(x) + wide(negative)) * wide(input_scale) * wide(grad))
            }
            Op::BackwardFromOutput => Exact::from(grad * (input_scale * (x + negative))),
        }
    }

    /// The slope as the format of the arithmetic has it: that decides what becomes of an infinite gradient.
    fn rounded_slope(&self, x: f64) -> f64 {
        let products = self.products();
        let factor = match self.op {
            _ if x > 0.0 => return products.positive,
            Op::BackwardFromOutput => x + products.negative,
            Op::Forward | Op::Backward => (products.input_scale * x).exp(),
        };
        // Half of the smallest number rounds to zero.
        let zero_to = match self.dtype {
            DType::F64 => 0.0,
            _ => 0.5f64.powi(150),
        };
        let factor = if factor.abs() <= zero_to { 0.0 } else { factor };
        match self.op {
            Op::BackwardFromOutput => products.input_scale * factor,
            Op::Forward | Op::Backward => products.negative * factor,
        }
    }

    fn products(&self) -> Rounded {
        let (alpha, scale) = (self.factors.alpha(), self.factors.scale());
        let input_scale = self.factors.input_scale();
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

/// The number that `bits` stand for; every format's fit in an `f64`.
pub(crate) fn value(dtype: DType, bits: u64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper bits are those of no format"
    )]
    match dtype {
        DType::F16 => f16::from_bits(bits as u16).into(),
        DType::BF16 => bf16::from_bits(bits as u16).into(),
        DType::F32 => f32::from_bits(bits as u32).into(),
        DType::F64 => f64::from_bits(bits),
        _ => f64::NAN,
    }
}

/// The bits of the number of `dtype` that is nearest to `value`.
pub(crate) fn bits(dtype: DType, value: f64) -> u64 {
    match dtype {
        // From f64, the crate drops 32 bits before it rounds.
        DType::F16 => f16::from_f32(round_to_odd(value)).to_bits().into(),
        DType::BF16 => bf16::from_f32(round_to_odd(value)).to_bits().into(),
        DType::F64 => value.to_bits(),
        _ => round(value).to_bits().into(),
    }
}

/// The smallest normal number.
pub(crate) fn smallest_normal(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::MIN_POSITIVE.into(),
        DType::F64 => f64::MIN_POSITIVE,
        _ => f32::MIN_POSITIVE.into(),
    }
}

// ---- Internals ----

/// The products of the factors, rounded as the kernels round them.
struct Rounded {
    negative: f64,
    positive: f64,
    input_scale: f64,
}

impl From<f64> for Exact {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn round(value: f64) -> f32 {
    value as f32
}

/// Rounded so that rounding once more, to half the bits or fewer, gives what rounding once would have given.
fn round_to_odd(value: f64) -> f32 {
    let rounded = round(value);
    if f64::from(rounded) == value || !rounded.is_finite() {
        return rounded;
    }
    let away = f64::from(rounded).abs() > value.abs();
    f32::from_bits((rounded.to_bits() - u32::from(away)) | 1)
}

fn to_f32(value: f64) -> f64 {
    round(value).into()
}

fn is_finite_and_not_zero(value: f64) -> bool {
    value.is_finite() && value != 0.0
}

type Wide = FBig<HalfEven, 2>;

/// Enough bits for a difference from an `f64` to have dozens of them.
fn wide(value: f64) -> Wide {
    let value = Wide::try_from(value).unwrap_or(Wide::ZERO);
    value.with_precision(160).value()
}

fn narrow(value: Wide) -> Exact {
    // The crate makes zero of what is subnormal, and infinity of what rounds to the largest.
    const SCALE: f64 = (1u128 << 100) as f64;
    let high = value.to_f64().value();
    if high.abs() < 1e-300 {
        return ((value * wide(SCALE)).to_f64().value() / SCALE).into();
    }
    if high.is_infinite() {
        return ((value * wide(SCALE.recip())).to_f64().value() * SCALE).into();
    }
    let low = (value - wide(high)).to_f64().value();
    Exact { high, low }
}

fn product(a: f64, b: f64, c: f64) -> Exact {
    if [a, b, c].iter().all(|v| v.is_finite()) {
        narrow(wide(a) * wide(b) * wide(c))
    } else {
        Exact::from(a * b * c)
    }
}

/// The product of `factors` and `of(input_scale * x)`.
fn wide_exact(factors: [f64; 3], input_scale: f64, x: f64, of: fn(&Wide) -> Wide) -> Exact {
    // Far below, exp is zero and expm1 is -1 to any number of bits that matters, and takes long.
    let t = if input_scale * x < -1e5 {
        wide(-1e5)
    } else {
        wide(input_scale) * wide(x)
    };
    narrow(
        factors
            .iter()
            .fold(of(&t), |all, &factor| all * wide(factor)),
    )
}

/// The number of `dtype` that is nearest to `exact`.
fn nearest(dtype: DType, exact: Exact) -> f64 {
    match dtype {
        // `high` is the nearest, up to a tie.
        DType::F64 => exact.high,
        _ => value(dtype, bits(dtype, exact.high)),
    }
}

/// The distance between neighbours of `dtype` around `value`.
fn spacing(dtype: DType, value: f64) -> f64 {
    let precision = match dtype {
        DType::F16 => 10,
        DType::BF16 => 7,
        DType::F64 => 52,
        _ => 23,
    };
    // The power of two below, by the exponent's bits.
    let power =
        f64::from_bits(value.abs().max(smallest_normal(dtype)).to_bits() & f64::INFINITY.to_bits());
    power * 0.5f64.powi(precision)
}
