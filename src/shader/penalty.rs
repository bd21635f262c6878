//! The shader of a penalty, the sum over all elements of `l1 * |y| + l2 * y^2`: see
//! [`Kernel::prepare_penalty`](crate::Kernel::prepare_penalty).
//!
//! Every dispatch reads from [`X_BINDING`](super::X_BINDING) and writes to [`Y_BINDING`](super::Y_BINDING). The first
//! ones read the input and write partial sums, [`SUMS`] reads and writes partial sums, and [`LAST`] reads partial sums
//! and writes the result.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENTS, Shape, VECTORS, shader};
use crate::{dtype::DType, factors::Penalty};

/// The uniform of one dispatch, without the factors. It must match `Params` in `shaders/penalty.wgsl`, which explains
/// the fields.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Params {
    pub first: u32,
    pub count: u32,
    pub to: u32,
    pub groups_per_row: u32,
    pub begin: u32,
    pub end: u32,
    pub zero: u32,
    pub padding_1: u32,
}

/// The factors for arithmetic in `f32`. They must match `Factors` in `shaders/penalty/arithmetic.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors32 {
    pub l1: f32,
    pub l2: f32,
    pub scale: f32,
    pub power: f32,
}

/// The factors for arithmetic in `f64`. They must match `Factors` in `shaders/penalty/arithmetic.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors64 {
    pub l1: f64,
    pub l2: f64,
    pub scale: f64,
    pub power: f64,
}

impl Factors32 {
    /// Creates the factors for a sum that is divided by `divisor`, which must be positive.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    pub(crate) fn new(penalty: Penalty, divisor: f64) -> Self {
        let ([l1, l2], rescale) = penalty.in_f32();
        let scale = (rescale / divisor).clamp(f64::MIN_POSITIVE, f64::MAX);
        // The shader multiplies by `scale` once and by `power` twice. Each gets a third of the exponent, so that it is
        // normal. If that is impossible, every sum except 0 gives a result that is too large or too small for an f32.
        let exponent = (scale.to_bits() >> 52) as i32 - 1023;
        let power = 2.0f64.powi((exponent / 3).clamp(-126, 126));
        let scale = (scale / (power * power)).min(f32::MAX.into());
        Self {
            l1,
            l2,
            scale: scale as f32,
            power: power as f32,
        }
    }
}

impl Factors64 {
    /// Creates the factors for a sum that is divided by `divisor`, which must be positive.
    pub(crate) fn new(penalty: Penalty, divisor: f64) -> Self {
        let ([l1, l2], rescale) = penalty.in_f64();
        Self {
            l1,
            l2,
            scale: (rescale / divisor).min(f64::MAX),
            power: 1.0,
        }
    }
}

/// Returns the uniform's bytes: [`Params`], followed by [`Factors32`] or [`Factors64`].
pub(crate) fn uniform(dtype: DType, params: &Params, penalty: Penalty, divisor: f64) -> Vec<u8> {
    let mut bytes = bytemuck::bytes_of(params).to_vec();
    match dtype.arithmetic_dtype() {
        DType::F64 => bytes.extend(bytemuck::bytes_of(&Factors64::new(penalty, divisor))),
        _ => bytes.extend(bytemuck::bytes_of(&Factors32::new(penalty, divisor))),
    }
    bytes
}

/// Returns the size of the uniform in bytes.
pub const fn uniform_size(dtype: DType) -> usize {
    size_of::<Params>()
        + match dtype.arithmetic_dtype() {
            DType::F64 => size_of::<Factors64>(),
            _ => size_of::<Factors32>(),
        }
}

/// Returns the size of a partial sum in bytes.
pub(crate) const fn sum_size(dtype: DType) -> usize {
    2 * dtype.arithmetic_dtype().size()
}

/// The entry point that reduces many partial sums to fewer.
pub const SUMS: &str = "sums";
/// The entry point that computes the result from the last partial sums.
pub const LAST: &str = "last";

/// The number of partial sums that an invocation of [`SUMS`] and [`LAST`] adds. It must match the constant of this name
/// in `shaders/penalty.wgsl`.
pub const SUMS_PER_INVOCATION: u32 = 4;

/// Returns the number of vectors that an invocation of [`VECTORS`] sums. On lavapipe, 64 per invocation took 60 % of
/// the time of 16 for the same elements, because adding up the sums of a workgroup's invocations is slow there.
pub fn vectors_per_invocation(shape: Shape) -> u32 {
    if is_for_hardware(shape) { 16 } else { 64 }
}

/// Returns whether the shape is for hardware GPUs, which have many short invocations: see [`Shape::HARDWARE`].
fn is_for_hardware(shape: Shape) -> bool {
    shape.vectors_per_invocation == 1
}

/// Returns the names and values of the `override` constants for an entry point.
pub fn constants(shape: Shape, entry_point: &str) -> Vec<(&'static str, f64)> {
    let size = f64::from(shape.workgroup_size);
    // As in the other shaders, either adjacent invocations read adjacent memory, or each reads a consecutive range of
    // its own.
    let vectors = f64::from(vectors_per_invocation(shape));
    let (vector_stride, invocation_stride) = if is_for_hardware(shape) {
        (size, 1.0)
    } else {
        (1.0, vectors)
    };
    match entry_point {
        ELEMENTS => Vec::new(),
        VECTORS => vec![
            ("workgroup_size", size),
            ("vectors_per_invocation", vectors),
            ("vector_stride", vector_stride),
            ("invocation_stride", invocation_stride),
        ],
        _ => vec![("workgroup_size", size)],
    }
}

/// Returns the complete shader for a dtype. It needs no optional feature, except `SHADER_F64` and `SHADER_INT64` for
/// `float64`.
pub fn source(dtype: DType) -> String {
    let format = match dtype.arithmetic_dtype() {
        DType::F64 => shader!("format/float64"),
        _ => shader!("format/float32"),
    };
    let memory = match dtype {
        DType::F32 => [
            shader!("penalty/float32"),
            shader!("penalty/four_lanes"),
            "",
        ],
        DType::F64 => [shader!("penalty/float64"), "", ""],
        DType::F16 => [
            shader!("penalty/pairs"),
            shader!("penalty/four_lanes"),
            shader!("memory/float16"),
        ],
        DType::BF16 => [
            shader!("penalty/pairs"),
            shader!("penalty/four_lanes"),
            shader!("memory/bfloat16"),
        ],
    };
    let fragments = [format, shader!("primitives"), shader!("penalty/arithmetic")];
    let fragments = fragments.into_iter().chain(memory);
    let fragments = fragments.chain([shader!("penalty")]);
    let fragments: Vec<&str> = fragments.filter(|text| !text.is_empty()).collect();
    fragments.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_multiply_to_l1_over_divisor() {
        for factor in [1e-300, 1e-40, 0.1, 1e39, f64::MAX] {
            for divisor in [1.0, 3.0, 1e19, 1e-300, 1e300] {
                let penalty = Penalty::new(factor, 0.0).unwrap();
                let Factors32 {
                    l1, scale, power, ..
                } = Factors32::new(penalty, divisor);
                assert!(scale.is_finite() && power.is_normal());
                let exact = factor / divisor;
                if (1e-75..1e75).contains(&exact) {
                    let [l1, scale, power] = [l1, scale, power].map(f64::from);
                    let error = l1 * scale * power * power / exact - 1.0;
                    // l1 and scale are each rounded, by up to 2^-24.
                    assert!(error.abs() < 1.2e-7, "{factor:e} / {divisor:e}: {error:e}");
                }
            }
        }
    }
}
