//! ELU, SELU and CELU of wgpu-elu for [burn](https://burn.dev), on the wgpu device that burn uses, without a copy.
//!
//! ```no_run
//! use burn::tensor::{Device, Tensor};
//!
//! let (device, setup) = Device::wgpu_options().init_with_setup()?;
//! wgpu_elu_burn::init(&device, &setup)?; // once for each device, before burn uses it
//!
//! let x = Tensor::<1>::from_data([-1e-7, -0.5, 2.0], &device);
//! let y = wgpu_elu_burn::elu(x, 1.0)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a model, [`EluConfig`], [`SeluConfig`] and [`CeluConfig`] create modules that take the place of burn's
//! `nn::Elu`, `nn::Selu` and `nn::Celu`. Results and gradients are within 1 ULP, those of `f64` within 2.
//!
//! # Tensors
//!
//! - Elements are `f32` (also burn's `Flex32`), `f16`, `bf16`, or `f64` if the device has its features.
//! - A tensor may be a view. A slice of rows and a transposed tensor are processed where they are; burn copies other
//!   views first. If nothing else uses the tensor, the result takes its memory.
//! - There are no second derivatives: burn's gradients are not part of the graph.
//! - ELU cannot be part of burn's captured graphs. `capture` makes no graph then, and its output carries an error.
//!
//! # Errors
//!
//! The functions check the tensor and return an [`Error`]. If the device fails later, the result carries the error, as
//! that of burn's own kernels does: reading the result, or anything computed from it, returns the error.

// The support of the integration tests, which unit tests use, too, names the crate.
#[cfg(test)]
extern crate self as wgpu_elu_burn;

mod backend;
mod error;
mod layout;
mod module;
mod registry;
mod work;

use burn::{backend::Dispatch, tensor::Tensor};

use backend::EluForward;
use wgpu_elu::{Op, shader::Shared};

pub use error::Error;
pub use module::{Celu, CeluConfig, Elu, EluConfig, Selu, SeluConfig};
pub use registry::init;
pub use wgpu_elu::{self, Rounding};

/// Applies ELU. A number for `elu` is alpha; a [`wgpu_elu::Elu`] also holds other factors and a [`Rounding`].
///
/// # Errors
///
/// Returns [`Error::Backend`] or [`Error::NotRegistered`] unless the tensor is on a device that [`init`] was called
/// for, [`Error::DType`] for a quantized tensor, and [`Error::Elu`] if the device cannot compute with the dtype or the
/// rounding.
pub fn elu<const D: usize>(
    x: Tensor<D>,
    elu: impl Into<wgpu_elu::Elu>,
) -> Result<Tensor<D>, Error> {
    apply(x, elu.into())
}

/// Applies SELU with its published constants.
///
/// # Errors
///
/// Returns the errors of [`elu`](fn@elu).
pub fn selu<const D: usize>(x: Tensor<D>) -> Result<Tensor<D>, Error> {
    apply(x, wgpu_elu::Elu::selu())
}

/// Applies CELU.
///
/// # Errors
///
/// Returns [`Error::Elu`] unless `alpha` is between 2^-64 and 2^64, and the errors of [`elu`](fn@elu).
pub fn celu<const D: usize>(x: Tensor<D>, alpha: f64) -> Result<Tensor<D>, Error> {
    apply(x, wgpu_elu::Elu::celu(alpha)?)
}

// ---- Internals ----

fn apply<const D: usize>(x: Tensor<D>, elu: wgpu_elu::Elu) -> Result<Tensor<D>, Error> {
    let device = registry::wgpu_device(&x.device())?;
    let (_, kernel) = registry::kernel(&device, x.dtype())?;
    // For its errors: what the device cannot compute is known here, and not only when the result is read.
    kernel.compile(Op::Forward, elu, Shared::default())?;
    Ok(add_to_graph(x, elu))
}

/// Applies ELU without an error to return: the result carries it.
fn apply_in_module<const D: usize>(x: Tensor<D>, elu: wgpu_elu::Elu) -> Tensor<D> {
    // Burn has one backend for wgpu, CUDA and others, so it does not refuse a tensor of another one by itself.
    if let Err(error) = registry::wgpu_device(&x.device()) {
        panic!("{error}");
    }
    add_to_graph(x, elu)
}

fn add_to_graph<const D: usize>(x: Tensor<D>, elu: wgpu_elu::Elu) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::wgpu_elu(x.into_dispatch(), elu))
}

/// The program in the README must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
