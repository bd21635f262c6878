//! The three numbers that make ELU, SELU and CELU of one formula, and the two of a penalty.

use crate::{
    dtype::DType,
    error::{Error, Result},
};

/// The numbers in `scale * (x >= 0 ? x : alpha * (exp(input_scale * x) - 1))`.
///
/// That is the formula of PyTorch's native kernel, `aten::elu`, from which ELU, SELU and CELU are made there too. Where a
/// function takes `impl Into<Factors>`, a plain number is ELU's alpha.
///
/// The kernels compute with these numbers rounded: `alpha * scale`, `scale`, `input_scale` and the product of all three,
/// each to `f32`, or for `f64` elements not at all.
///
/// ```
/// use wgpu_elu::Factors;
///
/// assert_eq!(Factors::from(0.5), Factors::elu(0.5));
/// assert_eq!(Factors::celu(2.0)?, Factors::new(2.0, 1.0, 0.5)?);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    alpha: f64,
    scale: f64,
    input_scale: f64,
}

impl Factors {
    /// SELU's, as published: alpha and lambda of Klambauer, Unterthiner, Mayr and Hochreiter,
    /// <https://arxiv.org/abs/1706.02515>, equation 14, with the digits that PyTorch and Keras use.
    pub const SELU: Self = Self {
        alpha: 1.673_263_242_354_377_2,
        scale: 1.050_700_987_355_480_5,
        input_scale: 1.0,
    };

    /// ELU's: `scale` and `input_scale` are 1, and `alpha` may be any number.
    pub const fn elu(alpha: f64) -> Self {
        Self {
            alpha,
            scale: 1.0,
            input_scale: 1.0,
        }
    }

    /// CELU's: `input_scale` is `1 / alpha`, so that the slope at 0 is 1 on both sides (Barron,
    /// <https://arxiv.org/abs/1704.07483>).
    ///
    /// # Errors
    ///
    /// [`Error::Factor`] unless `alpha` is between 2^-64 and 2^64.
    pub fn celu(alpha: f64) -> Result<Self> {
        check("alpha", alpha)?;
        Ok(Self {
            alpha,
            scale: 1.0,
            input_scale: 1.0 / alpha,
        })
    }

    /// All three. `alpha` may be any number.
    ///
    /// # Errors
    ///
    /// [`Error::Factor`] unless `scale` and `input_scale` are between 2^-64 and 2^64.
    pub fn new(alpha: f64, scale: f64, input_scale: f64) -> Result<Self> {
        check("scale", scale)?;
        check("input_scale", input_scale)?;
        Ok(Self {
            alpha,
            scale,
            input_scale,
        })
    }

    /// What the negative side tends to, with its sign changed and before `scale`.
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    /// What both sides are multiplied by; 1 for ELU and CELU.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// What a negative `x` is multiplied by; 1 for ELU and SELU.
    pub const fn input_scale(&self) -> f64 {
        self.input_scale
    }
}

impl From<f64> for Factors {
    fn from(alpha: f64) -> Self {
        Self::elu(alpha)
    }
}

// ---- Internals ----

/// The factors as a kernel multiplies by them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Products<T> {
    /// `alpha * scale`.
    pub(crate) negative: T,
    /// `scale`.
    pub(crate) positive: T,
    pub(crate) input_scale: T,
    /// `alpha * scale * input_scale`, the slope below 0.
    pub(crate) slope: T,
}

impl Factors {
    pub(crate) fn in_f64(&self) -> Products<f64> {
        Products {
            negative: self.alpha * self.scale,
            positive: self.scale,
            input_scale: self.input_scale,
            // In this order it is 1 for CELU, which alone has an input_scale, but for a rounding or two.
            slope: self.alpha * self.input_scale * self.scale,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    pub(crate) fn in_f32(&self) -> Products<f32> {
        let products = self.in_f64();
        Products {
            negative: products.negative as f32,
            positive: products.positive as f32,
            input_scale: products.input_scale as f32,
            slope: products.slope as f32,
        }
    }

    /// Whether the output tells which side the input was on, and how far: only if outputs of negative inputs are
    /// negative and finite.
    pub(crate) fn check_invertible(&self, dtype: DType) -> Result<()> {
        let found = self.in_f64().negative;
        let (arithmetic, rounded) = match dtype {
            DType::F64 => (DType::F64, found),
            DType::F32 | DType::F16 | DType::BF16 => (DType::F32, self.in_f32().negative.into()),
        };
        if rounded > 0.0 && rounded < f64::INFINITY {
            Ok(())
        } else {
            Err(Error::NotInvertible { found, arithmetic })
        }
    }
}

/// The factors in a penalty of `l1 * |y| + l2 * y^2` for every element, checked.
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

    /// Whether there is no term at all: then the elements do not count, NaN and infinity among them.
    pub(crate) fn is_zero(&self) -> bool {
        self.l1 == 0.0 && self.l2 == 0.0
    }

    /// The factors as a kernel multiplies by them, and what the sum is to be multiplied by.
    pub(crate) fn in_f64(&self) -> ([f64; 2], f64) {
        ([self.l1, self.l2], 1.0)
    }

    /// So too. Where the larger factor is no normal `f32`, a power of two makes it one; the smaller may underflow.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    pub(crate) fn in_f32(&self) -> ([f32; 2], f64) {
        const EXPONENT: u64 = f64::INFINITY.to_bits();
        const LARGE: f64 = (1u128 << 126) as f64;
        let largest = self.l1.max(self.l2).max(f64::MIN_POSITIVE);
        let power = f64::from_bits(largest.to_bits() & EXPONENT);
        let rescale = power / power.clamp(1.0 / LARGE, LARGE);
        let factors = [self.l1, self.l2].map(|factor| (factor / rescale) as f32);
        (factors, rescale)
    }
}

fn check(name: &'static str, found: f64) -> Result<()> {
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
        let ([l1, _], rescale) = Penalty::new(smallest, 0.0).unwrap().in_f32();
        assert!(l1 < 1e-37 && rescale < 1e-200);
    }
}
