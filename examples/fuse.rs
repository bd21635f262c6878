//! ELU as the last step of your own kernel: y = ELU(A x + b), in one pass over A. `cargo run --example fuse`.

use wgpu_elu::{DType, Device, Error, Result, Tensor, reference, shader, wgpu};

const GROUPS: u32 = 4;
const ROWS: usize = 64 * GROUPS as usize;
const COLUMNS: usize = 512;
const ALPHA: f64 = 0.5;

fn main() -> Result<()> {
    let gpu = match Device::from_env_blocking()? {
        Device::Cpu => Device::gpu_blocking()?, // software, if need be
        gpu => gpu,
    };
    let Device::Gpu(host) = &gpu else {
        return Err(Error::NoAdapter {
            wanted: "GPU".into(),
            found: Vec::new(),
        });
    };
    let number = |i: usize| ((i * 7919 + 13) % 201) as f32 / 100.0 - 1.0;
    let numbers = |from: usize, len: usize| (from..from + len).map(number).collect::<Vec<f32>>();
    let (a, x, b) = (
        numbers(0, ROWS * COLUMNS),
        numbers(7, COLUMNS),
        numbers(99, ROWS),
    );
    let tensors = [
        Tensor::from_slice(&gpu, &a, &[ROWS, COLUMNS])?,
        Tensor::from_slice(&gpu, &x, &[COLUMNS])?,
        Tensor::from_slice(&gpu, &b, &[ROWS])?,
        Tensor::zeros(&gpu, DType::F32, &[ROWS])?,
    ];

    let source = [include_str!("fuse.wgsl"), &shader::function(DType::F32)].concat();
    let device = host.device();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("layer"),
        layout: None,
        module: &device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("layer"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        }),
        entry_point: Some("layer"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[("alpha", ALPHA)],
            ..Default::default()
        },
        cache: None,
    });
    let slices = tensors.iter().filter_map(Tensor::as_buffer_slice);
    let entries: Vec<_> = slices
        .zip(0..)
        .map(|(slice, binding)| wgpu::BindGroupEntry {
            binding,
            resource: slice.buffer().as_entire_binding(),
        })
        .collect();
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("layer"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bindings, &[]);
    pass.dispatch_workgroups(GROUPS, 1, 1);
    drop(pass);
    host.queue().submit([encoder.finish()]);

    let y = tensors[3].to_vec_blocking::<f32>()?;
    let product = |(row, &b): (&[f32], &f32)| {
        let products = row
            .iter()
            .zip(&x)
            .map(|(&a, &x)| f64::from(a) * f64::from(x));
        reference::elu(products.sum::<f64>() + f64::from(b), ALPHA)
    };
    let exact = a.chunks(COLUMNS).zip(&b).map(product);
    let error = exact
        .zip(&y)
        .map(|(exact, &y)| (f64::from(y) - exact).abs())
        .fold(0.0, f64::max);
    println!("{ROWS} rows on {gpu}, at most {error:.1e} from the exact values");
    assert!(error < 1e-3, "the sums are of f32, but not that coarse");
    Ok(())
}
