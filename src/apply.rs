//! The operations of [`Elu`] on tensors, executed on the device that holds the tensors.

use crate::{
    cpu,
    dtype::with_element,
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    op::Op,
    tensor::Tensor,
};

/// Operations on tensors.
///
/// [`Elu::apply`] takes the operation as an argument; the other methods are named after the operation. On a GPU a
/// method submits the work and does not wait for it. Methods that end in `_into` write to an existing tensor. Methods
/// that end in `_in_place` replace the input, or `grad` for gradients.
///
/// Writing to a tensor does not change another tensor: a tensor that shares its memory with others gets new memory
/// first. The exception are several tensors that [`Tensor::from_buffer`] made of the same buffer.
impl Elu {
    /// Applies `op` to `x` (for [`Op::BackwardFromOutput`], the output `y`), and to `grad` if `op` takes a gradient,
    /// and returns the result in a new tensor on the same device.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
    /// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; and the [errors of all
    /// operations](Self#errors).
    pub fn apply(&self, op: Op, x: &Tensor, grad: Option<&Tensor>) -> Result<Tensor> {
        check_inputs(op, 1 + usize::from(grad.is_some()))?;
        check_alike(x, grad, Role::Gradient)?;
        let mut out = Tensor::output(&x.device(), x.dtype(), x.shape())?;
        self.run(op, Some(x), grad, &mut out)?;
        Ok(out)
    }

    /// Applies `op` as [`Elu::apply`] does, and writes the result to `out`, which must have the input's dtype, shape
    /// and device.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Elu::apply`].
    pub fn apply_into(
        &self,
        op: Op,
        x: &Tensor,
        grad: Option<&Tensor>,
        out: &mut Tensor,
    ) -> Result<()> {
        check_inputs(op, 1 + usize::from(grad.is_some()))?;
        check_alike(x, grad, Role::Gradient)?;
        check_alike(x, Some(out), Role::Output)?;
        if out.is_shared() {
            *out = self.apply(op, x, grad)?;
            return Ok(());
        }
        self.run(op, Some(x), grad, out)
    }

    /// Applies `op` as [`Elu::apply`] does, and replaces the last input, `values`, with the result. For
    /// [`Op::Forward`], `values` is `x` and the argument `x` is `None`. For a gradient, `values` is `grad` and the
    /// argument `x` is given.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Elu::apply`].
    pub fn apply_in_place(&self, op: Op, x: Option<&Tensor>, values: &mut Tensor) -> Result<()> {
        check_inputs(op, 1 + usize::from(x.is_some()))?;
        if let Some(x) = x {
            check_alike(x, Some(values), Role::Gradient)?;
        }
        if values.is_shared() {
            *values = match x {
                Some(x) => self.apply(op, x, Some(values))?,
                None => self.apply(op, values, None)?,
            };
            return Ok(());
        }
        self.run(op, x, None, values)
    }

    /// Returns ELU of `x`.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(Op::Forward, x, None)
    }

    /// Writes ELU of `x` to `y`.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn forward_into(&self, x: &Tensor, y: &mut Tensor) -> Result<()> {
        self.apply_into(Op::Forward, x, None, y)
    }

    /// Replaces `x` with ELU of `x`.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn forward_in_place(&self, x: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::Forward, None, x)
    }

    /// Returns the gradient with respect to `x`: `grad`, the gradient with respect to the output, times the slope at
    /// `x`. The slope is 1 where `x > 0`, else `alpha * exp(x)`; at 0 it is alpha.
    ///
    /// NaN in `x` or `grad` gives NaN. An infinite `grad` gives NaN where `exp(input_scale * x)` rounds to 0.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.apply(Op::Backward, x, Some(grad))
    }

    /// Writes to `out` the gradient that [`Elu::backward`] returns.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn backward_into(&self, x: &Tensor, grad: &Tensor, out: &mut Tensor) -> Result<()> {
        self.apply_into(Op::Backward, x, Some(grad), out)
    }

    /// Replaces `grad` with the gradient that [`Elu::backward`] returns.
    ///
    /// # Errors
    ///
    /// Returns the [errors of all operations](Self#errors).
    pub fn backward_in_place(&self, x: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::Backward, Some(x), grad)
    }

    /// Returns the gradient with respect to `x`, computed from the output `y`: the slope is 1 where `y > 0`, else `y +
    /// alpha`. Use it if [`Elu::forward_in_place`] has overwritten `x`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and the [errors of all
    /// operations](Self#errors).
    pub fn backward_from_output(&self, y: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.apply(Op::BackwardFromOutput, y, Some(grad))
    }

    /// Writes to `out` the gradient that [`Elu::backward_from_output`] returns.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Elu::backward_from_output`].
    pub fn backward_from_output_into(
        &self,
        y: &Tensor,
        grad: &Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        self.apply_into(Op::BackwardFromOutput, y, Some(grad), out)
    }

    /// Replaces `grad` with the gradient that [`Elu::backward_from_output`] returns.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Elu::backward_from_output`].
    pub fn backward_from_output_in_place(&self, y: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::BackwardFromOutput, Some(y), grad)
    }
}

// ---- Internals ----

impl Elu {
    /// Runs `op`. If the last input that `op` takes is `None`, `op` runs in place, and `out` holds that input. All
    /// tensors have the same dtype, shape and device, and `out` shares its memory with no other tensor.
    fn run(
        &self,
        op: Op,
        x: Option<&Tensor>,
        grad: Option<&Tensor>,
        out: &mut Tensor,
    ) -> Result<()> {
        if let Some((gpu, out_bytes)) = out.on_gpu() {
            let (x, grad) = (bytes_or(x, out_bytes)?, bytes_or(grad, out_bytes)?);
            return gpu.run(out.dtype(), op.name(), |kernel| {
                kernel.prepare_op(op, *self, x, op.has_grad().then_some(grad), out_bytes)
            });
        }
        with_element!(out.dtype(), E => {
            let x = x.map(Tensor::values::<E>).transpose()?;
            let grad = grad.map(Tensor::values::<E>).transpose()?;
            cpu::run(op, *self, x, grad, out.values_mut::<E>()?)
        })
    }
}

/// Returns the bytes of `input` on its GPU, or `out` if `input` is `None`.
fn bytes_or<'a>(
    input: Option<&'a Tensor>,
    out: wgpu::BufferSlice<'a>,
) -> Result<wgpu::BufferSlice<'a>> {
    let Some(input) = input else {
        return Ok(out);
    };
    input.gpu_bytes()
}

/// Fails if `other` is given and its dtype, shape or device differs from that of `x`. `role` is the role of `other`.
fn check_alike(x: &Tensor, other: Option<&Tensor>, role: Role) -> Result<()> {
    let Some(other) = other else {
        return Ok(());
    };
    if x.dtype() != other.dtype() {
        return Err(Error::DTypeMismatch {
            role,
            needed: x.dtype(),
            found: other.dtype(),
        });
    }
    if x.shape() != other.shape() {
        return Err(Error::ShapesDiffer {
            role,
            needed: x.shape().to_vec(),
            found: other.shape().to_vec(),
        });
    }
    if x.device() != other.device() {
        return Err(Error::DeviceMismatch {
            role,
            needed: x.device().to_string(),
            found: other.device().to_string(),
        });
    }
    Ok(())
}
