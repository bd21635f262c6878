//! The functions for other people's shaders: in a host's shader, on every adapter, by every way of putting them there.

use wgpu_elu::{
    DType, Factors, Gpu, Tensor,
    shader::{Op, function},
    wgpu,
};

use crate::{
    common::{bits_of, on_every_gpu},
    everywhere::{SPECIAL_BITS, check_results, special_alphas, supports, tensor},
    judge::{Judge, bits},
};

/// The names that a host would choose, and a shader that calls the function with them.
fn host(dtype: DType) -> String {
    let (word, number, call) = match dtype {
        DType::F64 => ("f64", "f64", "wgpu_elu_f64"),
        DType::F32 => ("f32", "f32", "wgpu_elu_f32"),
        DType::F16 => ("u32", "f32", "wgpu_elu_f16x2"),
        DType::BF16 => ("u32", "f32", "wgpu_elu_bf16x2"),
        _ => unreachable!("there are four"),
    };
    format!(
        "struct Params {{ alpha: {number} }}
        struct Factors {{ alpha: {number} }}
        const NAN = 1u;
        const SIGN = 1u;
        @group(0) @binding(0) var<storage, read> params: Params;
        @group(0) @binding(1) var<storage, read_write> x: array<{word}>;
        fn op(x: {word}) -> {word} {{ return x; }}
        fn elu(x: {word}) -> {word} {{ return op({call}(x, params.alpha)); }}
        fn of_bits() {{}}
        fn opaque() {{}}
        fn widen() {{}}
        fn narrow() {{}}
        fn leading_bits() {{}}
        fn expm1_or_same() {{}}
        fn times_expm1() {{}}
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            if id.x < arrayLength(&x) {{
                x[id.x] = elu(x[id.x]);
            }}
        }}"
    )
}

/// What that shader makes of `x`.
fn run(gpu: &Gpu, dtype: DType, source: wgpu::ShaderSource<'_>, alpha: f64, x: &[u64]) -> Vec<u64> {
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let on_gpu = wgpu_elu::Device::Gpu(gpu.clone());
    let alpha_dtype = if dtype == DType::F64 {
        dtype
    } else {
        DType::F32
    };
    let alpha = tensor(&on_gpu, alpha_dtype, &[bits(alpha_dtype, alpha)]);
    let x: Tensor = tensor(&on_gpu, dtype, x);
    let entries = [&alpha, &x].map(|tensor| tensor.as_buffer_slice().unwrap());
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[0, 1].map(|at| wgpu::BindGroupEntry {
            binding: at,
            resource: entries[at as usize].buffer().as_entire_binding(),
        }),
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    let words = x.len() * dtype.size() / dtype.size().max(4);
    pass.dispatch_workgroups(u32::try_from(words.div_ceil(64)).unwrap(), 1, 1);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    bits_of(&x)
}

fn wgsl(source: String) -> wgpu::ShaderSource<'static> {
    wgpu::ShaderSource::Wgsl(source.into())
}

/// An even number of them, so that pairs are whole.
fn inputs(dtype: DType, step: usize) -> Vec<u64> {
    let mut x: Vec<u64> = SPECIAL_BITS
        .iter()
        .map(|&special| bits(dtype, f32::from_bits(special).into()))
        .collect();
    match dtype {
        DType::F32 => x.extend(
            (0..1 << 32)
                .step_by(step * 65_537)
                .chain((0x8000_0000..0xc190_0000).step_by(step * 7919)),
        ),
        DType::F64 => x.extend((0..2000u64).map(|i| (-0.02 * i as f64 - 1e-3).to_bits())),
        _ => x.extend(0..1 << 16),
    }
    x.truncate(x.len() - x.len() % 2);
    x
}

#[test]
fn keeps_the_contract_in_a_hosts_shader() {
    on_every_gpu(|gpu, name| {
        for dtype in DType::ALL {
            if !supports(&wgpu_elu::Device::Gpu(gpu.clone()), dtype) {
                continue;
            }
            let source = [host(dtype), function(dtype)].join("\n");
            let alphas = special_alphas().into_iter().map(f64::from);
            for (alpha, step) in [(1.0, 1), (0.3, 1)]
                .into_iter()
                .chain(alphas.map(|alpha| (alpha, 40)))
            {
                let x = inputs(dtype, step);
                let y = run(gpu, dtype, wgsl(source.clone()), alpha, &x);
                let judge = Judge {
                    op: Op::Forward,
                    dtype,
                    factors: Factors::elu(alpha),
                    on_gpu: true,
                };
                check_results(name, judge, &x, &[], &y);
            }
        }
    });
}

/// Also with all dtypes in one shader.
#[test]
fn names_cannot_clash() {
    let all = DType::ALL.map(function).join("\n");
    let module = naga::front::wgsl::parse_str(&all).unwrap();
    let functions = module.functions.iter().filter_map(|(_, f)| f.name.clone());
    let constants = module.constants.iter().filter_map(|(_, c)| c.name.clone());
    let types = module.types.iter().filter_map(|(_, t)| t.name.clone());
    let names: Vec<String> = functions.chain(constants).chain(types).collect();
    assert!(names.len() > 40, "{names:?}");
    let other = names.iter().find(|name| !name.starts_with("wgpu_elu_"));
    assert_eq!(other, None);
    assert!(module.entry_points.is_empty() && module.global_variables.is_empty());
    assert!(module.overrides.is_empty());
}

#[test]
fn through_naga_oil() {
    use naga_oil::compose::{ComposableModuleDescriptor, Composer, NagaModuleDescriptor};
    on_every_gpu(|gpu, name| {
        let mut composer = Composer::default();
        composer
            .add_composable_module(ComposableModuleDescriptor {
                source: &format!("#define_import_path wgpu_elu\n{}", function(DType::F32)),
                file_path: "wgpu_elu.wgsl",
                ..Default::default()
            })
            .unwrap();
        let host = host(DType::F32);
        let module = composer
            .make_naga_module(NagaModuleDescriptor {
                source: &format!("#import wgpu_elu::wgpu_elu_f32\n{host}"),
                file_path: "host.wgsl",
                ..Default::default()
            })
            .unwrap();
        let info = naga::valid::Validator::new(Default::default(), Default::default())
            .validate(&module)
            .unwrap();
        let flags = naga::back::wgsl::WriterFlags::empty();
        let text = naga::back::wgsl::write_string(&module, &info, flags).unwrap();
        check_some(gpu, name, wgsl(text));
    });
}

#[test]
fn through_wesl() {
    on_every_gpu(|gpu, name| {
        let mut resolver = wesl::VirtualResolver::new();
        let host = host(DType::F32);
        let main = format!("import package::wgpu_elu::wgpu_elu_f32;\n{host}");
        resolver.add_module("package::main".parse().unwrap(), main.into());
        resolver.add_module(
            "package::wgpu_elu".parse().unwrap(),
            function(DType::F32).into(),
        );
        let compiled = wesl::Wesl::new("")
            .set_custom_resolver(resolver)
            .compile(&"package::main".parse().unwrap())
            .unwrap();
        check_some(gpu, name, wgsl(compiled.to_string()));
    });
}

fn check_some(gpu: &Gpu, name: &str, source: wgpu::ShaderSource<'static>) {
    let x = inputs(DType::F32, 10);
    let y = run(gpu, DType::F32, source, 0.3, &x);
    let judge = Judge {
        op: Op::Forward,
        dtype: DType::F32,
        factors: Factors::elu(0.3),
        on_gpu: true,
    };
    check_results(name, judge, &x, &[], &y);
}
