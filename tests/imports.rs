//! Tests of the functions for other shaders as modules of `naga_oil` and WESL: their names and their translations.

use std::borrow::Cow;

use crate::shader::capabilities;
use naga::valid::{ValidationFlags, Validator};
use naga_oil::compose::{ComposableModuleDescriptor, Composer, NagaModuleDescriptor};
use wesl::{VirtualResolver, Wesl};
use wgpu_elu::{
    DType,
    shader::{X_BINDING, Y_BINDING, function},
    wgpu,
};

use conformance::function::{Join, alphas, calls, check_all, float, on_every_dtype, specials};
use wgpu_elu::translate::{Language, translate_source, unavailable};

fn by_naga_oil(dtype: DType, host: &str, import: &str) -> wgpu::ShaderSource<'static> {
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

fn by_wesl(dtype: DType, host: &str, import: &str) -> wgpu::ShaderSource<'static> {
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
async fn special_values_with_special_alphas() {
    on_every_dtype(async |gpu, name, dtype| {
        let joins: &[Join] = match dtype {
            DType::F64 => &[by_naga_oil], // WESL has no f64
            _ => &[by_naga_oil, by_wesl],
        };
        for join in joins {
            check_all(gpu, name, *join, dtype, &specials(dtype), &alphas()).await;
        }
    })
    .await;
}

/// Returns the names at module scope.
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

fn parse(dtype: DType, source: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    Validator::new(ValidationFlags::all(), capabilities(dtype))
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    module
}

#[test]
fn no_name_can_clash() {
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
        // These are not in naga's module: aliases, and directives that must come first in a file.
        for word in ["alias ", "enable ", "requires ", "diagnostic("] {
            let found = text.lines().any(|line| line.starts_with(word));
            assert!(!found, "{dtype}: {word}");
        }
        let (float, _) = float(dtype);
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
        let host = HOST.replace("CALL", &call);
        for source in [format!("{text}\n{host}"), format!("{host}\n{text}")] {
            parse(dtype, &source);
        }
    }
}

#[test]
fn it_translates_to_every_language() {
    for dtype in DType::ALL {
        let (wgsl_float, _) = float(dtype);
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
                if unavailable(dtype, language).is_none() {
                    translate_source(source.clone(), dtype, "last_step", &[], language)
                        .unwrap_or_else(|error| panic!("{dtype}, {language:?}: {error}"));
                }
            }
        }
    }
}

/// A host shader with its own names for everything that the function might use.
const HOST: &str = "
    alias Vector = vec4<f32>;
    const MAGNITUDE = 1u;
    const SIGN = 2u;
    const INFINITY = 3u;
    const ONE = 4u;
    const zero = 0u;
    override plain: bool = true;
    override alpha: f32 = 1.0;
    struct Params { x: f32, alpha: f32 }
    struct Factors { negative: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> x: array<f32>;
    fn elu(x: f32) -> f32 { return x; }
    fn expm1(x: f32) -> f32 { return x; }
    fn exp_m1(x: f32) -> f32 { return x; }
    fn opaque(x: f32) -> f32 { return x; }
    fn leading_bits(x: f32) -> f32 { return x; }
    fn power_of_two(x: f32) -> f32 { return x; }
    fn polynomial(x: f32) -> f32 { return x; }
    fn forward(x: f32) -> f32 { return x; }
    fn reduce(x: f32) -> f32 { return x; }
    fn widen(x: f32) -> f32 { return x; }
    fn narrow(x: f32) -> f32 { return x; }
    fn pack(x: f32) -> f32 { return x; }
    fn bits(x: f32) -> f32 { return x; }
    fn op(x: f32) -> f32 { return x; }
    fn of_bits(x: f32) -> f32 { return x; }
    fn q_of_expm1(x: f32) -> f32 { return x; }
    fn times_expm1(x: f32) -> f32 { return x; }
    fn times_positive(x: f32) -> f32 { return x; }
    fn expm1_or_same(x: f32) -> f32 { return x; }
    fn wgpu_elu(x: f32) -> f32 { return x; }
    @compute @workgroup_size(1)
    fn main() { x[0] = elu(x[0]) + f32(CALL); }";
