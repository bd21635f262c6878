//! The WGSL that runs, and ELU as [functions](function()) for shaders of your own: composed text per dtype, operation and
//! arrangement of buffers, and the layout that goes with it. No wgpu call.

mod function;
pub mod penalty;

use bytemuck::{Pod, Zeroable};

pub use function::function;

use crate::{
    dtype::DType,
    factors::{Factors, Products},
};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// ELU of `x`.
    Forward,
    /// The gradient with respect to `x`, from `x` and the gradient with respect to the output.
    Backward,
    /// The same from the output instead of `x`.
    BackwardFromOutput,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::BackwardFromOutput];

    /// The name used in labels and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::BackwardFromOutput => "backward-from-output",
        }
    }

    /// Whether it takes a gradient besides its input.
    pub const fn has_grad(self) -> bool {
        !matches!(self, Self::Forward)
    }
}

/// Which inputs lie in the output's buffer, at its place or at another: those are bound with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shared {
    /// The input.
    pub x: bool,
    /// The gradient.
    pub grad: bool,
}

/// The uniform of one dispatch, before the factors. Must stay equal to `Params` in `shaders/map.wgsl`, where the fields are
/// explained.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Params {
    pub count: u32,
    pub x_first: u32,
    pub grad_first: u32,
    pub y_first: u32,
    pub groups_per_row: u32,
    pub head: u32,
    pub gap: u32,
    pub end: u32,
    pub zero: u32,
    pub padding_1: u32,
    pub padding_2: u32,
    pub padding_3: u32,
}

/// The factors for arithmetic in `f32`. Must stay equal to `Factors` in `shaders/f32/shared.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors32 {
    pub negative: f32,
    pub rescale: f32,
    pub positive: f32,
    pub input_scale: f32,
    pub slope: f32,
    pub padding_a: f32,
    pub padding_b: f32,
    pub padding_c: f32,
}

/// The factors for arithmetic in `f64`. Must stay equal to `Factors` in `shaders/f64/shared.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors64 {
    pub negative: f64,
    pub negative_high: f64,
    pub positive: f64,
    pub input_scale: f64,
    pub input_scale_high: f64,
    pub slope: f64,
    pub odd: f64,
    pub padding: f64,
}

impl Factors32 {
    /// The factors as the shader of `op` multiplies by them.
    pub fn new(factors: Factors, op: Op) -> Self {
        const FACTOR: f32 = (1u128 << 64) as f32;
        let products = factors.in_f32();
        // A small one grows by 2^64, so that not even 2^-24 of it is subnormal, and rescale takes that back from the result.
        let small = op == Op::Forward && products.negative.abs() < FACTOR.recip();
        let grow = if small { FACTOR } else { 1.0 };
        Self {
            negative: products.negative * grow,
            rescale: grow.recip(),
            positive: products.positive,
            input_scale: products.input_scale,
            slope: products.slope * grow,
            ..Self::default()
        }
    }
}

impl Factors64 {
    /// The factors as the shaders multiply by them.
    pub fn new(factors: Factors) -> Self {
        let products = factors.in_f64();
        // Infinity has no bits there, and NaN has one at least that stays.
        let first_24_bits = |value: f64| f64::from_bits(value.to_bits() & !0x1fff_ffff);
        Self {
            negative: products.negative,
            negative_high: first_24_bits(products.negative),
            positive: products.positive,
            input_scale: products.input_scale,
            input_scale_high: first_24_bits(products.input_scale),
            slope: products.slope,
            odd: f64::from(u8::from(
                products.negative == 0.0 || !products.negative.is_finite(),
            )),
            padding: 0.0,
        }
    }
}

/// The uniform's bytes: [`Params`], and then [`Factors32`] or [`Factors64`].
pub(crate) fn uniform(dtype: DType, params: &Params, op: Op, factors: Factors) -> Vec<u8> {
    let mut bytes = bytemuck::bytes_of(params).to_vec();
    match dtype {
        DType::F64 => bytes.extend(bytemuck::bytes_of(&Factors64::new(factors))),
        DType::F32 | DType::F16 | DType::BF16 => {
            bytes.extend(bytemuck::bytes_of(&Factors32::new(factors, op)));
        }
    }
    bytes.resize(uniform_size(dtype), 0);
    bytes
}

/// The uniform's size in bytes.
pub const fn uniform_size(dtype: DType) -> usize {
    size_of::<Params>()
        + match dtype {
            DType::F64 => size_of::<Factors64>(),
            DType::F32 | DType::F16 | DType::BF16 => size_of::<Factors32>(),
        }
}

/// Binding of the uniform, in group 0.
pub const PARAMS_BINDING: u32 = 0;
/// Binding of the input, in group 0, unless it is [`Shared`].
pub const X_BINDING: u32 = 1;
/// Binding of the gradient, in group 0, unless it is [`Shared`] or the operation has none.
pub const GRAD_BINDING: u32 = 2;
/// Binding of the output, in group 0.
pub const Y_BINDING: u32 = 3;

/// The entry point that takes 16 bytes at a time, from bindings at the same place within 16 bytes.
pub const VECTORS: &str = "vectors";
/// The entry point that takes one element at a time, or the two in a word of the output, from anywhere.
pub const ELEMENTS: &str = "elements";

/// Whether the shader takes the constant [`PLAIN`], and these factors ask for it: all of them are 1.
pub fn is_plain(dtype: DType, op: Op, factors: Factors) -> bool {
    let ones = Products {
        negative: 1.0,
        positive: 1.0,
        input_scale: 1.0,
        slope: 1.0,
    };
    dtype != DType::F64 && op == Op::Forward && factors.in_f32() == ones
}

/// The `override` constant of forward shaders that compute in `f32`: 1 where [`is_plain`], and there is less to compute then.
/// 0 by default, which does for all factors.
pub const PLAIN: &str = "plain";

/// How the work is shared out over invocations: the values of the shader's `override` constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Invocations in a workgroup.
    pub workgroup_size: u32,
    /// Vectors of 16 bytes that an invocation of [`VECTORS`] does, 1 or 4.
    pub vectors_per_invocation: u32,
}

impl Shape {
    /// Neighbours in a workgroup read neighbours in memory.
    pub const HARDWARE: Self = Self {
        workgroup_size: 256,
        vectors_per_invocation: 1,
    };

    /// Few, long invocations: on lavapipe, four consecutive vectors each ran at twice the speed of one each
    /// (BENCHMARKS.md).
    pub const SOFTWARE: Self = Self {
        workgroup_size: 64,
        vectors_per_invocation: 4,
    };

    /// The constants' names and values for an entry point.
    pub fn constants(self, entry_point: &str) -> Vec<(&'static str, f64)> {
        let mut constants = vec![("workgroup_size", f64::from(self.workgroup_size))];
        if entry_point == VECTORS {
            let vectors = f64::from(self.vectors_per_invocation);
            constants.extend([
                ("vectors_per_invocation", vectors),
                ("vector_stride", 1.0),
                ("invocation_stride", vectors),
            ]);
        }
        constants
    }
}

/// The text of a file in `shaders`.
macro_rules! shader {
    ($path:expr) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/",
            $path,
            ".wgsl"
        ))
    };
}
use shader;

/// The whole shader for a dtype, an operation and an arrangement of buffers.
///
/// It needs no optional feature but, for `float64`, `SHADER_F64`. A forward shader takes no notice of `shared.grad`.
pub fn source(dtype: DType, op: Op, shared: Shared) -> String {
    macro_rules! arithmetic {
        ($float:literal, $plain:expr) => {
            match op {
                Op::Forward => [
                    shader!(concat!($float, "/shared")),
                    shader!(concat!($float, "/forward")),
                    $plain,
                ],
                Op::Backward => [
                    shader!(concat!($float, "/shared")),
                    shader!(concat!($float, "/product")),
                    shader!(concat!($float, "/backward")),
                ],
                Op::BackwardFromOutput => [
                    shader!(concat!($float, "/shared")),
                    shader!(concat!($float, "/product")),
                    shader!(concat!($float, "/backward_from_output")),
                ],
            }
        };
    }
    let arithmetic = match dtype {
        DType::F64 => arithmetic!("f64", ""),
        DType::F32 | DType::F16 | DType::BF16 => arithmetic!("f32", shader!("f32/plain")),
    };
    let memory = match dtype {
        DType::F32 => [shader!("dtype/float32"), ""],
        DType::F64 => [shader!("dtype/float64"), ""],
        DType::F16 => [shader!("dtype/pairs"), shader!("dtype/float16")],
        DType::BF16 => [shader!("dtype/pairs"), shader!("dtype/bfloat16")],
    };
    let buffers = [
        shader!("buffers/y"),
        if shared.x {
            shader!("buffers/x_shared")
        } else {
            shader!("buffers/x_separate")
        },
        match (op.has_grad(), shared.grad) {
            (false, _) => shader!("buffers/grad_none"),
            (true, true) => shader!("buffers/grad_shared"),
            (true, false) => shader!("buffers/grad_separate"),
        },
    ];
    let pieces = arithmetic
        .iter()
        .chain(&memory)
        .chain(&buffers)
        .chain(&[shader!("map")]);
    let pieces: Vec<&str> = pieces.copied().filter(|piece| !piece.is_empty()).collect();
    pieces.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a driver that flushes subnormals would lose; Mesa's software adapters do not flush.
    #[test]
    fn nothing_of_a_grown_factor_is_subnormal() {
        let smallest = f32::from_bits(1);
        for alpha in [
            smallest,
            1e-40,
            f32::MIN_POSITIVE,
            1e-33,
            5e-20,
            6e-20,
            1.0,
            f32::MAX,
        ] {
            for alpha in [alpha, -alpha] {
                let factors = Factors32::new(Factors::elu(alpha.into()), Op::Forward);
                let product = f64::from(factors.negative) * f64::from(factors.rescale);
                assert_eq!(product, f64::from(alpha));
                assert!(
                    (factors.negative / (1 << 24) as f32).is_normal(),
                    "alpha {alpha:e}"
                );
            }
        }
        let new = |alpha: f64| Factors32::new(Factors::elu(alpha), Op::Forward);
        assert_eq!(new(0.0).negative, 0.0);
        assert_eq!(new(f64::INFINITY).negative, f32::INFINITY);
    }
}
