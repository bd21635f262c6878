//! The WGSL of the kernels, and ELU as [functions](function()) for your own shaders. This module composes the text for
//! a dtype, an operation, a rounding and the inputs that lie in the output's buffer, and defines the layout of the
//! uniform buffer. It does not call wgpu.

mod function;
pub mod penalty;

use bytemuck::{Pod, Zeroable};

pub use function::function;

use crate::op::Op;
use crate::{
    dtype::DType,
    elu::Elu,
    error::{Error, Result},
    factors::{Factors, Split},
    rounding::Rounding,
};

/// The inputs that lie in the output's buffer, at the same position or another one. They are bound together with the
/// output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shared {
    /// The input.
    pub x: bool,
    /// The incoming gradient.
    pub grad: bool,
}

/// The uniform of one dispatch, without the factors. It must match `Params` in `shaders/map.wgsl`, which explains the
/// fields.
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

/// A factor in the form that the shaders multiply by. It must match `Factor` in `shaders/exponential.wgsl`, which
/// explains the fields.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factor32 {
    pub high: f32,
    pub low: f32,
    pub exponent: i32,
    pub padding: u32,
}

/// A factor for arithmetic in `f64`, like [`Factor32`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factor64 {
    pub high: f64,
    pub low: f64,
    pub exponent: i64,
    pub padding: u64,
}

/// The factors for arithmetic in `f32`. They must match `Factors` in `shaders/exponential.wgsl`, which explains the
/// fields.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors32 {
    pub negative: Factor32,
    pub positive: Factor32,
    pub input_scale: Factor32,
    pub slope: Factor32,
    pub negative_bits: u32,
    pub largest: u32,
    pub small: u32,
    pub padding: u32,
}

/// The factors for arithmetic in `f64`, like [`Factors32`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Factors64 {
    pub negative: Factor64,
    pub positive: Factor64,
    pub input_scale: Factor64,
    pub slope: Factor64,
    pub negative_bits: u64,
    pub largest: u64,
    pub small: u64,
    pub padding: u64,
}

impl From<Split<f32>> for Factor32 {
    fn from(
        Split {
            high,
            low,
            exponent,
        }: Split<f32>,
    ) -> Self {
        Self {
            high,
            low,
            exponent,
            padding: 0,
        }
    }
}

impl From<Split<f64>> for Factor64 {
    fn from(
        Split {
            high,
            low,
            exponent,
        }: Split<f64>,
    ) -> Self {
        Self {
            high,
            low,
            exponent: exponent.into(),
            padding: 0,
        }
    }
}

impl Factors32 {
    /// Returns the factors in the form that the shader of `op` multiplies by.
    pub fn new(factors: Factors, op: Op) -> Self {
        let rounded = factors.in_f32();
        // Bounds on |input_scale * x|, which become bounds on |x|. For forward they are EXPM1_LARGEST and EXPM1_SMALL
        // in shaders/format/float32.wgsl. In gradients, exp(t) rounds to 1 for |t| < 2^-40, and exp(-330) rounds to 0
        // even after a multiplication by the largest gradient (2^128) and the largest slope (2^192).
        let (largest, small) = match op {
            Op::Forward => (19.0, 0.5f32.powi(30)),
            Op::Backward | Op::BackwardFromOutput => (330.0, 0.5f32.powi(40)),
        };
        Self {
            negative: rounded.split_negative().into(),
            positive: rounded.split_positive().into(),
            input_scale: rounded.split_input_scale().into(),
            slope: rounded.split_slope().into(),
            negative_bits: rounded.negative.to_bits(),
            largest: (largest / rounded.input_scale).to_bits(),
            small: (small / rounded.input_scale).to_bits(),
            padding: 0,
        }
    }
}

impl Factors64 {
    /// Returns the factors in the form that the shader of `op` multiplies by.
    pub fn new(factors: Factors, op: Op) -> Self {
        let rounded = factors.in_f64();
        // As in Factors32::new: EXPM1_LARGEST and EXPM1_SMALL in shaders/format/float64.wgsl, and 2^-80.
        // exp(-2240) rounds to 0 even after a multiplication by the largest gradient (2^1024) and the largest slope
        // (2^1088).
        let (largest, small) = match op {
            Op::Forward => (39.0, 0.5f64.powi(60)),
            Op::Backward | Op::BackwardFromOutput => (2240.0, 0.5f64.powi(80)),
        };
        Self {
            negative: rounded.split_negative().into(),
            positive: rounded.split_positive().into(),
            input_scale: rounded.split_input_scale().into(),
            slope: rounded.split_slope().into(),
            negative_bits: rounded.negative.to_bits(),
            largest: (largest / rounded.input_scale).to_bits(),
            small: (small / rounded.input_scale).to_bits(),
            padding: 0,
        }
    }
}

/// A factor as `fraction * 2^exponent`, where `fraction` is at least 1/2 and has three digits of 15 bits. It must match
/// `Constant` in `shaders/nearest/fraction.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Constant {
    pub high: u32,
    pub middle: u32,
    pub low: u32,
    pub exponent: i32,
}

/// The factors for [`Rounding::Nearest`]. They must match `Factors` in `shaders/nearest/fraction.wgsl`, which explains
/// the fields.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct NearestFactors {
    pub negative: Constant,
    pub positive: Constant,
    pub input_scale: Constant,
    pub slope: Constant,
    pub negative_bits: u32,
    pub largest: u32,
    pub slope_is_exact: u32,
    pub padding: u32,
}

impl Constant {
    /// Returns the magnitude of a finite number that is not 0, rounded down to 45 bits, and whether that is exact.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the lowest 15 bits are wanted"
    )]
    fn new(v: f64) -> (Self, bool) {
        let bits = v.abs().to_bits(); // normal, because the factors are products of two `f32`
        let significand = bits & ((1 << 52) - 1) | 1 << 52;
        let digit = |shift: u32| u32::from((significand >> shift) as u16 & 0x7fff);
        let constant = Self {
            high: digit(38),
            middle: digit(23),
            low: digit(8),
            exponent: (bits >> 52) as i32 - 1022,
        };
        (constant, significand & 0xff == 0)
    }
}

impl NearestFactors {
    /// Returns the factors in the form that the shader of `op` multiplies by.
    pub fn new(factors: Factors, op: Op) -> Self {
        let rounded = factors.in_f32();
        // Bounds on |input_scale * x|, which become bounds on |x|. Beyond them, 1 - exp(t) is nearer to 1 than to any
        // other float, and a gradient rounds to 0: see Factors32::new.
        let largest = match op {
            Op::Forward => 64.0,
            Op::Backward | Op::BackwardFromOutput => 330.0,
        };
        let negative = f64::from(rounded.finite_negative());
        let (slope, slope_is_exact) = Constant::new(negative * f64::from(rounded.input_scale));
        Self {
            negative: Constant::new(negative).0,
            positive: Constant::new(rounded.positive.into()).0,
            input_scale: Constant::new(rounded.input_scale.into()).0,
            slope,
            negative_bits: rounded.negative.to_bits(),
            largest: (largest / rounded.input_scale).to_bits(),
            slope_is_exact: slope_is_exact.into(),
            padding: 0,
        }
    }
}

/// Returns the uniform's bytes: [`Params`], followed by [`Factors32`], [`Factors64`] or [`NearestFactors`].
pub(crate) fn uniform(dtype: DType, params: &Params, op: Op, elu: Elu) -> Vec<u8> {
    let mut bytes = bytemuck::bytes_of(params).to_vec();
    let factors = elu.factors();
    match (dtype, elu.rounding()) {
        (DType::F64, _) => bytes.extend(bytemuck::bytes_of(&Factors64::new(factors, op))),
        (_, Rounding::Faithful) => bytes.extend(bytemuck::bytes_of(&Factors32::new(factors, op))),
        (_, Rounding::Nearest) => {
            bytes.extend(bytemuck::bytes_of(&NearestFactors::new(factors, op)))
        }
    }
    bytes
}

/// Returns the size of the uniform in bytes. [`NearestFactors`] has the size of [`Factors32`], so the size does not
/// depend on the rounding.
pub const fn uniform_size(dtype: DType) -> usize {
    size_of::<Params>()
        + match dtype {
            DType::F64 => size_of::<Factors64>(),
            DType::F32 | DType::F16 | DType::BF16 => size_of::<Factors32>(),
        }
}

/// The binding of the uniform, in group 0.
pub const PARAMS_BINDING: u32 = 0;
/// The binding of the input, in group 0, unless the input is [`Shared`].
pub const X_BINDING: u32 = 1;
/// The binding of the incoming gradient, in group 0, unless it is [`Shared`] or the operation takes none.
pub const GRAD_BINDING: u32 = 2;
/// The binding of the output, in group 0.
pub const Y_BINDING: u32 = 3;

/// The entry point that processes vectors of 16 bytes. All slices must start at the same offset modulo 16 bytes.
pub const VECTORS: &str = "vectors";
/// The entry point that processes one element at a time, or the two 16-bit elements in a word of the output. Slices may
/// start at any element.
pub const ELEMENTS: &str = "elements";

/// The values of two `override` constants, with which the compiler can omit arithmetic that the factors make
/// unnecessary. Both are false by default, which is correct for all factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Specialization {
    /// Every factor that the operation multiplies by is 1, on both sides of 0.
    pub unit_factors: bool,
    /// `input_scale` is 1.
    pub unit_input_scale: bool,
}

impl Specialization {
    /// Returns the specialization for an operation with these factors.
    pub fn new(dtype: DType, op: Op, elu: impl Into<Elu>) -> Self {
        let class = elu.into().factors().class(dtype, op);
        Self {
            unit_factors: class.unit_factors,
            unit_input_scale: class.unit_input_scale,
        }
    }

    /// Returns the names and values of the constants.
    pub fn constants(self) -> [(&'static str, f64); 2] {
        [
            ("unit_factors", self.unit_factors.into()),
            ("unit_input_scale", self.unit_input_scale.into()),
        ]
    }
}

/// How the work is distributed over invocations, as the values of the shader's `override` constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of invocations in a workgroup.
    pub workgroup_size: u32,
    /// The number of 16-byte vectors that an invocation of [`VECTORS`] processes, 1 or 4.
    pub vectors_per_invocation: u32,
}

impl Shape {
    /// For hardware GPUs: adjacent invocations of a workgroup read adjacent memory.
    pub const HARDWARE: Self = Self {
        workgroup_size: 256,
        vectors_per_invocation: 1,
    };

    /// For software adapters: fewer and longer invocations. On lavapipe, four consecutive vectors per invocation ran
    /// twice as fast as one (see docs/benchmarks).
    pub const SOFTWARE: Self = Self {
        workgroup_size: 64,
        vectors_per_invocation: 4,
    };

    /// Returns the shape for hardware or software adapters, within the device's limits.
    pub fn for_device(kind: wgpu::DeviceType, limits: &wgpu::Limits) -> Self {
        let shape = match kind {
            wgpu::DeviceType::Cpu => Self::SOFTWARE,
            _ => Self::HARDWARE,
        };
        Self {
            workgroup_size: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x)
                .min(shape.workgroup_size),
            ..shape
        }
    }

    /// Returns the names and values of the constants for an entry point.
    pub fn constants(self, entry_point: &str) -> Vec<(&'static str, f64)> {
        let mut constants = vec![("workgroup_size", f64::from(self.workgroup_size))];
        if entry_point == VECTORS {
            let vectors = f64::from(self.vectors_per_invocation);
            constants.push(("vectors_per_invocation", vectors));
        }
        constants
    }
}

/// Includes a file of the folder `shaders`.
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

/// Returns the complete shader for a dtype, an operation and a rounding. `shared` says which inputs lie in the output's
/// buffer.
///
/// The shader needs no optional feature, except `SHADER_F64` and `SHADER_INT64` for `float64`. A forward shader ignores
/// `shared.grad`.
///
/// # Errors
///
/// Returns [`Error::Rounding`] for [`Rounding::Nearest`] of `float64`, which only the CPU path computes.
pub fn source(dtype: DType, op: Op, rounding: Rounding, shared: Shared) -> Result<String> {
    check_rounding(dtype, rounding)?;
    let format = match dtype {
        DType::F64 => shader!("format/float64"),
        DType::F32 | DType::F16 | DType::BF16 => shader!("format/float32"),
    };
    let faithful = match (op, dtype) {
        (Op::Forward, DType::F64) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("forward"),
            shader!("forward_op"),
        ],
        (Op::Forward, DType::F32) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("forward"),
            shader!("unit_forward"),
            shader!("forward_op_unit"),
        ],
        (Op::Forward, DType::F16) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("forward"),
            shader!("halves/unit_forward"),
            shader!("halves/float16"),
        ],
        (Op::Forward, DType::BF16) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("forward"),
            shader!("halves/unit_forward"),
            shader!("halves/bfloat16"),
        ],
        (Op::Backward, _) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("gradient"),
            shader!("gradient_cases"),
            shader!("backward"),
        ],
        (Op::BackwardFromOutput, _) => vec![
            shader!("primitives"),
            shader!("exponential"),
            shader!("gradient"),
            shader!("gradient_cases"),
            shader!("backward_from_output"),
        ],
    };
    let nearest = [
        shader!("nearest/fraction"),
        shader!("nearest/exponential"),
        shader!("nearest/digits"),
        shader!("nearest/exact"),
        shader!("nearest/rounding"),
        shader!("nearest/lanes"),
        match dtype {
            DType::F16 => shader!("nearest/float16"),
            DType::BF16 => shader!("nearest/bfloat16"),
            DType::F32 | DType::F64 => shader!("nearest/float32"),
        },
        match op {
            Op::Forward => "",
            Op::Backward | Op::BackwardFromOutput => shader!("gradient_cases"),
        },
        match op {
            Op::Forward => shader!("nearest/forward"),
            Op::Backward => shader!("nearest/backward"),
            Op::BackwardFromOutput => shader!("nearest/backward_from_output"),
        },
    ];
    let arithmetic = match rounding {
        Rounding::Faithful => &faithful[..],
        Rounding::Nearest => &nearest[..],
    };
    let vectors = match (rounding, dtype) {
        (Rounding::Faithful, _) => [shader!("map_vectors"), ""],
        (Rounding::Nearest, DType::F16 | DType::BF16) => {
            [shader!("nearest/map_vectors"), shader!("nearest/pairs")]
        }
        (Rounding::Nearest, _) => [shader!("nearest/map_vectors"), shader!("nearest/whole")],
    };
    let memory = match dtype {
        DType::F32 | DType::F64 => [shader!("memory/whole"), ""],
        DType::F16 => [shader!("memory/pairs"), shader!("memory/float16")],
        DType::BF16 => [shader!("memory/pairs"), shader!("memory/bfloat16")],
    };
    let halves = match (dtype, op, rounding) {
        (DType::F32 | DType::F64, ..) => "",
        (_, Op::Forward, Rounding::Faithful) => shader!("halves/forward_op"),
        _ => shader!("halves/op"),
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
    let arithmetic = arithmetic.iter().copied();
    let fragments = [format]
        .into_iter()
        .chain(arithmetic)
        .chain(memory)
        .chain([halves]);
    let fragments = fragments
        .chain(buffers)
        .chain(vectors)
        .chain([shader!("map")]);
    let fragments: Vec<&str> = fragments.filter(|text| !text.is_empty()).collect();
    Ok(fragments.join("\n"))
}

/// Fails if no shader rounds elements of `dtype` as requested.
pub(crate) fn check_rounding(dtype: DType, rounding: Rounding) -> Result<()> {
    match (dtype, rounding) {
        (DType::F64, Rounding::Nearest) => Err(Error::Rounding { rounding, dtype }),
        (_, Rounding::Nearest) | (_, Rounding::Faithful) => Ok(()),
    }
}

/// Returns a shader that copies, with the kernel's own shape, bindings and entry points, for comparison with the
/// kernel's speed. The result is `x`, or with `has_grad` the XOR of `x` and `grad`. It copies vectors of 16 bytes for
/// every dtype, and its uniform has the size of `float32`'s.
pub fn copy_source(has_grad: bool) -> String {
    let (op, grad) = if has_grad {
        ("x ^ grad", shader!("buffers/grad_separate"))
    } else {
        ("x", shader!("buffers/grad_none"))
    };
    let factors = size_of::<Factors32>() / size_of::<[u32; 4]>();
    [
        shader!("format/float32"),
        &format!("struct Factors {{ unused: array<vec4<u32>, {factors}> }}"),
        "fn op(x: vec4<u32>, grad: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {",
        &format!("    return {op};\n}}"),
        shader!("memory/whole"),
        shader!("buffers/y"),
        shader!("buffers/x_separate"),
        grad,
        shader!("map_vectors"),
        shader!("map"),
    ]
    .join("\n")
}
