//! ELU for one number, in `f64`: the oracle that the fast paths are judged by.
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
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

/// The slope of [`elu`] at `x`: 1 where `x > 0`, else `alpha * exp(x)`.
///
/// At 0, where the two sides meet, it is `alpha`, as in Keras and PyTorch. NaN gives NaN.
///
/// ```
/// assert_eq!(wgpu_elu::reference::elu_grad(0.0, 0.5), 0.5);
/// ```
pub fn elu_grad(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { 1.0 } else { alpha * x.exp() }
}
