//! ELU, its relatives and their gradients for one number in `f64`: the oracle that the fast implementations are
//! compared with.
//!
//! It imports nothing and shares no code with them. `tests/reference.rs` compares it with published values.

/// Returns `x` where `x >= 0`, else `alpha * (exp(x) - 1)`, computed with `expm1` so that no digit is lost near zero.
///
/// NaN gives NaN, -0 gives -0, and an infinite or NaN alpha affects only negative `x`. The formula is that of Clevert,
/// Unterthiner and Hochreiter, <https://arxiv.org/abs/1511.07289>, equation 15.
///
/// ```
/// assert_eq!(wgpu_elu::reference::elu(-1e-20, 1.0), -1e-20);
/// assert_eq!(wgpu_elu::reference::elu(f64::NEG_INFINITY, 0.5), -0.5);
/// ```
pub fn elu(x: f64, alpha: f64) -> f64 {
    family(x, alpha, 1.0, 1.0)
}

/// Returns the slope of [`elu`] at `x`: 1 where `x > 0`, else `alpha * exp(x)`.
///
/// At 0, where the two sides meet, the slope is `alpha`, as in Keras and PyTorch. NaN gives NaN.
///
/// ```
/// assert_eq!(wgpu_elu::reference::elu_grad(0.0, 0.5), 0.5);
/// ```
pub fn elu_grad(x: f64, alpha: f64) -> f64 {
    family_grad(x, alpha, 1.0, 1.0)
}

/// Returns ELU, SELU or CELU by one formula: `scale * x` where `x >= 0`, else `scale * alpha * expm1(input_scale * x)`.
///
/// This formula, PyTorch's `aten::elu`, defines what the kernels compute, after three factors are rounded to the type
/// of their arithmetic: `scale * alpha`, `scale` and `input_scale`. To get the exact value of a kernel's negative side,
/// pass the rounded `scale * alpha` as `alpha`, 1 as `scale`, and the rounded `input_scale`. `scale` and `input_scale`
/// must be positive.
pub fn family(x: f64, alpha: f64, scale: f64, input_scale: f64) -> f64 {
    if x < 0.0 {
        scale * alpha * (input_scale * x).exp_m1()
    } else {
        scale * x
    }
}

/// Returns the slope of [`family`] at `x`: `scale` where `x > 0`, else `scale * alpha * input_scale * exp(input_scale *
/// x)`.
///
/// For the kernels, `scale * alpha * input_scale` is the exact product of the rounded `scale * alpha` and the rounded
/// `input_scale`.
pub fn family_grad(x: f64, alpha: f64, scale: f64, input_scale: f64) -> f64 {
    if x > 0.0 {
        scale
    } else {
        scale * alpha * input_scale * (input_scale * x).exp()
    }
}

/// Returns the slope of [`family`] where its value is `y`, for `alpha > 0`: `scale` where `y > 0`, else `input_scale *
/// (y + scale * alpha)`.
///
/// ```
/// use wgpu_elu::reference::{elu, elu_grad, family_grad_from_output};
/// let y = elu(-0.5, 2.0);
/// assert!((family_grad_from_output(y, 2.0, 1.0, 1.0) - elu_grad(-0.5, 2.0)).abs() < 1e-15);
/// ```
pub fn family_grad_from_output(y: f64, alpha: f64, scale: f64, input_scale: f64) -> f64 {
    if y > 0.0 {
        scale
    } else {
        input_scale * (y + scale * alpha)
    }
}
