//! ELU over tensors, on whichever device they live.

use crate::{
    cpu::{self, Given},
    dtype::{Element, with_element},
    error::{Error, Result},
    factors::Factors,
    kernel::{Kernel, Step},
    shader::Op,
    tensor::Tensor,
};

/// The ELU activation: `x` where `x >= 0`, else `alpha * (exp(x) - 1)`; and its relatives SELU and CELU.
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
/// Those of every operation. On a GPU: as [`Kernel::new`](crate::Kernel::new) and
/// [`Kernel::prepare`](crate::Kernel::prepare), and [`Error::DeviceLost`]. Everywhere: [`Error::OutOfMemory`]. With a
/// gradient: [`Error::DTypeMismatch`], [`Error::GradientShape`] and [`Error::DeviceMismatch`] unless it has the dtype, the
/// shape and the device of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elu {
    factors: Factors,
}

impl Default for Elu {
    /// With `alpha = 1`.
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl From<Factors> for Elu {
    fn from(factors: Factors) -> Self {
        Self { factors }
    }
}

impl Elu {
    /// ELU with this alpha, which may be any number: zero, negative, infinite and NaN too, which touch negative `x` only.
    pub fn new(alpha: f64) -> Self {
        Factors::elu(alpha).into()
    }

    /// SELU, with its published constants: see [`Factors::SELU`].
    pub fn selu() -> Self {
        Factors::SELU.into()
    }

    /// CELU: `x` where `x >= 0`, else `alpha * (exp(x / alpha) - 1)`.
    ///
    /// # Errors
    ///
    /// [`Error::Factor`] unless `alpha` is between 2^-64 and 2^64.
    pub fn celu(alpha: f64) -> Result<Self> {
        Ok(Factors::celu(alpha)?.into())
    }

    /// What the negative side tends to, with its sign changed (for SELU, before its scale).
    pub fn alpha(&self) -> f64 {
        self.factors.alpha()
    }

    /// All three factors.
    pub fn factors(&self) -> Factors {
        self.factors
    }

    /// ELU of `x`, in a new tensor on the same device. On a GPU the work is submitted and not waited for; so too below.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = like(x)?;
        let factors = self.factors;
        if let (Some((gpu, x_bytes)), Some(y_bytes)) = (x.on_gpu(), y.as_buffer_slice()) {
            let prepare = |kernel: &Kernel| kernel.prepare(factors, x_bytes, y_bytes);
            gpu.run(x.dtype(), Op::Forward.name(), prepare)?;
        } else {
            with_element!(x.dtype(), E => cpu::forward::<E>(factors, values(x), values_mut(&mut y))?);
        }
        Ok(y)
    }

    /// Replaces `x` by its ELU, in the same memory unless other tensors share it: those keep their values.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn forward_in_place(&self, x: &mut Tensor) -> Result<()> {
        let factors = self.factors;
        if x.is_shared() {
            *x = self.forward(x)?;
        } else if let Some((gpu, bytes)) = x.on_gpu() {
            let prepare = |kernel: &Kernel| kernel.prepare_in_place(factors, bytes);
            gpu.run(x.dtype(), Op::Forward.name(), prepare)?;
        } else {
            with_element!(x.dtype(), E => cpu::forward_in_place::<E>(factors, values_mut(x)));
        }
        Ok(())
    }

    /// The gradient with respect to `x`, in a new tensor: `grad`, the gradient with respect to the output, times the slope
    /// at `x`. That is 1 where `x > 0`, else `alpha * exp(x)`: alpha at 0.
    ///
    /// NaN in `x` or `grad` gives NaN, and so does an infinite `grad` where the slope rounds to zero.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.grad(Given::Input, x, grad)
    }

    /// Replaces `grad` by what [`Elu::backward`] returns, in the same memory unless other tensors share it: those keep
    /// their values.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn backward_in_place(&self, x: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.grad_in_place(Given::Input, x, grad)
    }

    /// As [`Elu::backward`], from the output `y` in place of `x`: the slope is 1 where `y > 0`, else `y + alpha`. Where
    /// [`Elu::forward_in_place`] has overwritten `x`, that is all there is left.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and [as listed above](Self#errors).
    pub fn backward_from_output(&self, y: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.grad(Given::Output, y, grad)
    }

    /// Replaces `grad` by what [`Elu::backward_from_output`] returns, in the same memory unless other tensors share it:
    /// those keep their values.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn backward_from_output_in_place(&self, y: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.grad_in_place(Given::Output, y, grad)
    }
}

// ---- Internals ----

impl Given {
    fn op(self) -> Op {
        match self {
            Self::Input => Op::Backward,
            Self::Output => Op::BackwardFromOutput,
        }
    }

    fn prepare(
        self,
        kernel: &Kernel,
        factors: Factors,
        [x, grad, out]: [wgpu::BufferSlice<'_>; 3],
    ) -> Result<Step> {
        match self {
            Self::Input => kernel.prepare_backward(factors, x, grad, out),
            Self::Output => kernel.prepare_backward_from_output(factors, x, grad, out),
        }
    }
}

impl Elu {
    fn grad(&self, given: Given, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        check_alike(x, grad)?;
        let mut out = like(x)?;
        let factors = self.factors;
        if let (Some((gpu, x_bytes)), Some(grad_bytes), Some(out_bytes)) =
            (x.on_gpu(), grad.as_buffer_slice(), out.as_buffer_slice())
        {
            let prepare =
                |kernel: &Kernel| given.prepare(kernel, factors, [x_bytes, grad_bytes, out_bytes]);
            gpu.run(x.dtype(), given.op().name(), prepare)?;
        } else {
            with_element!(x.dtype(), E => {
                let (x, grad, out) = (values::<E>(x), values(grad), values_mut(&mut out));
                match given {
                    Given::Input => cpu::backward(factors, x, grad, out)?,
                    Given::Output => cpu::backward_from_output(factors, x, grad, out)?,
                }
            });
        }
        Ok(out)
    }

    fn grad_in_place(&self, given: Given, x: &Tensor, grad: &mut Tensor) -> Result<()> {
        if grad.is_shared() {
            *grad = self.grad(given, x, grad)?;
            return Ok(());
        }
        check_alike(x, grad)?;
        let factors = self.factors;
        if let (Some((gpu, x_bytes)), Some(grad_bytes)) = (x.on_gpu(), grad.as_buffer_slice()) {
            let prepare =
                |kernel: &Kernel| given.prepare(kernel, factors, [x_bytes, grad_bytes, grad_bytes]);
            gpu.run(x.dtype(), given.op().name(), prepare)?;
        } else {
            with_element!(x.dtype(), E => {
                let (x, grad) = (values::<E>(x), values_mut(grad));
                match given {
                    Given::Input => cpu::backward_in_place(factors, x, grad)?,
                    Given::Output => cpu::backward_from_output_in_place(factors, x, grad)?,
                }
            });
        }
        Ok(())
    }
}

/// The tensor's values on the CPU, where `E` is its type.
fn values<E: Element>(x: &Tensor) -> &[E] {
    x.as_slice().unwrap_or_default()
}

/// So too, where no other tensor shares them.
fn values_mut<E: Element>(x: &mut Tensor) -> &mut [E] {
    x.as_mut_slice().unwrap_or_default()
}

fn like(x: &Tensor) -> Result<Tensor> {
    Tensor::output(&x.device(), x.dtype(), x.shape())
}

fn check_alike(x: &Tensor, grad: &Tensor) -> Result<()> {
    if x.dtype() != grad.dtype() {
        return Err(Error::DTypeMismatch {
            needed: x.dtype(),
            found: grad.dtype(),
        });
    }
    if x.shape() != grad.shape() {
        return Err(Error::GradientShape {
            needed: x.shape().to_vec(),
            found: grad.shape().to_vec(),
        });
    }
    if x.device() != grad.device() {
        return Err(Error::DeviceMismatch {
            needed: x.device().to_string(),
            found: grad.device().to_string(),
        });
    }
    Ok(())
}
