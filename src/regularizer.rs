//! Keras' activity regularizer over tensors, on whichever device they live.

use crate::{
    cpu,
    dtype::{DType, with_element},
    error::Result,
    factors::Penalty,
    kernel::Kernel,
    tensor::Tensor,
};

/// A penalty on a layer's output: Keras' `regularizers.L1`, `L2` and `L1L2`, as an `activity_regularizer`.
///
/// ```
/// use wgpu_elu::{Device, Regularizer, Tensor};
///
/// let y = Tensor::from_slice(&Device::Cpu, &[-1.0f32, 2.0, 3.0, 0.0], &[2, 2])?;
/// let l2 = Regularizer::L2(0.5);
/// assert_eq!(l2.penalty(&y)?.to_vec_blocking::<f32>()?, [7.0]);
/// assert_eq!(l2.activity_loss(&y)?.to_vec_blocking::<f32>()?, [3.5]);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # Results
///
/// A result is a scalar, a tensor of the shape `[]`, on the device of `y`: nothing is read back, and on a GPU the work is
/// submitted and not waited for. It is of `float64` for a `y` of that, and else of `float32`. There Keras differs: it computes
/// in the type of `y`, so that with `float16` a sum of 65520 is infinite already. And with `float64` it keeps the
/// factors in `float32`: pass `0.1f32.into()` for its results to the last digit.
///
/// As in Keras, a term with a factor of 0 is left out. NaN in `y` gives NaN, and infinity gives infinity, unless both are.
///
/// # Accuracy
///
/// Results are within 1e-6 of the exact value, relative to it, for a `y` of any length and in whatever order a device adds, as
/// long as it rounds to the nearest number; for `float64` within 1e-14. That holds as long as the factors, the elements, the
/// terms for each, their sum and the result are 0 or normal numbers of the result's type, so for `float32` between 2^-126
/// and 2^128: what is smaller may count as 0, and what is larger is infinite.
///
/// # Errors
///
/// Those of every operation: [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) unless both factors are finite and
/// not negative, as Keras 3 has it. On a GPU: as [`Kernel::new`](crate::Kernel::new) and
/// [`Kernel::prepare_penalty`](crate::Kernel::prepare_penalty), and [`Error::DeviceLost`](crate::Error::DeviceLost).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Regularizer {
    /// The factor of the sum of all `|y|`.
    L1(f64),
    /// The factor of the sum of all `y^2`.
    L2(f64),
    /// Both.
    L1L2 {
        /// The factor of the sum of all `|y|`.
        l1: f64,
        /// The factor of the sum of all `y^2`.
        l2: f64,
    },
}

impl Regularizer {
    /// Keras' default for every factor.
    pub const DEFAULT_FACTOR: f64 = 0.01;

    /// The factor of the sum of all `|y|`; 0 if there is none.
    pub const fn l1(&self) -> f64 {
        match *self {
            Self::L1(l1) | Self::L1L2 { l1, .. } => l1,
            Self::L2(_) => 0.0,
        }
    }

    /// The factor of the sum of all `y^2`; 0 if there is none.
    pub const fn l2(&self) -> f64 {
        match *self {
            Self::L2(l2) | Self::L1L2 { l2, .. } => l2,
            Self::L1(_) => 0.0,
        }
    }

    /// Whether the factors are such as Keras 3 takes.
    ///
    /// # Errors
    ///
    /// [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) unless both are finite and not negative.
    pub fn check(&self) -> Result<()> {
        Penalty::new(self.l1(), self.l2()).map(|_| ())
    }

    /// `sum(l1 * |y|) + sum(l2 * y^2)`: what Keras calls the regularizer itself.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn penalty(&self, y: &Tensor) -> Result<Tensor> {
        self.divided(y, 1.0)
    }

    /// The penalty divided by the first dimension of `y`, the batch: what Keras adds to a model's loss. 0 if any dimension is
    /// 0, the batch included; a scalar is not divided.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn activity_loss(&self, y: &Tensor) -> Result<Tensor> {
        // Without elements the sum is 0, whatever divides it.
        let batch = y.shape().first().map_or(1, |&batch| batch.max(1));
        self.divided(y, batch as f64)
    }
}

// ---- Internals ----

impl Regularizer {
    fn divided(&self, y: &Tensor, divisor: f64) -> Result<Tensor> {
        self.check()?;
        let (l1, l2) = (self.l1(), self.l2());
        let device = y.device();
        if let Some((gpu, y_bytes)) = y.on_gpu() {
            let result = Tensor::output(&device, y.dtype().arithmetic(), &[])?;
            if let Some(out) = result.as_buffer_slice() {
                let prepare =
                    |kernel: &Kernel| kernel.prepare_penalty(l1, l2, divisor, y_bytes, out);
                gpu.run(y.dtype(), "penalty", prepare)?;
            }
            return Ok(result);
        }
        let sum = with_element!(y.dtype(), E => {
            cpu::penalty::<E>(l1, l2, y.as_slice().unwrap_or_default())
        });
        let value = sum / divisor;
        match y.dtype().arithmetic() {
            DType::F64 => Tensor::from_slice(&device, &[value], &[]),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding is what is wanted"
            )]
            _ => Tensor::from_slice(&device, &[value as f32], &[]),
        }
    }
}
