//! The three factors from which one formula makes ELU, SELU and CELU, and the two factors of a penalty.

use crate::{
    dtype::DType,
    error::{Error, Result},
    op::Op,
};

/// The factors of `scale * (x >= 0 ? x : alpha * (exp(input_scale * x) - 1))`.
///
/// This is the formula of `aten::elu`, the native kernel with which PyTorch computes ELU, SELU and CELU. A number
/// converts into the factors of ELU with that alpha.
///
/// The kernels compute with `alpha * scale`, `scale` and `input_scale`, each rounded to `f32`, or to `f64` for `f64`
/// elements. The slope at 0 is the exact product of the rounded `alpha * scale` and the rounded `input_scale`.
///
/// ```
/// use wgpu_elu::Factors;
///
/// assert_eq!(Factors::from(0.5), Factors::elu(0.5));
/// assert_eq!(Factors::celu(2.0)?, Factors::new(2.0, 1.0, 0.5)?);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Unchecked"))]
pub struct Factors {
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_finite"))]
    alpha: f64,
    scale: f64,
    input_scale: f64,
}

impl Factors {
    /// SELU's factors: alpha and lambda of Klambauer, Unterthiner, Mayr and Hochreiter,
    /// <https://arxiv.org/abs/1706.02515>, equation 14, with the digits that PyTorch and Keras use.
    pub const SELU: Self = Self {
        alpha: 1.673_263_242_354_377_2,
        scale: 1.050_700_987_355_480_5,
        input_scale: 1.0,
    };

    /// Returns ELU's factors: `scale` and `input_scale` are 1, and `alpha` may be any number.
    pub const fn elu(alpha: f64) -> Self {
        Self {
            alpha,
            scale: 1.0,
            input_scale: 1.0,
        }
    }

    /// Returns CELU's factors: `input_scale` is `1 / alpha`, so that the slope at 0 is 1 on both sides (Barron,
    /// <https://arxiv.org/abs/1704.07483>).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Factor`] unless `alpha` is between 2^-64 and 2^64.
    pub fn celu(alpha: f64) -> Result<Self> {
        check_range("alpha", alpha)?;
        Ok(Self {
            alpha,
            scale: 1.0,
            input_scale: 1.0 / alpha,
        })
    }

    /// Creates factors from all three numbers. `alpha` may be any number.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Factor`] unless `scale` and `input_scale` are between 2^-64 and 2^64.
    pub fn new(alpha: f64, scale: f64, input_scale: f64) -> Result<Self> {
        check_range("scale", scale)?;
        check_range("input_scale", input_scale)?;
        Ok(Self {
            alpha,
            scale,
            input_scale,
        })
    }

    /// Returns alpha. The negative side tends to `-alpha * scale`.
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Returns the factor of both sides, which is 1 for ELU and CELU.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns the factor of a negative `x` inside `exp`, which is 1 for ELU and SELU.
    pub const fn input_scale(&self) -> f64 {
        self.input_scale
    }
}

impl From<f64> for Factors {
    fn from(alpha: f64) -> Self {
        Self::elu(alpha)
    }
}

impl From<f32> for Factors {
    fn from(alpha: f32) -> Self {
        Self::elu(alpha.into())
    }
}

// ---- Internals ----

/// Serializes alpha. In text formats it must be finite: JSON has no infinity and no NaN, and `serde_json` would write
/// null.
#[cfg(feature = "serde")]
pub(crate) fn serialize_finite<S: serde::Serializer>(
    alpha: &f64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if alpha.is_finite() || !serializer.is_human_readable() {
        serializer.serialize_f64(*alpha)
    } else {
        Err(serde::ser::Error::custom(format!(
            "JSON has no number for alpha {alpha}"
        )))
    }
}

/// The factors as serde reads them, before they are checked.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    alpha: f64,
    scale: f64,
    input_scale: f64,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for Factors {
    type Error = Error;

    fn try_from(
        Unchecked {
            alpha,
            scale,
            input_scale,
        }: Unchecked,
    ) -> Result<Self> {
        Self::new(alpha, scale, input_scale)
    }
}

/// The factors that a kernel multiplies by, each rounded to the type of its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RoundedFactors<T> {
    /// `alpha * scale`, the factor of the negative side.
    pub(crate) negative: T,
    /// `scale`, the factor of the positive side.
    pub(crate) positive: T,
    pub(crate) input_scale: T,
}

impl From<RoundedFactors<f32>> for RoundedFactors<f64> {
    fn from(factors: RoundedFactors<f32>) -> Self {
        Self {
            negative: factors.negative.into(),
            positive: factors.positive.into(),
            input_scale: factors.input_scale.into(),
        }
    }
}

/// The special cases that apply to the factors of an operation. The CPU path chooses its code by this class, and a
/// kernel its shader by `unit_factors` and `unit_input_scale`. The shaders recognize degenerate factors themselves, by
/// their bits, in `shaders/forward.wgsl`, `shaders/nearest/forward.wgsl` and `shaders/gradient_cases.wgsl`; their
/// condition must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// `alpha * scale` is 0, infinite or NaN. Its product with any negative number is then `alpha * scale` itself with
    /// the opposite sign.
    pub(crate) degenerate: bool,
    /// Every factor that the operation multiplies by is 1, on both sides of 0.
    pub(crate) unit_factors: bool,
    /// `input_scale` is 1.
    pub(crate) unit_input_scale: bool,
}

/// A number as `(high + low) * 2^exponent` with `1 <= |high| < 2`. `high` has so few bits that the product of two such
/// numbers is exact; `low` is the rounded remainder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Split<T> {
    pub(crate) high: T,
    pub(crate) low: T,
    pub(crate) exponent: i32,
}

impl Factors {
    pub(crate) fn in_f64(&self) -> RoundedFactors<f64> {
        RoundedFactors {
            negative: self.alpha * self.scale,
            positive: self.scale,
            input_scale: self.input_scale,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    pub(crate) fn in_f32(&self) -> RoundedFactors<f32> {
        let factors = self.in_f64();
        RoundedFactors {
            negative: factors.negative as f32,
            positive: factors.positive as f32,
            input_scale: factors.input_scale as f32,
        }
    }

    /// Classifies the factors for `op` on elements of `dtype`.
    pub(crate) fn class(&self, dtype: DType, op: Op) -> Class {
        match dtype {
            DType::F64 => self.in_f64().class(op),
            DType::F32 | DType::F16 | DType::BF16 => self.in_f32().class(op),
        }
    }

    /// Fails unless the slope can be computed from the output, which requires that negative inputs have negative,
    /// finite outputs.
    pub(crate) fn check_invertible(&self, dtype: DType) -> Result<()> {
        let found = self.in_f64().negative;
        let arithmetic = dtype.arithmetic_dtype();
        let rounded = match arithmetic {
            DType::F64 => found,
            _ => self.in_f32().negative.into(),
        };
        if rounded > 0.0 && rounded < f64::INFINITY {
            Ok(())
        } else {
            Err(Error::NotInvertible { found, arithmetic })
        }
    }
}

macro_rules! rounded_factors {
    ($float:ident, $split:expr) => {
        impl RoundedFactors<$float> {
            /// Classifies the factors for `op`.
            pub(crate) fn class(&self, op: Op) -> Class {
                let unit_input_scale = self.has_unit_input_scale();
                let unit_scales = self.positive == 1.0 && unit_input_scale;
                Class {
                    degenerate: self.is_degenerate(),
                    unit_factors: match op {
                        Op::Forward | Op::Backward => unit_scales && self.negative == 1.0,
                        Op::BackwardFromOutput => unit_scales, // `negative` is added, not a factor
                    },
                    unit_input_scale,
                }
            }

            /// Returns whether `input_scale` is 1.
            pub(crate) fn has_unit_input_scale(&self) -> bool {
                self.input_scale == 1.0
            }

            /// Returns whether `negative` is 0, infinite or NaN.
            pub(crate) fn is_degenerate(&self) -> bool {
                self.negative == 0.0 || !self.negative.is_finite()
            }

            /// Splits `negative`, or 1 if the factors are degenerate.
            pub(crate) fn split_negative(&self) -> Split<$float> {
                $split(self.finite_negative(), 1.0)
            }

            pub(crate) fn split_positive(&self) -> Split<$float> {
                $split(self.positive, 1.0)
            }

            pub(crate) fn split_input_scale(&self) -> Split<$float> {
                $split(self.input_scale, 1.0)
            }

            /// Splits `negative * input_scale`, the slope at 0. If the factors are degenerate, 1 replaces
            /// `negative`. The product is not rounded to one number: it keeps about 1.5 times the precision of the
            /// type, and it cannot overflow.
            pub(crate) fn split_slope(&self) -> Split<$float> {
                $split(self.finite_negative(), self.input_scale)
            }

            pub(crate) fn finite_negative(&self) -> $float {
                if self.is_degenerate() {
                    1.0
                } else {
                    self.negative
                }
            }
        }
    };
}

rounded_factors!(f32, split_f32);
rounded_factors!(f64, split_f64);

/// Splits `a * b` after 12 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn split_f32(a: f32, b: f32) -> Split<f32> {
    let (significand, exponent) = normalize(f64::from(a) * f64::from(b)); // exact
    let high = f64::from_bits(significand.to_bits() & !((1 << 41) - 1));
    Split {
        high: high as f32,
        low: (significand - high) as f32,
        exponent,
    }
}

/// Splits `a * b` after 26 bits.
fn split_f64(a: f64, b: f64) -> Split<f64> {
    let ((a, a_exponent), (b, b_exponent)) = (normalize(a), normalize(b));
    let product = a * b;
    let lost = a.mul_add(b, -product); // the rounding error of the product
    let (significand, carry) = normalize(product);
    let power = product / significand; // 2^carry
    let high = f64::from_bits(significand.to_bits() & !((1 << 27) - 1));
    Split {
        high,
        low: (significand - high) + lost / power,
        exponent: a_exponent + b_exponent + carry,
    }
}

/// Returns the significand of a finite, non-zero `v`, with its sign and a magnitude from 1 to 2, and its exponent.
fn normalize(v: f64) -> (f64, i32) {
    const FRACTION: u64 = (1 << 52) - 1;
    const PRESCALE_EXPONENT: i32 = 64; // 2^64 times a subnormal number is normal
    if v.abs() < f64::MIN_POSITIVE {
        let (significand, exponent) = normalize(v * 2f64.powi(PRESCALE_EXPONENT));
        return (significand, exponent - PRESCALE_EXPONENT);
    }
    let bits = v.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    let sign = bits & 1 << 63;
    (
        f64::from_bits(sign | bits & FRACTION | 1.0f64.to_bits()),
        exponent,
    )
}

/// The checked factors of a penalty, which adds `l1 * |y| + l2 * y^2` for every element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Penalty {
    l1: f64,
    l2: f64,
}

impl Penalty {
    pub(crate) fn new(l1: f64, l2: f64) -> Result<Self> {
        for (name, found) in [("l1", l1), ("l2", l2)] {
            if !(0.0..f64::INFINITY).contains(&found) {
                return Err(Error::RegularizerFactor { name, found });
            }
        }
        Ok(Self { l1, l2 })
    }

    /// Returns whether both factors are 0. The elements then do not matter, not even NaN and infinity.
    pub(crate) fn is_zero(&self) -> bool {
        self.l1 == 0.0 && self.l2 == 0.0
    }

    /// Returns the factors that a kernel multiplies by, and the number that the sum must be multiplied by at the end.
    ///
    /// If the larger factor is at least 2^1023, both are divided by 2, so that `l1 + l2 * |y|` stays finite for
    /// `|y| <= 1` and overflows only if the penalty does.
    pub(crate) fn in_f64(&self) -> ([f64; 2], f64) {
        let rescale = if self.l1.max(self.l2) > f64::MAX / 2.0 {
            2.0
        } else {
            1.0
        };
        ([self.l1 / rescale, self.l2 / rescale], rescale)
    }

    /// Returns what [`Penalty::in_f64`] returns, in `f32`.
    ///
    /// If the larger factor is less than 2^-126 or at least 2^127, both are divided by the power of two that brings it
    /// into this range; the smaller factor may then underflow. (Factors that are subnormal in `f64` remain below the
    /// range.) Factors below 2^127 keep `l1 + l2 * |y|` finite for `|y| <= 1`, so it overflows only if the penalty
    /// does.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    pub(crate) fn in_f32(&self) -> ([f32; 2], f64) {
        const EXPONENT: u64 = f64::INFINITY.to_bits(); // the mask of the exponent bits
        const LARGE: f64 = (1u128 << 126) as f64;
        let largest = self.l1.max(self.l2).max(f64::MIN_POSITIVE);
        let power = f64::from_bits(largest.to_bits() & EXPONENT); // the largest power of two up to it
        let rescale = power / power.clamp(1.0 / LARGE, LARGE);
        let factors = [self.l1, self.l2].map(|factor| (factor / rescale) as f32);
        (factors, rescale)
    }
}

/// Fails unless the factor is between 2^-64 and 2^64. Within these limits, all bounds that are divided by
/// `input_scale`, such as `InputScale::small` of the CPU path, are normal numbers in `f32`.
fn check_range(name: &'static str, found: f64) -> Result<()> {
    const MAX: f64 = (1u128 << 64) as f64;
    if (1.0 / MAX..=MAX).contains(&found) {
        Ok(())
    } else {
        Err(Error::Factor { name, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_penaltys_factors_are_normal_in_f32() {
        let smallest = f64::from_bits(1);
        for factor in [1e-300, 1e-40, 1e-38, 0.01, 1.0, 3e38, 4e38, 1e300, f64::MAX] {
            let ([l1, l2], rescale) = Penalty::new(0.0, factor).unwrap().in_f32();
            assert!(l1 == 0.0 && l2.is_normal(), "{factor:e}");
            let error = f64::from(l2) / (factor / rescale) - 1.0;
            assert!(error.abs() < 6e-8, "{factor:e}");
            assert_eq!(
                rescale == 1.0,
                (1.2e-38..1.7e38).contains(&factor),
                "{factor:e}"
            );
        }
        // A factor that is subnormal in `f64` may become 0. The error bound of a penalty allows this.
        let ([l1, _], rescale) = Penalty::new(smallest, 0.0).unwrap().in_f32();
        assert_eq!((l1, rescale), (0.0, 0.5f64.powi(896)));
    }

    #[test]
    fn a_penaltys_factors_are_halved_in_f64_if_their_sum_may_overflow() {
        let half = f64::MAX / 2.0;
        let in_f64 = |factor| Penalty::new(factor, factor).unwrap().in_f64();
        assert_eq!(in_f64(half), ([half; 2], 1.0));
        assert_eq!(in_f64(f64::MAX), ([half; 2], 2.0));
    }
}
