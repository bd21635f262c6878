//! The ELU activation on any GPU that [wgpu](https://wgpu.rs) supports (Vulkan, Metal, DX12, GL, browsers), and on the
//! CPU if there is no GPU. Every `f32`, `f16` and `bf16` result is within 1 ULP (unit in the last place, the distance
//! between two neighbouring numbers) of the exact value, every `f64` result within 2 ULP.
//!
//! ```
//! use wgpu_elu::{Device, Elu, Tensor};
//!
//! let device = Device::auto_blocking()?; // a hardware GPU if one exists, else the CPU
//! let x = Tensor::from_slice(&device, &[-2.0f32, -0.5, 0.0, 1.5], &[4])?;
//! let y = Elu::new(1.0).forward(&x)?.to_vec_blocking::<f32>()?;
//! println!("{y:?} on {device}"); // [-0.86466473, -0.39346933, 0.0, 1.5] on ...
//! # assert_eq!(y[2..], [0.0, 1.5]);
//! # assert!((y[0] + 0.86466473).abs() < 1e-7 && (y[1] + 0.39346933).abs() < 1e-7);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! ELU is `x` where `x >= 0`, else `alpha * (exp(x) - 1)`. [`Factors`] describes the related functions SELU and CELU.
//! Elements are `f32`, `f64`, [`half::f16`] or [`half::bf16`].
//!
//! # Which part is for you
//!
//! - **Tensors**: [`Device`], [`Tensor`] and [`Elu`], as above. The same program runs on the CPU and on any GPU.
//!   [`Device`]'s constructors are `async`; outside the browser those that select an adapter have a blocking version
//!   whose name ends in `_blocking`.
//! - **Keras**: [`Layer`] has the members of `tf.keras.layers.ELU` under their names. [`Regularizer`] is the penalty on
//!   its output, computed on the device of the data.
//! - **More data than memory**: [`Stream`] computes ELU and its gradients from readers to a writer in chunks. Copies
//!   and kernels overlap.
//! - **A step in your own wgpu app**: [`Kernel`] takes your `wgpu::Device` and your buffers and records into your
//!   compute pass. It does not submit, wait, or set callbacks. The tensor methods of [`Elu`] use the same public API.
//!   Use the wgpu that this crate exports, [`wgpu_elu::wgpu`](wgpu), so that the versions agree. This documentation
//!   calls such an app a host: it lends its wgpu device to this crate.
//! - **ELU at the end of your own shader**: [`shader::function`] returns plain WGSL or a module for `naga_oil` or WESL.
//! - **Slices on the CPU**: [`cpu`].
//! - **A reference for results**: [`reference`](mod@reference) computes one `f64` at a time, by a simple formula.
//!
//! # Numbers
//!
//! - ELU returns `x >= 0`, -0 and infinity included, and NaN bit by bit. -infinity gives -alpha.
//! - `alpha` may be any number, also zero, negative, infinite or NaN. It affects only the results for negative `x`, and
//!   in gradients those for 0.
//! - The negative side is `alpha * expm1(x)`. The formula `exp(x) - 1` would lose every digit near zero. The error is
//!   below 1 ULP (`f64`: 2 ULP) for every `x`, every `alpha`, `scale` and `input_scale`, and every incoming gradient,
//!   subnormal results included, whatever the driver's compiler regroups, contracts or flushes to zero. The exact
//!   result uses `alpha * scale`, `scale` and `input_scale` after each is rounded to `f32`, or to `f64` for `f64`
//!   elements.
//! - `f16` and `bf16` are computed in `f32` and rounded to nearest, ties to even, with integer operations. Results are
//!   within 1 ULP; forward with `alpha` 1 gives the nearest number. `f64` is within 2 ULP.
//! - Forward results of `f16` and `bf16` with `alpha` 1 never decrease as `x` increases. Other forward results, with
//!   `alpha >= 0`, may be the number just below the result of a smaller `x`.
//! - The same `x` gives the same bits at every position in a tensor. Different devices may differ by 1 ULP (`f64`: 2
//!   ULP). With [`Rounding::Nearest`], the results are the nearest numbers, with the same bits on every device.
//!   For `f64`, only the CPU path computes them.
//!
//! # Limits
//!
//! A tensor on a GPU is at most as large as the device's `max_buffer_size`. [`Kernel`] takes buffers of any size, and
//! [`Stream`] any amount of data. `f64` on a GPU needs the device features `SHADER_F64` and `SHADER_INT64`. This crate
//! contains no `unsafe` code.
//!
//! # Labels
//!
//! Every wgpu object that this crate creates has a label, for error messages, debuggers and captures. A label consists
//! of `wgpu_elu`, the purpose, the dtype if the object depends on it, and the part, joined by dots.
//!
//! - `wgpu_elu.forward.float32`, and the same for the other dtypes and for `backward`, `backward-from-output` and
//!   `penalty`: the encoders and passes that [`Elu`] and [`Regularizer`] submit. Objects of a [`Kernel`] add their
//!   part: `.module`, `.bind_group_layout`, `.pipeline_layout`, `.bind_group`, `.params` for the uniform buffer, and
//!   for pipelines the entry point (`.vectors`, `.elements`; for the penalty `.sums` and `.last`). The buffers for a
//!   penalty's partial sums end in `.even` and `.odd`.
//! - `wgpu_elu.tensor`: the buffer of a [`Tensor`]; `wgpu_elu.tensor.download`: the staging buffer that it is read
//!   through.
//! - `wgpu_elu.stream`: the encoders and passes of a [`Stream`]; its buffers end in `.upload`, `.staged` and
//!   `.download`, or in `.both` if one buffer serves all three purposes.
//! - `wgpu_elu.probe`: a buffer of 4 bytes that shows whether the device is lost. `wgpu_elu`: a device that this crate
//!   created.
//!
//! # Features
//!
//! `serde`, `accuracy` and `translate` are off by default.
//!
//! - `vulkan`, `metal`, `dx12`, `gles`, `webgpu`: wgpu's backends, each compiled on the platforms that have it. Without
//!   any of them only the CPU path is available.
//! - `threads`: long slices on the CPU are distributed over all cores with rayon.
//! - `serde`: [`layer::Config`] as Keras' JSON, and serde's traits for [`DType`], [`Elu`] and [`Factors`].
//! - `accuracy`: compares results with exact values, for tests that a device keeps the documented error bounds.
//! - `translate`: the shaders as SPIR-V, MSL, HLSL or GLSL, through naga.
//!
//! The `elu` command is a separate package, `elu-cli`.

#![cfg_attr(
    target_family = "wasm",
    allow(
        clippy::arc_with_non_send_sync,
        reason = "in a browser, wgpu's objects may cross threads only with its feature fragile-send-sync-non-atomic-wasm"
    )
)]

#[cfg(feature = "accuracy")]
pub mod accuracy;
mod apply;
mod cache;
mod checked;
pub mod cpu;
pub mod device;
mod dtype;
mod elu;
mod error;
mod factors;
mod kernel;
pub mod layer;
mod op;
pub mod reference;
mod regularizer;
mod rounding;
pub mod shader;
mod stream;
mod tensor;
mod threads;
#[cfg(feature = "translate")]
pub mod translate;

pub use device::{Device, Gpu};
pub use dtype::{DType, Element, ParseDTypeError};
pub use elu::Elu;
pub use error::{Error, LayerError, Result, Role};
pub use factors::Factors;
pub use half;
pub use kernel::{Kernel, Step};
pub use layer::Layer;
pub use op::Op;
pub use regularizer::Regularizer;
pub use rounding::Rounding;
pub use stream::Stream;
pub use tensor::Tensor;
pub use wgpu;

/// The programs in the README must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs in the page for embedders must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct EmbeddingPage;

/// The programs in the page for Keras users must compile and run.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../docs/keras.md")]
struct KerasPage;
