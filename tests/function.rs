//! ELU in a shader that is not ours: joined to it, and imported by `naga_oil` and by WESL.

use std::borrow::Cow;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga_oil::compose::{ComposableModuleDescriptor, Composer, NagaModuleDescriptor};
use wesl::{VirtualResolver, Wesl};
use wgpu_elu::{
    DType, Device, Gpu,
    shader::{Op, X_BINDING, Y_BINDING, function},
    wgpu,
};

use crate::{
    common::on_every_gpu,
    everywhere::{Place, SPECIAL_BITS, check_results, judge, special_alphas, supports},
    judge::{bits, value},
    slices::{ALL, buffer_of, read},
    translate::{Language, translate_source},
};

/// How the function comes into a host's shader.
#[derive(Clone, Copy, Debug)]
enum Way {
    Before,
    After,
    NagaOil,
    Wesl,
}

const WAYS: [Way; 4] = [Way::Before, Way::After, Way::NagaOil, Way::Wesl];

fn capabilities(dtype: DType) -> Capabilities {
    match dtype {
        DType::F64 => Capabilities::FLOAT64,
        _ => Capabilities::empty(),
    }
}

/// The host's shader with the function in it. `imports` names what of it the host calls.
fn host_with_function(
    way: Way,
    dtype: DType,
    host: &str,
    imports: &[&str],
) -> wgpu::ShaderSource<'static> {
    let function = function(dtype);
    let import_all = |before: &str, after: &str| -> String {
        let lines = imports
            .iter()
            .map(|name| format!("{before}activations::{name}{after}\n"));
        lines.collect::<String>() + host
    };
    match way {
        Way::Before => wgpu::ShaderSource::Wgsl(format!("{function}\n{host}").into()),
        Way::After => wgpu::ShaderSource::Wgsl(format!("{host}\n{function}").into()),
        Way::NagaOil => {
            let mut composer = Composer::default().with_capabilities(capabilities(dtype));
            composer
                .add_composable_module(ComposableModuleDescriptor {
                    source: &function,
                    as_name: Some("activations".into()),
                    ..Default::default()
                })
                .unwrap_or_else(|error| panic!("{dtype}: {error:?}"));
            let module = composer
                .make_naga_module(NagaModuleDescriptor {
                    source: &import_all("#import ", ""),
                    ..Default::default()
                })
                .unwrap_or_else(|error| panic!("{dtype}: {error:?}"));
            wgpu::ShaderSource::Naga(Cow::Owned(module))
        }
        Way::Wesl => {
            let mut files = VirtualResolver::new();
            let host = import_all("import package::", ";");
            files.add_module("package::host".parse().unwrap(), host.into());
            files.add_module("package::activations".parse().unwrap(), function.into());
            let compiled = Wesl::new("")
                .set_custom_resolver(files)
                .compile(&"package::host".parse().unwrap())
                .unwrap_or_else(|error| panic!("{dtype}: {error}"));
            wgpu::ShaderSource::Wgsl(compiled.to_string().into())
        }
    }
}

/// A host that replaces every element of `data`, of `element`s, by what `call` makes of `x`; `alpha` is a buffer's.
fn host(element: &str, float: &str, call: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<{element}>;
        @group(0) @binding(1) var<storage, read> factors: array<{float}>;

        @compute @workgroup_size(64)
        fn last_step(@builtin(global_invocation_id) id: vec3<u32>) {{
            let i = id.y * 65536u + id.x;
            if i < arrayLength(&data) {{
                let x = data[i];
                let alpha = factors[0];
                data[i] = {call};
            }}
        }}"
    )
}

struct Compiled<'a> {
    gpu: &'a Gpu,
    pipeline: wgpu::ComputePipeline,
    element_size: u64,
}

impl<'a> Compiled<'a> {
    fn new(gpu: &'a Gpu, source: wgpu::ShaderSource<'_>, element_size: u64) -> Self {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("the host's"),
            source,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("the host's"),
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self {
            gpu,
            pipeline,
            element_size,
        }
    }

    /// What becomes of `x`; `alpha` has the float's format.
    fn run(&self, dtype: DType, x: &[u64], alpha: (DType, u64)) -> Vec<u64> {
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let data = buffer_of(self.gpu, dtype, x, ALL);
        let factors = buffer_of(self.gpu, alpha.0, &[alpha.1], ALL);
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[&data, &factors].map(|buffer| wgpu::BindGroupEntry {
                binding: u32::from(buffer == &factors),
                resource: buffer.as_entire_binding(),
            }),
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &group, &[]);
            let rows = (data.size() / self.element_size).div_ceil(65536);
            pass.dispatch_workgroups(1024, u32::try_from(rows).unwrap(), 1);
        }
        queue.submit([encoder.finish()]);
        pollster::block_on(read(self.gpu, dtype, &data, x.len()))
    }
}

/// The host's shaders for a dtype: what an element of their buffer is, its size, and the call.
fn calls(dtype: DType, alpha: &str) -> Vec<(&'static str, u64, String, &'static str)> {
    let calls: &[_] = match dtype {
        DType::F32 => &[
            ("f32", 4, "wgpu_elu_f32"),
            ("vec4<f32>", 16, "wgpu_elu_f32x4"),
        ],
        DType::F64 => &[
            ("f64", 8, "wgpu_elu_f64"),
            ("vec2<f64>", 16, "wgpu_elu_f64x2"),
        ],
        DType::F16 => &[("u32", 4, "wgpu_elu_f16x2")],
        DType::BF16 => &[("u32", 4, "wgpu_elu_bf16x2")],
        _ => unreachable!("there are four"),
    };
    let call = |&(element, size, name)| (element, size, format!("{name}(x, {alpha})"), name);
    calls.iter().map(call).collect()
}

/// The type of alpha, in WGSL and here.
fn float(dtype: DType) -> (&'static str, DType) {
    match dtype {
        DType::F64 => ("f64", DType::F64),
        _ => ("f32", DType::F32),
    }
}

/// Checks what comes of `x` with every one of `alphas`, of which all are exact in `f32`, from a buffer.
fn check_all(gpu: &Gpu, name: &str, way: Way, dtype: DType, x: &[u64], alphas: &[f64]) {
    let device = &Device::Gpu(gpu.clone());
    let (wgsl_float, float) = float(dtype);
    for (element, size, call, import) in calls(dtype, "alpha") {
        let host = host(element, wgsl_float, &call);
        let source = host_with_function(way, dtype, &host, &[import]);
        let compiled = Compiled::new(gpu, source, size);
        for &alpha in alphas {
            let y = compiled.run(dtype, x, (float, bits(float, alpha)));
            let judge = judge(Place { device, name }, Op::Forward, dtype, alpha);
            let what = format!("{name}, {way:?}, {call}");
            check_results(&what, judge, x, &[], &y);
        }
    }
}

/// The special values, and the ends of the format: a whole number of vectors.
fn specials(dtype: DType) -> Vec<u64> {
    let special = |&special: &u32| bits(dtype, f32::from_bits(special).into());
    let mut all: Vec<u64> = SPECIAL_BITS.iter().map(special).collect();
    let infinity = bits(dtype, f64::INFINITY);
    let sign = bits(dtype, -0.0);
    let ends = [0, 1, 2, infinity - 1, infinity, infinity + 1];
    all.extend(ends.into_iter().flat_map(|bits| [bits, bits | sign]));
    // NaN beside numbers in one vector.
    all.rotate_left(1);
    all.extend([bits(dtype, -0.3), bits(dtype, -1.0)]);
    assert!(all.len().is_multiple_of(4));
    all
}

fn on_every_dtype(test: impl Fn(&Gpu, &str, DType)) {
    on_every_gpu(|gpu, name| {
        for dtype in DType::ALL {
            if supports(&Device::Gpu(gpu.clone()), dtype) {
                test(gpu, name, dtype);
            }
        }
    });
}

#[test]
fn special_values_with_special_alphas_however_it_comes_in() {
    let alphas: Vec<f64> = special_alphas().into_iter().map(f64::from).collect();
    on_every_dtype(|gpu, name, dtype| {
        for way in WAYS {
            if dtype == DType::F64 && matches!(way, Way::Wesl) {
                continue; // WESL has no f64
            }
            check_all(gpu, name, way, dtype, &specials(dtype), &alphas);
        }
    });
}

#[test]
fn every_997th_float32() {
    let x: Vec<u64> = (0..1u64 << 32).step_by(997).collect();
    let negative: Vec<u64> = (0..1u64 << 16).map(|i| 0x8000_0000 | i << 15).collect();
    let alphas = [
        0.3,
        1.999_999_9,
        -0.7,
        3e5,
        1e-5,
        6e-20,
        5e-20,
        -1e-36,
        3e-37,
    ]
    .map(f64::from);
    on_every_gpu(|gpu, name| {
        let whole = &x[..x.len() / 4 * 4];
        check_all(gpu, name, Way::After, DType::F32, whole, &[1.0]);
        check_all(gpu, name, Way::After, DType::F32, &negative, &alphas);
    });
}

/// A driver may do more where it knows alpha.
#[test]
fn alphas_that_the_shader_writes_out() {
    let dense: Vec<u64> = (0x8000_0000..0xff80_0004u64).step_by(9973).collect();
    on_every_dtype(|gpu, name, dtype| {
        let x: Vec<u64> = match dtype {
            DType::F32 => dense.iter().copied().chain(specials(dtype)).collect(),
            DType::F64 => specials(dtype),
            _ => (0..1 << 16).collect(),
        };
        let x = &x[..x.len() / 4 * 4];
        let device = &Device::Gpu(gpu.clone());
        let (wgsl_float, float) = float(dtype);
        for alpha in [1.0, 0.0, 0.3, -1.7] {
            let exact = value(float, bits(float, alpha));
            for (element, size, call, _) in calls(dtype, &format!("{wgsl_float}({alpha:?})")) {
                let host = host(element, wgsl_float, &call);
                let source = host_with_function(Way::Before, dtype, &host, &[]);
                let y = Compiled::new(gpu, source, size).run(dtype, x, (float, 0));
                let judge = judge(Place { device, name }, Op::Forward, dtype, exact);
                check_results(&format!("{name}, {call}"), judge, x, &[], &y);
            }
        }
    });
}

#[test]
fn every_pair_of_16_bits() {
    // Each number beside another far from it, so that a half that leaks shows.
    let x: Vec<u64> = (0..1u64 << 16)
        .flat_map(|i| [i, (i * 40_503) & 0xffff])
        .collect();
    on_every_gpu(|gpu, name| {
        for dtype in [DType::F16, DType::BF16] {
            check_all(gpu, name, Way::Before, dtype, &x, &[1.0, 0.5, -2.0]);
        }
    });
}

#[test]
fn float64_over_the_whole_range() {
    let low = (-(0.5f64.powi(60))).to_bits();
    let step = (1 << 52) / 17 + 12_345;
    let dense = (0..70 * 17).map(|i| low + i * step);
    let sparse = (0..500u64).map(|i| i * (u64::MAX / 500));
    let x: Vec<u64> = dense.chain(sparse).collect();
    // Those that f32 has not, too: at both ends of where alpha is split.
    let alphas = [
        1.0,
        0.3,
        1.999_999_9,
        -0.7,
        1e-300,
        3e99,
        0.99e290,
        1.1e290,
        -1.7e308,
    ];
    on_every_gpu(|gpu, name| {
        if supports(&Device::Gpu(gpu.clone()), DType::F64) {
            check_all(gpu, name, Way::Before, DType::F64, &x, &alphas);
        }
    });
}

/// What stands at module scope.
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
        // Not in naga's module any more: an alias, and what must stand first in a file.
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
                let translated =
                    translate_source(source.clone(), dtype, "last_step", &[], language);
                let has_none = language == Language::Msl && dtype == DType::F64;
                assert_eq!(
                    translated.is_err(),
                    has_none,
                    "{dtype}, {language:?}: {translated:?}"
                );
            }
        }
    }
}

/// A host with its own names for everything that the function might have called so.
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
