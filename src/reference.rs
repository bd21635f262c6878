//! ELU, its family and their gradients for one number, in `f64`: the oracle that the fast paths are judged by.
//!
//! It imports nothing and shares no code with them; it is itself judged by published values (see `tests/reference.rs`).

/// `x` where `x >= 0`, else `alpha * (exp(x) - 1)`, through `expm1` so that no digit is lost near zero.
///
/// NaN gives NaN, -0 gives -0, and an infinite or NaN alpha touches only negative `x`.
/// The formula is that of Clevert, Unterthiner and Hochreiter, <https://arxiv.org/abs/1511.07289>, equation 15.
///
/// ```
/// assert_eq!(wgpu_elu::reference::elu(-1e-20, 1.0), -1e-20);
/// assert_eq!(wgpu_elu::reference::elu(f64::NEG_INFINITY, 0.5), -0.5);
/// ```
pub fn elu(x: f64, alpha: f64) -> f64 {
    family(x, alpha, 1.0, 1.0)
}

/// The slope of [`elu`] at `x`: 1 where `x > 0`, else `alpha * exp(x)`.
///
/// At 0, where the two sides meet, it is `alpha`, as in Keras and PyTorch. NaN gives NaN.
///
/// ```
/// assert_eq!(wgpu_elu::reference::elu_grad(0.0, 0.5), 0.5);
/// ```
pub fn elu_grad(x: f64, alpha: f64) -> f64 {
    family_grad(x, alpha, 1.0, 1.0)
}

/// ELU, SELU and CELU in one: `scale * x` where `x >= 0`, else `scale * alpha * expm1(input_scale * x)`.
///
/// This is the definition of what the kernels compute, with three factors that are rounded to the type of their arithmetic first:
/// `scale * alpha`, `scale` and `input_scale`. Pass the first as `alpha` with a `scale` of 1 to get the exact value that a kernel's
/// negative side is judged by.
///
/// The formula of PyTorch's `aten::elu`. `scale` and `input_scale` are positive.
pub fn family(x: f64, alpha: f64, scale: f64, input_scale: f64) -> f64 {
    if x < 0.0 {
        scale * alpha * (input_scale * x).exp_m1()
    } else {
        scale * x
    }
}

/// The slope of [`family`] at `x`: `scale` where `x > 0`, else `scale * alpha * input_scale * exp(input_scale * x)`.
///
/// The kernels use the exact product of the rounded `scale * alpha` and the rounded `input_scale`; it is not rounded again.
pub fn family_grad(x: f64, alpha: f64, scale: f64, input_scale: f64) -> f64 {
    if x > 0.0 {
        scale
    } else {
        scale * alpha * input_scale * (input_scale * x).exp()
    }
}

/// The slope of [`family`] where its value is `y`, for `alpha > 0`: `scale` where `y > 0`, else
/// `input_scale * (y + scale * alpha)`.
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
