//! The WGSL that runs: composed text per dtype and buffer arrangement, and the layout that goes with it. No wgpu call.

use bytemuck::{Pod, Zeroable};

use crate::dtype::DType;

/// Where input and output lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buffers {
    /// In two buffers.
    Separate,
    /// In one buffer, at the same place or at two that do not overlap.
    Single,
}

impl Buffers {
    /// The name used in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Separate => "separate",
            Self::Single => "single",
        }
    }
}

/// The uniform of one dispatch. Must stay equal to `Params` in `shaders/map.wgsl`, where the fields are explained.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Default)]
#[allow(missing_docs, reason = "the fields are explained in the shader")]
pub struct Params {
    pub alpha: f32,
    pub scale: f32,
    pub count: u32,
    pub x_first: u32,
    pub y_first: u32,
    pub groups_per_row: u32,
    pub head: u32,
    pub gap: u32,
    pub zero: u32,
    pub padding_1: u32,
    pub padding_2: u32,
    pub padding_3: u32,
}

/// Binding of the uniform [`Params`], in group 0.
pub const PARAMS_BINDING: u32 = 0;
/// Binding of the input, in group 0; with a single buffer there is none.
pub const X_BINDING: u32 = 1;
/// Binding of the output, or of the single buffer, in group 0.
pub const Y_BINDING: u32 = 2;

/// The entry point that takes four elements at a time, from bindings at the same place within 16 bytes.
pub const VECTORS: &str = "vectors";
/// The entry point that takes one element at a time, from anywhere.
pub const ELEMENTS: &str = "elements";

macro_rules! compose {
    ($buffers:literal) => {
        concat!(
            include_str!("../shaders/elu.wgsl"),
            "\n",
            include_str!(concat!("../shaders/buffers/", $buffers)),
            "\n",
            include_str!("../shaders/map.wgsl"),
        )
    };
}

/// The whole shader for a dtype and an arrangement of buffers.
pub fn source(dtype: DType, buffers: Buffers) -> &'static str {
    match (dtype, buffers) {
        (DType::F32, Buffers::Separate) => compose!("separate.wgsl"),
        (DType::F32, Buffers::Single) => compose!("single.wgsl"),
    }
}
