//! Keras' activity regularizers, computed on the device of the tensor.

use crate::{
    cpu,
    dtype::{DType, with_element},
    error::Result,
    factors::Penalty,
    kernel::Kernel,
    tensor::Tensor,
};

/// A penalty on a layer's output: Keras' `regularizers.L1`, `L2` and `L1L2`, used as an `activity_regularizer`.
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
/// A result is a scalar, which is a tensor of the shape `[]`, on the device of `y`. Its dtype is `float64` if `y` is
/// `float64`, else `float32`. Nothing is read back: on a GPU, an operation submits the work and does not wait for it.
///
/// Keras differs in two ways. It computes in the dtype of `y`, so that a sum of 65520 in `float16` is infinite. For
/// `float64` it keeps the factors in `float32`; to get the same results to the last digit, pass a factor such as
/// `0.1f32.into()`.
///
/// As in Keras, a term whose factor is 0 is left out. If `y` contains NaN, the result is NaN; otherwise, if it contains
/// infinity, the result is infinite. If both factors are 0, the result is 0 for every `y`.
///
/// # Accuracy
///
/// The relative error of a `float32` result is at most 1e-6, and of a `float64` result at most 1e-14. These bounds hold
/// for any length of `y`, and for any order of additions on a device that rounds to the nearest number. They require
/// that the factors, the elements, the terms, their sum and the result are 0 or normal numbers of the result's dtype:
/// for `float32`, between 2^-126 and 2^128. Smaller numbers may be treated as 0, and larger numbers are infinite.
///
/// # Errors
///
/// Every operation returns [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) unless both factors are finite
/// and not negative, as in Keras 3. On a GPU it also returns the errors of [`Kernel::new`](crate::Kernel::new) and
/// [`Kernel::prepare_penalty`](crate::Kernel::prepare_penalty), and [`Error::DeviceLost`](crate::Error::DeviceLost).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Regularizer {
    /// The penalty `l1 * sum(|y|)`. The value is `l1`.
    L1(f64),
    /// The penalty `l2 * sum(y^2)`. The value is `l2`.
    L2(f64),
    /// The penalty `l1 * sum(|y|) + l2 * sum(y^2)`.
    L1L2 {
        /// The factor of the sum of all `|y|`.
        l1: f64,
        /// The factor of the sum of all `y^2`.
        l2: f64,
    },
}

impl Regularizer {
    /// The default value of a factor in Keras.
    pub const DEFAULT_FACTOR: f64 = 0.01;

    /// Returns the factor of the sum of all `|y|`, which is 0 for `L2`.
    pub const fn l1(&self) -> f64 {
        match *self {
            Self::L1(l1) | Self::L1L2 { l1, .. } => l1,
            Self::L2(_) => 0.0,
        }
    }

    /// Returns the factor of the sum of all `y^2`, which is 0 for `L1`.
    pub const fn l2(&self) -> f64 {
        match *self {
            Self::L2(l2) | Self::L1L2 { l2, .. } => l2,
            Self::L1(_) => 0.0,
        }
    }

    /// Checks the factors, as Keras 3 does.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) unless both factors are finite and not
    /// negative.
    pub fn check(&self) -> Result<()> {
        Penalty::new(self.l1(), self.l2()).map(|_| ())
    }

    /// Computes `l1 * sum(|y|) + l2 * sum(y^2)`, the value that Keras' regularizer returns.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every operation](Self#errors).
    pub fn penalty(&self, y: &Tensor) -> Result<Tensor> {
        self.divided_penalty(y, 1.0)
    }

    /// Computes the penalty divided by the batch size, which is the first dimension of `y`. Keras adds this value to a
    /// model's loss.
    ///
    /// The value is 0 if any dimension is 0, including the batch size. The penalty of a scalar is not divided.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every operation](Self#errors).
    pub fn activity_loss(&self, y: &Tensor) -> Result<Tensor> {
        // If the batch size is 0, the sum is 0. Dividing by 1 avoids 0 / 0.
        let batch = y.shape().first().map_or(1, |&batch| batch.max(1));
        self.divided_penalty(y, batch as f64)
    }
}

// ---- Internals ----

impl Regularizer {
    /// Computes the penalty divided by `divisor`.
    fn divided_penalty(&self, y: &Tensor, divisor: f64) -> Result<Tensor> {
        self.check()?;
        let (l1, l2) = (self.l1(), self.l2());
        let device = y.device();
        if let Some((gpu, y_bytes)) = y.on_gpu() {
            let result = Tensor::output(&device, y.dtype().arithmetic_dtype(), &[])?;
            let out = result.gpu_bytes()?;
            let prepare = |kernel: &Kernel| kernel.prepare_penalty(l1, l2, divisor, y_bytes, out);
            gpu.run(y.dtype(), "penalty", prepare)?;
            return Ok(result);
        }
        let sum = with_element!(y.dtype(), E => {
            cpu::penalty::<E>(l1, l2, y.values()?)
        });
        let value = sum / divisor;
        match y.dtype().arithmetic_dtype() {
            DType::F64 => Tensor::from_slice(&device, &[value], &[]),
            #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
            _ => Tensor::from_slice(&device, &[value as f32], &[]),
        }
    }
}
