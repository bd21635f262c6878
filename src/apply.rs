//! The operations of [`Elu`] on tensors, on the device that they are on.

use crate::{
    cpu,
    dtype::{DType, Element, with_element},
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    op::Op,
    tensor::Tensor,
};

/// Operations on tensors.
///
/// Each is [`Elu::apply`] by name. On a GPU the work is submitted and not waited for. `_into` writes to a tensor that exists,
/// `_in_place` replaces the input, or for gradients `grad`.
///
/// What is written never shows in another tensor: if the tensor that is written to shares its memory with others, it gets new
/// memory first.
impl Elu {
    /// Applies `op` to `x` (for [`Op::BackwardFromOutput`], the output `y`), and to `grad` if `op` takes a gradient, and
    /// returns the result in a new tensor on the same device.
    ///
    /// # Errors
    ///
    /// [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
    /// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; and [as listed above](Self#errors).
    pub fn apply(&self, op: Op, x: &Tensor, grad: Option<&Tensor>) -> Result<Tensor> {
        check_inputs(op, 1 + usize::from(grad.is_some()))?;
        check_alike(x, grad, Role::Gradient)?;
        let mut out = Tensor::output(&x.device(), x.dtype(), x.shape())?;
        self.run(op, Some(x), grad, &mut out)?;
        Ok(out)
    }

    /// Does what [`Elu::apply`] does, and writes the result to `out`, which has the input's dtype, shape and device.
    ///
    /// # Errors
    ///
    /// Those of [`Elu::apply`].
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

    /// Does what [`Elu::apply`] does, and replaces the last input: for [`Op::Forward`] `values` is `x`, and no other input is
    /// given; for a gradient `values` is `grad`, and `x` is given.
    ///
    /// # Errors
    ///
    /// Those of [`Elu::apply`].
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
    /// [As listed above](Self#errors).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(Op::Forward, x, None)
    }

    /// Writes ELU of `x` to `y`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn forward_into(&self, x: &Tensor, y: &mut Tensor) -> Result<()> {
        self.apply_into(Op::Forward, x, None, y)
    }

    /// Replaces `x` by its ELU.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn forward_in_place(&self, x: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::Forward, None, x)
    }

    /// Returns the gradient with respect to `x`: `grad`, the gradient with respect to the output, times the slope at `x`. The
    /// slope is 1 where `x > 0`, else `alpha * exp(x)`: alpha at 0.
    ///
    /// NaN in `x` or `grad` gives NaN, and so does an infinite `grad` where the slope rounds to zero.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.apply(Op::Backward, x, Some(grad))
    }

    /// Writes the gradient that [`Elu::backward`] returns to `out`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn backward_into(&self, x: &Tensor, grad: &Tensor, out: &mut Tensor) -> Result<()> {
        self.apply_into(Op::Backward, x, Some(grad), out)
    }

    /// Replaces `grad` by the gradient that [`Elu::backward`] returns.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn backward_in_place(&self, x: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::Backward, Some(x), grad)
    }

    /// Returns the gradient with respect to `x` from the output `y`: the slope is 1 where `y > 0`, else `y + alpha`. Use it
    /// where [`Elu::forward_in_place`] has overwritten `x`.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and [as listed above](Self#errors).
    pub fn backward_from_output(&self, y: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.apply(Op::BackwardFromOutput, y, Some(grad))
    }

    /// Writes the gradient that [`Elu::backward_from_output`] returns to `out`.
    ///
    /// # Errors
    ///
    /// Those of [`Elu::backward_from_output`].
    pub fn backward_from_output_into(
        &self,
        y: &Tensor,
        grad: &Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        self.apply_into(Op::BackwardFromOutput, y, Some(grad), out)
    }

    /// Replaces `grad` by the gradient that [`Elu::backward_from_output`] returns.
    ///
    /// # Errors
    ///
    /// Those of [`Elu::backward_from_output`].
    pub fn backward_from_output_in_place(&self, y: &Tensor, grad: &mut Tensor) -> Result<()> {
        self.apply_in_place(Op::BackwardFromOutput, Some(y), grad)
    }
}

// ---- Internals ----

impl Elu {
    /// The input that is `None` is the last one, and `out` holds it. All tensors are alike, and `out` shares its memory with no
    /// other.
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
            let x = x.map(values::<E>).transpose()?;
            let grad = grad.map(values::<E>).transpose()?;
            cpu::run(op, *self, x, grad, values_mut::<E>(out)?)
        })
    }
}

/// The bytes of `input` on its GPU, or `last` without an input.
fn bytes_or<'a>(
    input: Option<&'a Tensor>,
    last: wgpu::BufferSlice<'a>,
) -> Result<wgpu::BufferSlice<'a>> {
    let Some(input) = input else {
        return Ok(last);
    };
    input
        .as_buffer_slice()
        .ok_or_else(|| Error::DeviceMismatch {
            role: Role::Output,
            needed: input.device().to_string(),
            found: "a GPU".into(),
        })
}

/// The tensor's values on the CPU.
fn values<E: Element>(x: &Tensor) -> Result<&[E]> {
    let found = x.dtype();
    x.as_slice().ok_or(mismatch(E::DTYPE, found))
}

/// The tensor's values on the CPU, for writing.
fn values_mut<E: Element>(x: &mut Tensor) -> Result<&mut [E]> {
    let found = x.dtype();
    x.as_mut_slice().ok_or(mismatch(E::DTYPE, found))
}

fn mismatch(needed: DType, found: DType) -> Error {
    Error::DTypeMismatch { needed, found }
}

/// Whether `other` has the dtype, shape and device of `x`.
fn check_alike(x: &Tensor, other: Option<&Tensor>, role: Role) -> Result<()> {
    let Some(other) = other else {
        return Ok(());
    };
    if x.dtype() != other.dtype() {
        return Err(mismatch(x.dtype(), other.dtype()));
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
