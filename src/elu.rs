//! The description of the function that a kernel, a stream or a layer computes.

use crate::{error::Result, factors::Factors, rounding::Rounding};

/// The ELU activation: `x` where `x >= 0`, else `alpha * (exp(x) - 1)`; or one of its relatives SELU and CELU.
///
/// [`Kernel`](crate::Kernel), [`cpu`](crate::cpu) and [`Stream`](crate::Stream) take this description, and its own
/// methods apply it to tensors. Where a function takes `impl Into<Elu>`, a number is ELU's alpha.
///
/// ```
/// use wgpu_elu::{Device, Elu, Tensor};
///
/// let elu = Elu::new(0.5);
/// let x = Tensor::from_slice(&Device::Cpu, &[-1.0f32, 2.0], &[2])?;
/// let y = elu.forward(&x)?;
/// assert_eq!(y.to_vec_blocking::<f32>()?, [-0.31606027, 2.0]);
///
/// let grad = Tensor::from_slice(&Device::Cpu, &[1.0f32, 1.0], &[2])?;
/// let grad_x = elu.backward(&x, &grad)?;
/// assert_eq!(grad_x.to_vec_blocking::<f32>()?, [0.18393972, 1.0]);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # Errors
///
/// All operations on tensors share these errors:
///
/// - [`Error::DTypeMismatch`](crate::Error::DTypeMismatch), [`Error::ShapesDiffer`](crate::Error::ShapesDiffer) or
///   [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if a gradient or an output differs from the input in
///   dtype, shape or device.
/// - [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the result does not fit in memory.
/// - On a GPU also the errors of [`Kernel::new`](crate::Kernel::new) and [`Kernel::prepare`](crate::Kernel::prepare),
///   and [`Error::DeviceLost`](crate::Error::DeviceLost).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Fields", into = "Fields"))]
pub struct Elu {
    factors: Factors,
    rounding: Rounding,
}

impl Default for Elu {
    /// Returns ELU with `alpha = 1`.
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl From<Factors> for Elu {
    fn from(factors: Factors) -> Self {
        Self {
            factors,
            rounding: Rounding::Faithful,
        }
    }
}

impl From<f64> for Elu {
    /// Returns ELU with this alpha.
    fn from(alpha: f64) -> Self {
        Self::new(alpha)
    }
}

impl From<f32> for Elu {
    /// Returns ELU with this alpha.
    fn from(alpha: f32) -> Self {
        Self::new(alpha.into())
    }
}

impl Elu {
    /// Creates ELU with any `alpha`, which may be zero, negative, infinite or NaN. It affects only the results for
    /// negative `x`, and in gradients those for 0.
    pub const fn new(alpha: f64) -> Self {
        Self {
            factors: Factors::elu(alpha),
            rounding: Rounding::Faithful,
        }
    }

    /// Returns SELU with its published constants: see [`Factors::SELU`].
    pub const fn selu() -> Self {
        Self {
            factors: Factors::SELU,
            rounding: Rounding::Faithful,
        }
    }

    /// Creates CELU: `x` where `x >= 0`, else `alpha * (exp(x / alpha) - 1)`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Factor`](crate::Error::Factor) unless `alpha` is between 2^-64 and 2^64.
    pub fn celu(alpha: f64) -> Result<Self> {
        Ok(Factors::celu(alpha)?.into())
    }

    /// Returns the same function with results rounded as `rounding` says. By default they are
    /// [faithful](Rounding::Faithful).
    #[must_use]
    pub const fn with_rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// Returns how results are rounded.
    pub const fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Returns alpha. The negative side tends to `-alpha` (for SELU, to `-alpha * scale`).
    pub const fn alpha(&self) -> f64 {
        self.factors.alpha()
    }

    /// Returns all three factors.
    pub const fn factors(&self) -> Factors {
        self.factors
    }
}

// ---- Internals ----

/// What serde reads and writes: the factors and the rounding, which may be missing.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(serialize_with = "crate::factors::serialize_finite")]
    alpha: f64,
    scale: f64,
    input_scale: f64,
    #[serde(default)]
    rounding: Rounding,
}

#[cfg(feature = "serde")]
impl From<Elu> for Fields {
    fn from(elu: Elu) -> Self {
        Self {
            alpha: elu.factors.alpha(),
            scale: elu.factors.scale(),
            input_scale: elu.factors.input_scale(),
            rounding: elu.rounding,
        }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Fields> for Elu {
    type Error = crate::error::Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let factors = Factors::new(fields.alpha, fields.scale, fields.input_scale)?;
        Ok(Self::from(factors).with_rounding(fields.rounding))
    }
}
