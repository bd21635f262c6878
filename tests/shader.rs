//! The shaders without any adapter: naga parses and validates them, their layout is Rust's, and their translations are valid.

use std::{fs, io, mem::offset_of, process::Command};

use naga::{TypeInner, valid};
use wgpu_elu::{
    DType,
    shader::{
        ELEMENTS, Factors32, Factors64, GRAD_BINDING, Op, PARAMS_BINDING, Params, Shape, Shared,
        VECTORS, X_BINDING, Y_BINDING, source, uniform_size,
    },
};

use crate::{
    common::tell,
    translate::{Language, Variant, translate},
};

/// Every dtype, operation and arrangement of buffers.
fn every_shader() -> impl Iterator<Item = (DType, Op, Shared)> {
    DType::ALL.into_iter().flat_map(|dtype| {
        Op::ALL.into_iter().flat_map(move |op| {
            [false, true]
                .into_iter()
                .flat_map(move |x| [false, true].map(|grad| (dtype, op, Shared { x, grad })))
        })
    })
}

fn parse(dtype: DType, op: Op, shared: Shared) -> naga::Module {
    let source = source(dtype, op, shared);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
    // With no capability but f64 where it must be: the shaders need no optional feature.
    let capabilities = match dtype {
        DType::F64 => valid::Capabilities::FLOAT64,
        _ => valid::Capabilities::empty(),
    };
    valid::Validator::new(valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
    module
}

#[test]
fn every_shader_is_valid_and_has_both_entry_points() {
    for (dtype, op, shared) in every_shader() {
        let module = parse(dtype, op, shared);
        let mut names: Vec<&str> = module
            .entry_points
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, [ELEMENTS, VECTORS]);
        let mut found: Vec<u32> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| variable.binding)
            .inspect(|binding| assert_eq!(binding.group, 0))
            .map(|binding| binding.binding)
            .collect();
        found.sort_unstable();
        found.dedup();
        let mut expected = vec![PARAMS_BINDING, Y_BINDING];
        expected.extend((!shared.x).then_some(X_BINDING));
        expected.extend((op.has_grad() && !shared.grad).then_some(GRAD_BINDING));
        expected.sort_unstable();
        assert_eq!(found, expected, "{dtype} {op:?} {shared:?}");
    }
}

#[test]
fn params_and_factors_have_the_same_layout_in_rust() {
    let params = [
        ("count", offset_of!(Params, count)),
        ("x_first", offset_of!(Params, x_first)),
        ("grad_first", offset_of!(Params, grad_first)),
        ("y_first", offset_of!(Params, y_first)),
        ("groups_per_row", offset_of!(Params, groups_per_row)),
        ("head", offset_of!(Params, head)),
        ("gap", offset_of!(Params, gap)),
        ("end", offset_of!(Params, end)),
        ("zero", offset_of!(Params, zero)),
        ("padding_1", offset_of!(Params, padding_1)),
        ("padding_2", offset_of!(Params, padding_2)),
        ("padding_3", offset_of!(Params, padding_3)),
        ("factors", size_of::<Params>()),
    ];
    let factors_32 = [
        ("negative", offset_of!(Factors32, negative)),
        ("rescale", offset_of!(Factors32, rescale)),
        ("positive", offset_of!(Factors32, positive)),
        ("input_scale", offset_of!(Factors32, input_scale)),
        ("slope", offset_of!(Factors32, slope)),
        ("padding_1", offset_of!(Factors32, padding_1)),
        ("padding_2", offset_of!(Factors32, padding_2)),
        ("padding_3", offset_of!(Factors32, padding_3)),
    ];
    let factors_64 = [
        ("negative", offset_of!(Factors64, negative)),
        ("negative_high", offset_of!(Factors64, negative_high)),
        ("positive", offset_of!(Factors64, positive)),
        ("input_scale", offset_of!(Factors64, input_scale)),
        ("input_scale_high", offset_of!(Factors64, input_scale_high)),
        ("slope", offset_of!(Factors64, slope)),
        ("odd", offset_of!(Factors64, odd)),
        ("padding_1", offset_of!(Factors64, padding_1)),
    ];
    for (dtype, op, shared) in every_shader() {
        let module = parse(dtype, op, shared);
        let members = |name: &str| {
            let (_, ty) = module
                .types
                .iter()
                .find(|(_, ty)| ty.name.as_deref() == Some(name))
                .unwrap();
            let TypeInner::Struct { members, span } = &ty.inner else {
                panic!("{name} is no struct")
            };
            let members: Vec<_> = members
                .iter()
                .map(|member| (member.name.clone().unwrap(), member.offset as usize))
                .collect();
            (members, *span as usize)
        };
        let named = |fields: &[(&str, usize)]| -> Vec<_> {
            fields
                .iter()
                .map(|&(name, offset)| (name.to_owned(), offset))
                .collect()
        };
        let (wgsl, span) = members("Params");
        assert_eq!(wgsl, named(&params));
        assert_eq!(span, uniform_size(dtype));
        let factors = match dtype {
            DType::F64 => named(&factors_64),
            _ => named(&factors_32),
        };
        assert_eq!(members("Factors").0, factors);
    }
}

/// Every shader with every set of constants that makes a difference to it.
fn every_variant() -> impl Iterator<Item = Variant> {
    let pipelines = [
        (VECTORS, Shape::HARDWARE),
        (VECTORS, Shape::SOFTWARE),
        (ELEMENTS, Shape::HARDWARE),
    ];
    every_shader()
        .filter(|(_, op, shared)| op.has_grad() || !shared.grad)
        .flat_map(move |(dtype, op, shared)| {
            pipelines.map(|(entry_point, shape)| Variant {
                dtype,
                op,
                shared,
                shape,
                entry_point,
            })
        })
}

#[test]
fn every_shader_translates_to_every_language() {
    for variant in every_variant() {
        for language in Language::ALL {
            let translated = translate(variant, language);
            if language == Language::Msl && variant.dtype == DType::F64 {
                let error = translated.unwrap_err();
                assert!(error.contains("Metal has no 64-bit floats"), "{error}");
                continue;
            }
            let bytes = translated
                .unwrap_or_else(|error| panic!("{}, {variant:?}: {error}", language.name()));
            if language == Language::Spirv {
                let name = bytes
                    .windows(variant.entry_point.len())
                    .any(|bytes| bytes == variant.entry_point.as_bytes());
                assert!(bytes.starts_with(&0x0723_0203u32.to_le_bytes()) && name);
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            let entry_point = match language {
                Language::Wgsl => format!("fn {}(", variant.entry_point),
                Language::Msl => format!("kernel void {}(", variant.entry_point),
                Language::Hlsl => format!("void {}(", variant.entry_point),
                Language::Glsl => "void main(".into(),
                Language::Spirv => unreachable!(),
            };
            assert!(text.contains(&entry_point), "{variant:?}: {text}");
            if language == Language::Wgsl {
                let Variant {
                    dtype, op, shared, ..
                } = variant;
                assert_eq!(text, source(dtype, op, shared));
            } else {
                let other = if variant.entry_point == VECTORS {
                    ELEMENTS
                } else {
                    VECTORS
                };
                assert!(
                    !text.contains(&format!("void {other}(")),
                    "{variant:?}: {text}"
                );
            }
        }
    }
}

#[test]
fn spirv_is_valid() {
    check_by(
        Language::Spirv,
        "spirv-val",
        &["--target-env", "vulkan1.1"],
        "spv",
    );
}

#[test]
fn glsl_is_valid() {
    check_by(Language::Glsl, "glslangValidator", &["-S", "comp"], "comp");
}

/// Holds every translation to what `program` says of it.
fn check_by(language: Language, program: &str, args: &[&str], extension: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (i, variant) in every_variant().enumerate() {
        let file = folder.path().join(format!("{i}.{extension}"));
        fs::write(&file, translate(variant, language).unwrap()).unwrap();
        let output = match Command::new(program).args(args).arg(&file).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let wish = std::env::var("WGPU_ELU_VALIDATORS").unwrap_or_default();
                assert!(
                    wish != "require",
                    "WGPU_ELU_VALIDATORS=require, and there is no {program}: scripts/test installs it"
                );
                return tell(&format!(
                    "SKIPPED: everything that needs {program} (scripts/test installs it)"
                ));
            }
            output => output.unwrap(),
        };
        assert!(output.status.success(), "{variant:?}: {output:?}");
    }
}
