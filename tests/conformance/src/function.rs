//! Helpers that call the functions for other people's shaders: a host's shader, joined to the text of the functions.

use wgpu_elu::{DType, Device, Gpu, Op, wgpu};

use crate::{
    everywhere::{SPECIAL_BITS, check_results, judge, on_every_gpu, special_alphas, supports},
    slices::{ALL, buffer_of, read},
};
use wgpu_elu::accuracy::bits;

/// Joins the functions for a dtype to a host's shader. The last argument is the name of the function that the host
/// calls.
pub type Join = fn(DType, &str, &str) -> wgpu::ShaderSource<'static>;

/// Returns a host's shader that replaces every element `x` of a buffer with the result of `call`, an expression of `x`
/// and `alpha`. `element` is the type of `x`. `float` is the type of `alpha`, which comes from a second buffer.
fn host_shader(element: &str, float: &str, call: &str) -> String {
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

/// A host's shader, compiled for a device.
struct Compiled<'a> {
    gpu: &'a Gpu,
    pipeline: wgpu::ComputePipeline,
    /// The size of an element of the shader's buffer in bytes.
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

    /// Returns the results for `x`. `alpha` is a dtype and the bits of a number.
    async fn run(&self, dtype: DType, x: &[u64], alpha: (DType, u64)) -> Vec<u64> {
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
            // A row has 1024 workgroups of 64 invocations, which are 65536 elements.
            let rows = (data.size() / self.element_size).div_ceil(65536);
            pass.dispatch_workgroups(1024, u32::try_from(rows).unwrap(), 1);
        }
        queue.submit([encoder.finish()]);
        read(self.gpu, dtype, &data, x.len()).await
    }
}

/// Returns all functions for a dtype: the type of their argument, its size in bytes, a call in WGSL, and the name.
pub fn calls(dtype: DType, alpha: &str) -> Vec<(&'static str, u64, String, &'static str)> {
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
        _ => unreachable!("there are four dtypes"),
    };
    let call = |&(element, size, name)| (element, size, format!("{name}(x, {alpha})"), name);
    calls.iter().map(call).collect()
}

/// Returns the type of alpha, as its name in WGSL and as a dtype.
pub fn alpha_type(dtype: DType) -> (&'static str, DType) {
    match dtype {
        DType::F64 => ("f64", DType::F64),
        _ => ("f32", DType::F32),
    }
}

/// Checks the results of all functions for `x` with each of `alphas`, which the shader reads from a buffer. The alphas
/// must be exact in the dtype of alpha. The number of elements in `x` must be a multiple of 4.
pub async fn check_all(gpu: &Gpu, name: &str, join: Join, dtype: DType, x: &[u64], alphas: &[f64]) {
    let (wgsl_float, float) = alpha_type(dtype);
    for (element, size, call, import) in calls(dtype, "alpha") {
        let host = host_shader(element, wgsl_float, &call);
        let compiled = Compiled::new(gpu, join(dtype, &host, import), size);
        for &alpha in alphas {
            let y = compiled.run(dtype, x, (float, bits(float, alpha))).await;
            let judge = judge(Op::Forward, dtype, alpha);
            check_results(&format!("{name}, {call}"), judge, x, &[], &y);
        }
    }
}

/// Returns the numbers of [`SPECIAL_BITS`] and the ends of the dtype's range. Their number is a multiple of 4, so that
/// they fill whole vectors.
pub fn special_values(dtype: DType) -> Vec<u64> {
    let special = |&special: &u32| bits(dtype, f32::from_bits(special).into());
    let mut all: Vec<u64> = SPECIAL_BITS.iter().map(special).collect();
    let infinity = bits(dtype, f64::INFINITY);
    let sign = bits(dtype, -0.0);
    let ends = [0, 1, 2, infinity - 1, infinity, infinity + 1];
    all.extend(ends.into_iter().flat_map(|bits| [bits, bits | sign]));
    // Shifts all numbers by one position. Otherwise each number of `ends` would be in a pair with its own negative, and
    // NaN in a pair with NaN.
    all.rotate_left(1);
    // Completes the last vector.
    all.extend([bits(dtype, -0.3), bits(dtype, -1.0)]);
    // Adds a vector with NaN and numbers, one with NaN only and one with zeros only, because the functions treat them
    // differently.
    let nan = bits(dtype, f64::NAN);
    all.extend([
        bits(dtype, -0.7),
        nan,
        bits(dtype, -3.0),
        bits(dtype, -1e-3),
    ]);
    all.extend([nan; 4]);
    all.extend([0; 4]);
    assert!(all.len().is_multiple_of(4));
    all
}

/// Runs `test` on every adapter, for every dtype that it supports.
pub async fn on_every_dtype(test: impl AsyncFn(&Gpu, &str, DType)) {
    on_every_gpu(async |gpu, name| {
        for dtype in DType::ALL {
            if supports(&Device::Gpu(gpu.clone()), dtype) {
                test(gpu, name, dtype).await;
            }
        }
    })
    .await;
}

/// Returns [`special_alphas`] as `f64`.
pub fn alphas() -> Vec<f64> {
    special_alphas().into_iter().map(f64::from).collect()
}

#[cfg(any(test, target_family = "wasm"))]
mod tests;
