//! ELU, SELU, CELU and ELU's gradients as SQL functions for [DataFusion](https://datafusion.apache.org), on the CPU
//! path of wgpu-elu. Results keep its error bound: `f32` and `f16` are within 1 ULP of the exact value, `f64` within 2.
//!
//! ```
//! use datafusion_expr::registry::{FunctionRegistry, MemoryFunctionRegistry};
//!
//! let mut registry = MemoryFunctionRegistry::new(); // or a `SessionContext`, or a `SessionState`
//! wgpu_elu_datafusion::register(&mut registry)?;
//! assert!(registry.udf("elu").is_ok()); // SELECT elu(embedding, 0.5) FROM 'data/*.parquet'
//! # Ok::<(), datafusion_common::DataFusionError>(())
//! ```
//!
//! | function | result |
//! |---|---|
//! | `elu(x [, alpha])` | `x` where `x >= 0`, else `alpha * (exp(x) - 1)`; without `alpha`, 1 |
//! | `selu(x)` | SELU with its published constants |
//! | `celu(x, alpha)` | `x` where `x >= 0`, else `alpha * (exp(x / alpha) - 1)` |
//! | `elu_backward(x, grad [, alpha])` | `grad` where `x > 0`, else `grad * alpha * exp(x)` |
//! | `elu_backward_from_output(y, grad [, alpha])` | the same from `y = elu(x, alpha)`; `alpha` must be positive |
//!
//! # Arguments
//!
//! - `x`, `y` and `grad` are `Float16`, `Float32` or `Float64`, or `List`, `LargeList` or `FixedSizeList` of them to
//!   any depth. Integers and decimals become `Float64`, as in DataFusion's own functions. If `x` and `grad` differ, both
//!   get the wider float; next to a float, integers and decimals get its type.
//! - A dictionary keeps its keys: the functions of one column compute each of its values once.
//! - `alpha` is any number: a literal, or a column with a number for each row.
//! - A NULL argument gives NULL. NULL elements of lists stay NULL.
//!
//! Lists of `x` and `grad` must have the same lengths.
//!
//! # Rounding
//!
//! Machines with and without fused multiply-add may differ by 1 ULP. Each function has a second name that ends in
//! `_nearest`, such as `elu_nearest`. It returns the nearest number, which has the same bits on every machine. With the
//! session setting [`Settings`], `SET wgpu_elu.rounding = 'nearest'` turns every function of a query into its nearest
//! form when the query is planned. The plan names that form, so every executor of a cluster computes it, whatever its
//! own settings are.
//!
//! # Memory
//!
//! A column is overwritten if nothing else uses it, for example if it is the result of another expression. Otherwise
//! each function allocates its result. Validity bitmaps are shared.

mod bounds;
mod compute;
mod documentation;
mod function;
mod settings;
mod types;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{ScalarUDF, registry::FunctionRegistry};

use function::{Function, Kind};

pub use settings::Settings;
pub use wgpu_elu::{self, Rounding};

/// The version of this package. Executors of a cluster must use the same version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the functions: the five that the [crate's documentation](crate) lists, then their nearest forms.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let forms = [Rounding::Faithful, Rounding::Nearest];
    let function = |rounding| {
        Kind::ALL.map(|kind| Arc::new(ScalarUDF::new_from_impl(Function::new(kind, rounding))))
    };
    forms.into_iter().flat_map(function).collect()
}

/// Registers the [`functions`]. A function that has the name of one of them is replaced.
///
/// # Errors
///
/// Returns the registry's error if it accepts no functions.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in functions() {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// The programs in the README must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
