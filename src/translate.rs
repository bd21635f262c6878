//! Translates the shaders to the languages of the drivers, through naga with settings like those of wgpu. The versions
//! are fixed (SPIR-V 1.3, MSL 2.0, HLSL for shader model 6.0, GLSL 4.50), while wgpu chooses them by the device.

use std::fmt;

use naga::{
    ResourceBinding, ShaderStage,
    back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv},
    front::wgsl,
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
    valid::{Capabilities, ValidationFlags, Validator},
};

use crate::{
    dtype::DType,
    op::Op,
    rounding::Rounding,
    shader::{
        GRAD_BINDING, PARAMS_BINDING, Shape, Shared, Specialization, X_BINDING, Y_BINDING, source,
    },
};

/// A shading language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// WebGPU's language, in which the shaders are written.
    Wgsl,
    /// Vulkan's language, in binary form.
    Spirv,
    /// Metal's language.
    Msl,
    /// Direct3D's language.
    Hlsl,
    /// OpenGL's language.
    Glsl,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 5] = [Self::Wgsl, Self::Spirv, Self::Msl, Self::Hlsl, Self::Glsl];

    /// Returns the name that the command line uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::Spirv => "spirv",
            Self::Msl => "msl",
            Self::Hlsl => "hlsl",
            Self::Glsl => "glsl",
        }
    }

    /// Returns the usual spelling of the name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Wgsl => "WGSL",
            Self::Spirv => "SPIR-V",
            Self::Msl => "MSL",
            Self::Hlsl => "HLSL",
            Self::Glsl => "GLSL",
        }
    }
}

/// The reason why a translation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No shader of this dtype exists in this language.
    #[error("{dtype} has no {}, because {reason}", language.title())]
    Unavailable {
        /// The dtype.
        dtype: DType,
        /// The language.
        language: Language,
        /// The reason.
        reason: &'static str,
    },
    /// naga rejected the shader.
    #[error("naga rejected the shader: {reason}")]
    Refused {
        /// naga's message.
        reason: String,
    },
}

impl Error {
    fn refused(error: impl fmt::Display) -> Self {
        Self::Refused {
            reason: error.to_string(),
        }
    }
}

/// Returns why no shader of `dtype` with this rounding exists in `language`, or `None` if one exists.
pub fn unavailable(dtype: DType, rounding: Rounding, language: Language) -> Option<Error> {
    let reason = match (dtype, language) {
        (DType::F64, _) if rounding == Rounding::Nearest => {
            "only the CPU path rounds it to nearest"
        }
        (DType::F64, Language::Msl) => "Metal has no 64-bit floats",
        // naga 30 rejects 64-bit integers in GLSL, and in HLSL it drops the bitcasts between them and doubles.
        (DType::F64, Language::Hlsl | Language::Glsl) => {
            "naga does not write the 64-bit integers that it needs"
        }
        _ => return None,
    };
    Some(Error::Unavailable {
        dtype,
        language,
        reason,
    })
}

/// One of this crate's shaders, with one of its entry points.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The dtype of the elements.
    pub dtype: DType,
    /// The operation.
    pub op: Op,
    /// How results are rounded.
    pub rounding: Rounding,
    /// The inputs that lie in the output's buffer.
    pub shared: Shared,
    /// The values of the `override` constants for the shape.
    pub shape: Shape,
    /// The values of the other `override` constants.
    pub specialization: Specialization,
    /// [`VECTORS`](crate::shader::VECTORS) or [`ELEMENTS`](crate::shader::ELEMENTS).
    pub entry_point: &'static str,
}

/// Returns the shader in `language`, as the bytes of a file. WGSL is the complete source that wgpu receives. The other
/// languages contain only the given entry point, with the values of the `override` constants inserted.
///
/// Binding n of group 0 becomes descriptor n of set 0 in SPIR-V, register n of its kind in HLSL, binding n in GLSL, and
/// buffer n in MSL, where a buffer with the sizes of the others follows.
///
/// # Errors
///
/// Returns [`Error::Unavailable`] if the language cannot express the shader (see [`unavailable`]), and
/// [`Error::Refused`] if naga cannot write it.
pub fn translate(variant: Variant, language: Language) -> Result<Vec<u8>, Error> {
    let Variant {
        dtype,
        op,
        rounding,
        shared,
        shape,
        specialization,
        entry_point,
    } = variant;
    if let Some(reason) = unavailable(dtype, rounding, language) {
        return Err(reason);
    }
    let source = source(dtype, op, rounding, shared).map_err(Error::refused)?;
    let mut constants = shape.constants(entry_point);
    constants.extend(specialization.constants());
    translate_source(source, dtype, entry_point, &constants, language)
}

/// Translates one entry point of any shader that has the bindings of this crate's shaders. With the dtype `float64`,
/// the shader may use 64-bit floats and integers.
///
/// # Errors
///
/// Returns [`Error::Refused`] if the shader is invalid or naga cannot write it.
pub fn translate_source(
    source: String,
    dtype: DType,
    entry_point: &str,
    constants: &[(&str, f64)],
    language: Language,
) -> Result<Vec<u8>, Error> {
    if language == Language::Wgsl {
        return Ok(source.into_bytes());
    }
    let module = wgsl::parse_str(&source).map_err(Error::refused)?;
    let capabilities = match dtype {
        DType::F64 => Capabilities::FLOAT64 | Capabilities::SHADER_INT64,
        _ => Capabilities::empty(),
    };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(Error::refused)?;
    let stage = ShaderStage::Compute;
    let constants = constants
        .iter()
        .map(|&(name, value)| (name.to_owned(), value))
        .collect();
    // This call removes the other entry points and validates the result.
    let (module, info) = process_overrides(&module, &info, Some((stage, entry_point)), &constants)
        .map_err(Error::refused)?;
    let bindings = [PARAMS_BINDING, X_BINDING, GRAD_BINDING, Y_BINDING]
        .map(|binding| (ResourceBinding { group: 0, binding }, slot(binding)));
    match language {
        Language::Wgsl => Ok(source.into_bytes()), // already returned above
        Language::Spirv => {
            let options = spv::Options {
                lang_version: (1, 3),           // Vulkan 1.1
                flags: spv::WriterFlags::DEBUG, // keeps names, for disassemblers
                bounds_check_policies: CHECKS,
                ..spv::Options::default()
            };
            let pipeline = spv::PipelineOptions {
                shader_stage: stage,
                entry_point: entry_point.into(),
            };
            spv::write_vec(&module, &info, &options, Some(&pipeline))
                .map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect())
                .map_err(Error::refused)
        }
        Language::Msl => {
            let resources = bindings.map(|(binding, slot)| {
                let target = msl::BindTarget {
                    buffer: Some(slot),
                    mutable: binding.binding == Y_BINDING,
                    ..msl::BindTarget::default()
                };
                (binding, target)
            });
            let resources = msl::EntryPointResources {
                resources: resources.into(),
                sizes_buffer: Some(slot(Y_BINDING) + 1),
                ..msl::EntryPointResources::default()
            };
            let options = msl::Options {
                lang_version: (2, 0),
                per_entry_point_map: [(entry_point.to_owned(), resources)].into(),
                fake_missing_bindings: false,
                bounds_check_policies: CHECKS,
                ..msl::Options::default()
            };
            let pipeline = msl::PipelineOptions {
                entry_point: Some((stage, entry_point.into())),
                ..msl::PipelineOptions::default()
            };
            msl::write_string(&module, &info, &options, &pipeline)
                .map(|(text, _)| text.into_bytes())
                .map_err(Error::refused)
        }
        Language::Hlsl => {
            let targets = bindings.map(|(binding, slot)| {
                let target = hlsl::BindTarget {
                    register: slot.into(),
                    restrict_indexing: true,
                    ..hlsl::BindTarget::default()
                };
                (binding, target)
            });
            let options = hlsl::Options {
                shader_model: hlsl::ShaderModel::V6_0,
                binding_map: targets.into(),
                fake_missing_bindings: false,
                ..hlsl::Options::default()
            };
            let pipeline = hlsl::PipelineOptions {
                entry_point: Some((stage, entry_point.into())),
            };
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(&module, &info, None)
                .map_err(Error::refused)?;
            Ok(text.into_bytes())
        }
        Language::Glsl => {
            let options = glsl::Options {
                version: glsl::Version::Desktop(450), // the first in which mix takes integers, as WGSL's select does
                binding_map: bindings.into(),
                ..glsl::Options::default()
            };
            let pipeline = glsl::PipelineOptions {
                shader_stage: stage,
                entry_point: entry_point.into(),
                multiview: None,
            };
            let mut text = String::new();
            // wgpu relies on OpenGL's own robust access.
            let checks = BoundsCheckPolicies::default();
            glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, checks)
                .and_then(|mut writer| writer.write())
                .map_err(Error::refused)?;
            Ok(text.into_bytes())
        }
    }
}

// ---- Internals ----

/// The bounds checks that wgpu uses for drivers that do not check bounds themselves.
const CHECKS: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Unchecked,
};

fn slot(binding: u32) -> u8 {
    u8::try_from(binding).unwrap_or(u8::MAX) // the bindings are 0 to 3
}
