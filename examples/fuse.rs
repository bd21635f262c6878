//! ELU as the last operation in your own shader: a dense layer, y = ELU(A x + b), in one pass.
//!
//! Run `cargo run --example fuse`. It compares the results with those of the same computation in `f64`.

use std::{error::Error, process::ExitCode};

use wgpu_elu::{DType, Device, Tensor, reference, shader, wgpu};

const ROWS: usize = 16 * 64; // 16 workgroups of 64 invocations
const COLUMNS: usize = 300; // as in the shader
const ALPHA: f64 = 0.5; // as in the shader

/// The shader, in which each invocation computes one row. wgpu-elu provides the function `wgpu_elu_f32`.
const LAYER: &str = "
    @group(0) @binding(0) var<storage, read> a: array<f32>;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read> b: array<f32>;
    @group(0) @binding(3) var<storage, read_write> y: array<f32>;

    @compute @workgroup_size(64) fn layer(@builtin(global_invocation_id) id: vec3<u32>) {
        var sum = b[id.x];
        for (var i = 0u; i < 300u; i++) {
            sum += a[id.x * 300u + i] * x[i];
        }
        y[id.x] = wgpu_elu_f32(sum, 0.5);
    }
";

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> Result<(), Box<dyn Error>> {
    let device = match Device::from_env_blocking()? {
        Device::Cpu => Device::gpu_blocking()?, // accepts a software adapter
        gpu => gpu,
    };
    let Device::Gpu(gpu) = &device else {
        return Err("no GPU found".into());
    };
    let wgpu_device = gpu.device();
    let test_data = |count| -> Vec<f32> { (0..count).map(|i| (i as f32 * 0.7).sin()).collect() };
    let (a, x, b) = (
        test_data(ROWS * COLUMNS),
        test_data(COLUMNS),
        test_data(ROWS),
    );
    let tensors = [
        Tensor::from_slice(&device, &a, &[ROWS, COLUMNS])?,
        Tensor::from_slice(&device, &x, &[COLUMNS])?,
        Tensor::from_slice(&device, &b, &[ROWS])?,
        Tensor::zeros(&device, DType::F32, &[ROWS])?,
    ];
    let module = wgpu_device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl([LAYER, &shader::function(DType::F32)].concat().into()),
    });
    let pipeline = wgpu_device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let entries = (0..).zip(&tensors).filter_map(|(binding, tensor)| {
        let resource = tensor.as_buffer_slice()?.buffer().as_entire_binding();
        Some(wgpu::BindGroupEntry { binding, resource })
    });
    let bind_group = wgpu_device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries.collect::<Vec<_>>(),
    });
    let mut encoder = wgpu_device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups(16, 1, 1); // see ROWS
    drop(pass);
    gpu.queue().submit([encoder.finish()]);

    let y = tensors[3].to_vec_blocking::<f32>()?;
    let mut max_error = 0.0f64; // as a fraction of the f32 summation bound, see `bound`
    for ((row, b), y) in a.chunks(COLUMNS).zip(&b).zip(y) {
        let (mut sum, mut magnitude) = (f64::from(*b), f64::from(b.abs()));
        for (a, x) in row.iter().zip(&x) {
            sum += f64::from(*a) * f64::from(*x);
            magnitude += (f64::from(*a) * f64::from(*x)).abs();
        }
        // Each term is rounded at most COLUMNS + 1 times, with a relative error of 2^-24. ELU rounds only negative
        // outputs once more, by less than f32::EPSILON, because they lie above -ALPHA.
        let bound = magnitude * (COLUMNS + 1) as f64 / f64::from(1 << 24) + f64::from(f32::EPSILON);
        let error = (f64::from(y) - reference::elu(sum, ALPHA)).abs();
        max_error = max_error.max(error / bound);
    }
    if max_error > 1.0 {
        return Err(format!("the error is {max_error:.1} times the f32 summation bound").into());
    }
    println!(
        "{ROWS} outputs on {device}: max error {:.1} % of the f32 summation bound",
        100.0 * max_error
    );
    Ok(())
}
