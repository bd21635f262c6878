//! The ELU activation on any GPU that [wgpu](https://wgpu.rs) reaches (Vulkan, Metal, DX12, GL, the browser), and on the
//! CPU where there is none: within one unit in the last place of the exact value for every `f32`, `f16` and `bf16`, and
//! within two for `f64`.
//!
//! ```
//! use wgpu_elu::{Device, Elu, Tensor};
//!
//! let device = Device::auto_blocking()?; // a hardware GPU if there is one, else the CPU
//! let x = Tensor::from_slice(&device, &[-2.0f32, -0.5, 0.0, 1.5], &[4])?;
//! let y = Elu::new(1.0).forward(&x)?.to_vec_blocking::<f32>()?;
//! println!("{y:?} on {device}"); // [-0.86466473, -0.39346933, 0.0, 1.5] on ...
//! # assert_eq!(y[2..], [0.0, 1.5]);
//! # assert!((y[0] + 0.86466473).abs() < 1e-7 && (y[1] + 0.39346933).abs() < 1e-7);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! ELU is `x` where `x >= 0`, else `alpha * (exp(x) - 1)`. SELU and CELU are there too: see [`Factors`]. Elements are
//! `f32`, `f64`, [`half::f16`] or [`half::bf16`].
//!
//! # Which part is for you
//!
//! - **Numbers in, numbers out**: [`Device`], [`Tensor`] and [`Elu`], as above. The same program runs on the CPU and on any
//!   GPU. Constructors are `async`; outside the browser each has a twin that ends in `_blocking`.
//! - **From Keras**: [`Layer`] has the members of `tf.keras.layers.ELU`, under their names. [`Regularizer`] is the penalty on
//!   its output, computed where that is.
//! - **More data than memory**: [`Stream`], from a reader to a writer in chunks, copies and kernel at once.
//! - **A step in your own wgpu app**: [`Kernel`]. It takes your `wgpu::Device` and your buffers, and records into your
//!   compute pass; it submits nothing, waits for nothing, and leaves your callbacks alone. [`Elu`] is built from it and
//!   from nothing private. Use the wgpu that is exported here, [`wgpu_elu::wgpu`](wgpu), so that the versions agree.
//! - **ELU at the end of your own shader**: [`shader::function`], as plain WGSL or as a module for `naga_oil` and WESL.
//! - **Slices, and no GPU**: [`cpu`].
//! - **Something to judge results by**: [`reference`](mod@reference), one formula for one `f64`.
//!
//! # Numbers
//!
//! - What is not negative comes through bit by bit: -0, infinity, NaN with its payload. -infinity gives -alpha.
//! - `alpha` may be any number. Zero, negative, infinite and NaN ones touch negative `x` only.
//! - The negative side is `alpha * expm1(x)`, not `exp(x) - 1`, which loses every digit near zero. The error is below 1 ULP
//!   for every `x`, every `alpha`, `scale` and `input_scale`, and every incoming gradient, subnormal results included, whatever
//!   the driver's compiler regroups, contracts or flushes. The exact result is that of `alpha * scale`, `scale` and
//!   `input_scale`, each rounded to `f32`, or for `f64` elements to `f64`.
//! - `f16` and `bf16` are computed in `f32` and rounded to nearest, ties to even, by bits: within 1 ULP, and with `alpha` 1
//!   forward gives the nearest number. `f64` is within 2 ULP.
//! - Where results are the nearest numbers, they never step back as `x` rises; elsewhere, with `alpha >= 0`, one may be the
//!   number before that of a smaller `x`.
//! - The same `x` gives the same bits wherever it stands in a tensor. Different devices may differ by 1 ULP (`f64`: by 2).
//!
//! # Limits
//!
//! A tensor is at most as large as the device's `max_buffer_size`; [`Kernel`] itself takes buffers of any size, and [`Stream`]
//! any amount of data. `f64` on a GPU needs the device features `SHADER_F64` and `SHADER_INT64`. No part of this crate is `unsafe`.
//!
//! # Labels
//!
//! What is made on a wgpu device here has a label, for error messages, debuggers and captures: `wgpu_elu`, then what it is
//! for, the dtype if it depends on that, and the part, with dots between.
//!
//! - `wgpu_elu.forward.float32`, likewise for the other dtypes and for `backward`, `backward-from-output` and `penalty`: the
//!   encoders and passes that [`Elu`] and [`Regularizer`] submit. What a [`Kernel`] makes has the part at the end: `.module`,
//!   `.bind_group_layout`, `.pipeline_layout`, `.bind_group`, `.params` for the uniform, and for pipelines the entry point
//!   (`.vectors`, `.elements`, and for the penalty `.sums` and `.last`). A penalty's sums lie in `.even` and `.odd`.
//! - `wgpu_elu.tensor`: a [`Tensor`]'s buffer; `wgpu_elu.tensor.download`: the way back from it.
//! - `wgpu_elu.stream`: the encoders and passes of a [`Stream`]; its buffers end in `.upload`, `.staged` and `.download`, or in
//!   `.both` where one serves for all.
//! - `wgpu_elu.probe`: a buffer of 4 bytes that shows whether the device is lost. `wgpu_elu`: a device that was made here.
//!
//! # Features
//!
//! `serde`, `accuracy` and `translate` are off by default.
//!
//! - `vulkan`, `metal`, `dx12`, `gles`, `webgpu`: wgpu's backends, each compiled where its platform has it. With none,
//!   there is only the CPU.
//! - `threads`: long slices on the CPU are shared out over all cores, with rayon.
//! - `serde`: [`layer::Config`] as Keras' JSON.
//! - `accuracy`: the judge of results, for a test that holds a device to the contract.
//! - `translate`: the shaders as SPIR-V, MSL, HLSL or GLSL, by naga.
//!
//! The `elu` command is a package of its own, `elu-cli`.

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
pub mod shader;
mod stream;
mod tensor;
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
pub use stream::Stream;
pub use tensor::Tensor;
pub use wgpu;

/// The programs in the README must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So must those in the page for Keras users.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../docs/keras.md")]
struct KerasPage;
