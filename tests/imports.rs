//! Tests of the functions that a host calls in its own shader. They work as modules of `naga_oil` and WESL, their names
//! do not clash with the host's, and they translate to every shading language.

use std::{borrow::Cow, collections::BTreeSet};

use crate::shader::capabilities;
use naga::valid::{ValidationFlags, Validator};
use naga_oil::compose::{ComposableModuleDescriptor, Composer, NagaModuleDescriptor};
use wesl::{VirtualResolver, Wesl};
use wgpu_elu::{
    DType, Rounding,
    shader::{X_BINDING, Y_BINDING, function},
    wgpu,
};

use conformance::function::{
    Join, alpha_type, alphas, calls, check_all, on_every_dtype, special_values,
};
use wgpu_elu::translate::{Language, translate_source, unavailable};

/// Joins the function to the host's shader as an import of `naga_oil`.
fn join_by_naga_oil(dtype: DType, host: &str, import: &str) -> wgpu::ShaderSource<'static> {
    let mut composer = Composer::default().with_capabilities(capabilities(dtype));
    composer
        .add_composable_module(ComposableModuleDescriptor {
            source: &function(dtype),
            as_name: Some("activations".into()),
            ..Default::default()
        })
        .unwrap_or_else(|error| panic!("{dtype}: {error:?}"));
    let module = composer
        .make_naga_module(NagaModuleDescriptor {
            source: &format!("#import activations::{import}\n{host}"),
            ..Default::default()
        })
        .unwrap_or_else(|error| panic!("{dtype}: {error:?}"));
    wgpu::ShaderSource::Naga(Cow::Owned(module))
}

/// Joins the function to the host's shader as an import of WESL.
fn join_by_wesl(dtype: DType, host: &str, import: &str) -> wgpu::ShaderSource<'static> {
    let mut files = VirtualResolver::new();
    let host = format!("import package::activations::{import};\n{host}");
    files.add_module("package::host".parse().unwrap(), host.into());
    files.add_module(
        "package::activations".parse().unwrap(),
        function(dtype).into(),
    );
    let compiled = Wesl::new("")
        .set_custom_resolver(files)
        .compile(&"package::host".parse().unwrap())
        .unwrap_or_else(|error| panic!("{dtype}: {error}"));
    wgpu::ShaderSource::Wgsl(compiled.to_string().into())
}

#[pollster::test]
async fn imported_functions_keep_the_contract() {
    on_every_dtype(async |gpu, name, dtype| {
        let joins: &[Join] = match dtype {
            DType::F64 => &[join_by_naga_oil], // WESL has no f64
            _ => &[join_by_naga_oil, join_by_wesl],
        };
        for join in joins {
            check_all(gpu, name, *join, dtype, &special_values(dtype), &alphas()).await;
        }
    })
    .await;
}

/// Returns all names at module scope.
fn names(module: &naga::Module) -> Vec<String> {
    let types = module.types.iter().map(|(_, ty)| &ty.name);
    let constants = module.constants.iter().map(|(_, constant)| &constant.name);
    let overrides = module.overrides.iter().map(|(_, constant)| &constant.name);
    let variables = module
        .global_variables
        .iter()
        .map(|(_, variable)| &variable.name);
    let functions = module.functions.iter().map(|(_, function)| &function.name);
    let named = types
        .chain(constants)
        .chain(overrides)
        .chain(variables)
        .chain(functions);
    named.flatten().cloned().collect()
}

/// Parses and validates WGSL.
fn parse(dtype: DType, source: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    Validator::new(ValidationFlags::all(), capabilities(dtype))
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    module
}

#[test]
fn names_do_not_clash_with_the_hosts() {
    // The function of each dtype, and all of them in one shader.
    let mut texts: Vec<(DType, String)> = DType::ALL.map(|d| (d, function(d))).into();
    let all = texts.iter().map(|(_, text)| text.clone()).collect();
    texts.push((DType::F64, all));
    for (dtype, text) in texts {
        let module = parse(dtype, &text);
        let found = names(&module);
        assert!(found.len() > 5, "{dtype}: {found:?}");
        for name in &found {
            assert!(name.starts_with("wgpu_elu_"), "{dtype}: {name}");
        }
        assert!(module.entry_points.is_empty() && module.global_variables.is_empty());
        assert!(module.overrides.is_empty());
        // naga's module contains neither aliases nor directives. Directives must come first in a file, so a function
        // that may be appended to a shader must have none.
        for word in ["alias ", "enable ", "requires ", "diagnostic("] {
            let is_used = text.lines().any(|line| line.starts_with(word));
            assert!(!is_used, "{dtype}: {word}");
        }
        let (float, _) = alpha_type(dtype);
        let (_, _, call, _) = calls(dtype, "ALPHA").remove(0);
        let argument = if call.contains("x2") {
            "1u".into()
        } else {
            format!("{float}(1)")
        };
        let call = call.replace(
            "(x, ALPHA)",
            &format!("({argument}, {float}(params.alpha))"),
        );
        // The host declares every name of the function without the prefix, as in wgpu_elu_f32_barrier.
        let unprefixed = found.iter().filter_map(|name| {
            let (_, name) = name.strip_prefix("wgpu_elu_")?.split_once('_')?;
            Some(name)
        });
        let unprefixed: BTreeSet<&str> = unprefixed.collect();
        assert!(unprefixed.contains("barrier"), "{dtype}: {unprefixed:?}");
        let mut host = HOST.replace("CALL", &call);
        for name in unprefixed {
            host.push_str(&format!("\nconst {name} = 7u;"));
        }
        for source in [format!("{text}\n{host}"), format!("{host}\n{text}")] {
            parse(dtype, &source);
        }
    }
}

#[test]
fn functions_translate_to_every_language() {
    for dtype in DType::ALL {
        let (wgsl_float, _) = alpha_type(dtype);
        for (element, _, call, _) in calls(dtype, &format!("{wgsl_float}(0.5)")) {
            let source = format!(
                "@group(0) @binding({X_BINDING}) var<storage, read> input: array<{element}>;
                @group(0) @binding({Y_BINDING}) var<storage, read_write> output: array<{element}>;

                @compute @workgroup_size(64)
                fn last_step(@builtin(global_invocation_id) id: vec3<u32>) {{
                    let x = input[id.x];
                    output[id.x] = {call};
                }}
                {}",
                function(dtype)
            );
            for language in Language::ALL {
                if unavailable(dtype, Rounding::Faithful, language).is_none() {
                    translate_source(source.clone(), dtype, "last_step", &[], language)
                        .unwrap_or_else(|error| panic!("{dtype}, {language:?}: {error}"));
                }
            }
        }
    }
}

/// A host's shader with names that a function for ELU could use, but with other meanings.
const HOST: &str = "
    alias Vector = vec4<f32>;
    const SIGN = 2u;
    const zero = 0u;
    override unit_factors: bool = true;
    override alpha: f32 = 1.0;
    struct Params { x: f32, alpha: f32 }
    struct Factors { negative: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> x: array<f32>;
    fn exp_m1(x: f32) -> f32 { return x; }
    fn op(x: f32) -> f32 { return x; }
    fn wgpu_elu(x: f32) -> f32 { return x; }
    @compute @workgroup_size(1)
    fn main() { x[0] = x[0] + f32(CALL); }";
