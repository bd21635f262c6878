//! Tests of the shaders without an adapter: naga parses and validates them, their structs have the same layout as
//! Rust's, and their translations are valid.

use std::{fs, io, mem::offset_of, process::Command};

use naga::{TypeInner, valid};
use wgpu_elu::{
    DType, Factors, Op, Rounding,
    shader::{
        Constant, ELEMENTS, Factor32, Factor64, Factors32, Factors64, GRAD_BINDING, NearestFactors,
        PARAMS_BINDING, Params, Shape, Shared, Specialization, VECTORS, X_BINDING, Y_BINDING,
        function, penalty, source, uniform_size,
    },
};

use conformance::native::announce;
use wgpu_elu::translate::{self, Language, Variant, translate, translate_source, unavailable};

/// Returns every combination of a dtype, an operation, a rounding and the inputs that share the output's buffer. There
/// are no shaders for nearest float64.
fn every_shader() -> impl Iterator<Item = (DType, Op, Rounding, Shared)> {
    let with_op = |dtype| Op::ALL.map(|op| (dtype, op));
    let with_shared = |(dtype, op)| {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(x, grad)| (dtype, op, Shared { x, grad }))
    };
    let with_rounding = |(dtype, op, shared)| {
        [Rounding::Faithful, Rounding::Nearest].map(|rounding| (dtype, op, rounding, shared))
    };
    let all = DType::ALL.into_iter().flat_map(with_op);
    let all = all.flat_map(with_shared).flat_map(with_rounding);
    all.filter(|&(dtype, _, rounding, _)| dtype != DType::F64 || rounding == Rounding::Faithful)
}

fn parse(dtype: DType, op: Op, rounding: Rounding, shared: Shared) -> naga::Module {
    parse_source(dtype, &source(dtype, op, rounding, shared).unwrap())
}

/// Returns the capabilities that a shader may use: those of float64 for this dtype, and otherwise none, because the
/// other shaders need no optional feature.
pub(crate) fn capabilities(dtype: DType) -> valid::Capabilities {
    match dtype {
        DType::F64 => valid::Capabilities::FLOAT64 | valid::Capabilities::SHADER_INT64,
        _ => valid::Capabilities::empty(),
    }
}

/// Parses and validates WGSL.
fn parse_source(dtype: DType, source: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    validate(dtype, source, &module);
    module
}

/// Validates a module, and returns the types of its expressions.
fn validate(dtype: DType, source: &str, module: &naga::Module) -> valid::ModuleInfo {
    valid::Validator::new(valid::ValidationFlags::all(), capabilities(dtype))
        .validate(module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)))
}

/// Returns the names of the entry points, sorted.
fn entry_points(module: &naga::Module) -> Vec<&str> {
    let names = module.entry_points.iter().map(|entry| entry.name.as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

/// Returns the binding numbers, sorted. All bindings must be in group 0.
fn bindings(module: &naga::Module) -> Vec<u32> {
    let mut numbers: Vec<u32> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| variable.binding)
        .inspect(|binding| assert_eq!(binding.group, 0))
        .map(|binding| binding.binding)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Returns the fields of a struct with their offsets, and its size.
fn members(module: &naga::Module, name: &str) -> (Vec<(String, usize)>, usize) {
    let (_, ty) = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some(name))
        .unwrap();
    let TypeInner::Struct { members, span } = &ty.inner else {
        panic!("{name} is not a struct")
    };
    let members = members
        .iter()
        .map(|member| (member.name.clone().unwrap(), member.offset as usize));
    (members.collect(), *span as usize)
}

/// Converts Rust's fields to the form that [`members`] returns.
fn owned(fields: &[(&str, usize)]) -> Vec<(String, usize)> {
    let owned = |&(name, offset): &(&str, usize)| (name.to_owned(), offset);
    fields.iter().map(owned).collect()
}

#[test]
fn every_shader_is_valid_and_has_both_entry_points() {
    for (dtype, op, rounding, shared) in every_shader() {
        let module = parse(dtype, op, rounding, shared);
        assert_eq!(entry_points(&module), [ELEMENTS, VECTORS]);
        let mut expected = vec![PARAMS_BINDING, Y_BINDING];
        expected.extend((!shared.x).then_some(X_BINDING));
        expected.extend((op.has_grad() && !shared.grad).then_some(GRAD_BINDING));
        expected.sort_unstable();
        assert_eq!(
            bindings(&module),
            expected,
            "{dtype} {op:?} {rounding} {shared:?}"
        );
    }
}

/// WGSL leaves the rounding of floats open, so results that have the same bits on every device are computed with
/// integers.
#[test]
fn nearest_shaders_have_no_operation_on_floats() {
    fn has_floats(
        module: &naga::Module,
        body: &naga::Function,
        info: &valid::FunctionInfo,
    ) -> bool {
        body.expressions.iter().any(|(handle, _)| {
            let scalar = info[handle].ty.inner_with(&module.types).scalar();
            scalar.is_some_and(|scalar| scalar.kind == naga::ScalarKind::Float)
        })
    }
    let mut faithful_has_floats = false;
    for (dtype, op, rounding, shared) in every_shader() {
        let source = source(dtype, op, rounding, shared).unwrap();
        let mut module = parse_source(dtype, &source);
        // Removes the functions that no entry point calls: `format/float32` has polynomials.
        naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
        let info = validate(dtype, &source, &module);
        let in_functions = module
            .functions
            .iter()
            .any(|(handle, body)| has_floats(&module, body, &info[handle]));
        let in_entry_points = module
            .entry_points
            .iter()
            .enumerate()
            .any(|(i, entry)| has_floats(&module, &entry.function, info.get_entry_point(i)));
        let has_floats = in_functions || in_entry_points;
        match rounding {
            Rounding::Nearest => assert!(!has_floats, "{dtype} {op:?} {shared:?}"),
            Rounding::Faithful => faithful_has_floats |= has_floats,
        }
    }
    assert!(faithful_has_floats, "the test finds no floats at all");
}

#[test]
fn params_and_factors_have_the_same_layout_in_wgsl_and_rust() {
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
    macro_rules! factors {
        ($factors:ty) => {
            [
                ("negative", offset_of!($factors, negative)),
                ("positive", offset_of!($factors, positive)),
                ("input_scale", offset_of!($factors, input_scale)),
                ("slope", offset_of!($factors, slope)),
                ("negative_bits", offset_of!($factors, negative_bits)),
                ("largest", offset_of!($factors, largest)),
                ("small", offset_of!($factors, small)),
                ("padding", offset_of!($factors, padding)),
            ]
        };
    }
    macro_rules! factor {
        ($factor:ty) => {
            [
                ("high", offset_of!($factor, high)),
                ("low", offset_of!($factor, low)),
                ("exponent", offset_of!($factor, exponent)),
                ("padding", offset_of!($factor, padding)),
            ]
        };
    }
    let nearest_factors = [
        ("negative", offset_of!(NearestFactors, negative)),
        ("positive", offset_of!(NearestFactors, positive)),
        ("input_scale", offset_of!(NearestFactors, input_scale)),
        ("slope", offset_of!(NearestFactors, slope)),
        ("negative_bits", offset_of!(NearestFactors, negative_bits)),
        ("largest", offset_of!(NearestFactors, largest)),
        ("slope_is_exact", offset_of!(NearestFactors, slope_is_exact)),
        ("padding", offset_of!(NearestFactors, padding)),
    ];
    let constant = [
        ("high", offset_of!(Constant, high)),
        ("middle", offset_of!(Constant, middle)),
        ("low", offset_of!(Constant, low)),
        ("exponent", offset_of!(Constant, exponent)),
    ];
    for (dtype, op, rounding, shared) in every_shader() {
        let module = parse(dtype, op, rounding, shared);
        let (wgsl, span) = members(&module, "Params");
        assert_eq!(wgsl, owned(&params));
        assert_eq!(span, uniform_size(dtype));
        let (factors, name, factor) = match (dtype, rounding) {
            (_, Rounding::Nearest) => (nearest_factors, "Constant", constant),
            (DType::F64, _) => (factors!(Factors64), "Factor", factor!(Factor64)),
            _ => (factors!(Factors32), "Factor", factor!(Factor32)),
        };
        assert_eq!(members(&module, "Factors").0, owned(&factors));
        assert_eq!(members(&module, name).0, owned(&factor));
    }
}

#[test]
fn the_penalty_shader_is_valid_and_has_the_same_layout_and_constants_as_rust() {
    use penalty::{Factors32, Factors64, LAST, Params, SUMS};
    let params = [
        ("first", offset_of!(Params, first)),
        ("count", offset_of!(Params, count)),
        ("to", offset_of!(Params, to)),
        ("groups_per_row", offset_of!(Params, groups_per_row)),
        ("begin", offset_of!(Params, begin)),
        ("end", offset_of!(Params, end)),
        ("zero", offset_of!(Params, zero)),
        ("padding_1", offset_of!(Params, padding_1)),
        ("factors", size_of::<Params>()),
    ];
    let factors_32 = [
        ("l1", offset_of!(Factors32, l1)),
        ("l2", offset_of!(Factors32, l2)),
        ("scale", offset_of!(Factors32, scale)),
        ("power", offset_of!(Factors32, power)),
    ];
    let factors_64 = [
        ("l1", offset_of!(Factors64, l1)),
        ("l2", offset_of!(Factors64, l2)),
        ("scale", offset_of!(Factors64, scale)),
        ("power", offset_of!(Factors64, power)),
    ];
    for dtype in DType::ALL {
        let source = penalty::source(dtype);
        let module = parse_source(dtype, &source);
        assert_eq!(entry_points(&module), [ELEMENTS, LAST, SUMS, VECTORS]);
        assert_eq!(bindings(&module), [PARAMS_BINDING, X_BINDING, Y_BINDING]);
        let (wgsl, span) = members(&module, "Params");
        assert_eq!(wgsl, owned(&params));
        assert_eq!(span, penalty::uniform_size(dtype));
        let (factors, sum_size) = match dtype {
            DType::F64 => (owned(&factors_64), 16),
            _ => (owned(&factors_32), 8),
        };
        assert_eq!(members(&module, "Factors").0, factors);
        assert_eq!(members(&module, "Sum").1, sum_size);
        let sums = penalty::SUMS_PER_INVOCATION;
        assert!(source.contains(&format!("const SUMS_PER_INVOCATION = {sums}u;")));
    }
}

/// Returns every shader with every entry point, shape and specialization. For [`ELEMENTS`], the shapes differ only in
/// the size of a workgroup, so one is enough. Forward has no gradient, so its variants with `shared.grad` are left out.
fn every_variant() -> impl Iterator<Item = Variant> {
    let pipelines = [
        (VECTORS, Shape::HARDWARE),
        (VECTORS, Shape::SOFTWARE),
        (ELEMENTS, Shape::HARDWARE),
    ];
    every_shader()
        .filter(|(_, op, _, shared)| op.has_grad() || !shared.grad)
        .flat_map(move |(dtype, op, rounding, shared)| {
            let specializations = [
                Factors::celu(2.0).expect("2 is within the range"),
                Factors::SELU,
                Factors::elu(1.0),
            ]
            .map(|factors| Specialization::new(dtype, op, factors));
            pipelines.into_iter().flat_map(move |(entry_point, shape)| {
                specializations.map(|specialization| Variant {
                    dtype,
                    op,
                    rounding,
                    shared,
                    shape,
                    specialization,
                    entry_point,
                })
            })
        })
}

/// Returns every combination of a dtype, a shape and an entry point of the penalty's shader.
fn every_penalty() -> impl Iterator<Item = (DType, Shape, &'static str)> {
    let entry_points = [ELEMENTS, penalty::LAST, penalty::SUMS, VECTORS];
    DType::ALL.into_iter().flat_map(move |dtype| {
        [Shape::HARDWARE, Shape::SOFTWARE]
            .into_iter()
            .flat_map(move |shape| entry_points.map(|entry_point| (dtype, shape, entry_point)))
    })
}

fn translate_penalty(
    (dtype, shape, entry_point): (DType, Shape, &str),
    language: Language,
) -> Result<Vec<u8>, translate::Error> {
    let constants = penalty::constants(shape, entry_point);
    translate_source(
        penalty::source(dtype),
        dtype,
        entry_point,
        &constants,
        language,
    )
}

#[test]
fn the_penalty_shader_translates_to_every_language() {
    for variant in every_penalty() {
        let (dtype, _, entry_point) = variant;
        for language in Language::ALL {
            if unavailable(dtype, Rounding::Faithful, language).is_some() {
                continue;
            }
            let translated = translate_penalty(variant, language);
            let bytes = translated
                .unwrap_or_else(|error| panic!("{}, {variant:?}: {error}", language.name()));
            let name = match language {
                Language::Glsl => "void main(",
                _ => entry_point,
            };
            let has_name = bytes
                .windows(name.len())
                .any(|bytes| bytes == name.as_bytes());
            assert!(has_name, "{}, {variant:?}", language.name());
        }
    }
}

#[test]
fn every_shader_translates_to_every_language() {
    for variant in every_variant() {
        for language in Language::ALL {
            let translated = translate(variant, language);
            if let Some(reason) = unavailable(variant.dtype, variant.rounding, language) {
                assert_eq!(translated.unwrap_err(), reason);
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
                    dtype,
                    op,
                    rounding,
                    shared,
                    ..
                } = variant;
                assert_eq!(text, source(dtype, op, rounding, shared).unwrap());
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
    validate_translations(
        Language::Spirv,
        "spirv-val",
        &["--target-env", "vulkan1.1"],
        "spv",
    );
}

#[test]
fn glsl_is_valid() {
    validate_translations(Language::Glsl, "glslangValidator", &["-S", "comp"], "comp");
}

/// Tint is the WGSL compiler of Chromium. No package contains it, so this test is skipped on most machines. There,
/// scripts/test-web finds what Tint refuses, because the tests in Chromium compile the same shaders.
#[test]
fn tint_accepts_the_wgsl() {
    let folder = tempfile::tempdir().unwrap();
    let kernels = every_shader().map(|(dtype, op, rounding, shared)| {
        let what = format!("{dtype} {op:?} {rounding} {shared:?}");
        (dtype, what, source(dtype, op, rounding, shared).unwrap())
    });
    let others = DType::ALL.into_iter().flat_map(|dtype| {
        [
            (dtype, format!("penalty {dtype}"), penalty::source(dtype)),
            (dtype, format!("function {dtype}"), function(dtype)),
        ]
    });
    // 64-bit floats are an extension of naga.
    let all = kernels
        .chain(others)
        .filter(|(dtype, ..)| *dtype != DType::F64);
    for (what, source) in all.map(|(_, what, source)| (what, source)) {
        let file = folder.path().join("shader.wgsl");
        fs::write(&file, source).unwrap();
        let output = match Command::new("tint")
            .args(["--format", "wgsl"])
            .arg(&file)
            .output()
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return announce(
                    "SKIPPED: the validation of WGSL by tint (not found; scripts/test-web compiles the shaders, too)",
                );
            }
            output => output.unwrap(),
        };
        assert!(output.status.success(), "{what}: {output:?}");
    }
}

/// Checks every translation to `language` with the validator `program`. Skips the test if the validator is not
/// installed, unless `WGPU_ELU_VALIDATORS` is `require`.
fn validate_translations(language: Language, program: &str, args: &[&str], extension: &str) {
    let folder = tempfile::tempdir().unwrap();
    let elu = every_variant()
        .filter(|variant| unavailable(variant.dtype, variant.rounding, language).is_none())
        .map(|variant| (format!("{variant:?}"), translate(variant, language)));
    let penalties = every_penalty()
        .filter(|&(dtype, ..)| unavailable(dtype, Rounding::Faithful, language).is_none())
        .map(|variant| (format!("{variant:?}"), translate_penalty(variant, language)));
    for (i, (what, translated)) in elu.chain(penalties).enumerate() {
        let file = folder.path().join(format!("{i}.{extension}"));
        fs::write(&file, translated.unwrap()).unwrap();
        let output = match Command::new(program).args(args).arg(&file).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let setting = std::env::var("WGPU_ELU_VALIDATORS").unwrap_or_default();
                assert!(
                    setting != "require",
                    "WGPU_ELU_VALIDATORS=require, but {program} was not found: scripts/test installs it"
                );
                return announce(&format!(
                    "SKIPPED: the validation of translations by {program} (scripts/test installs it)"
                ));
            }
            output => output.unwrap(),
        };
        assert!(output.status.success(), "{what}: {output:?}");
    }
}
