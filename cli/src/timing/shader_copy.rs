//! A shader that only copies. Its speed is an upper bound for the kernel's speed.

use wgpu_elu::{
    DType, Gpu,
    shader::{
        GRAD_BINDING, PARAMS_BINDING, Params, Shape, VECTORS, X_BINDING, Y_BINDING, copy_source,
        uniform_size,
    },
    wgpu,
};

/// A shader that copies `x` to `y`, with the same workgroups and bindings as the kernel. With a gradient, it writes the
/// XOR of `x` and `grad`, so that it reads both.
///
/// It copies vectors of 16 bytes for every dtype. It does not copy an incomplete vector at the end.
#[derive(Debug)]
pub struct ShaderCopy {
    pipeline: wgpu::ComputePipeline,
    /// The dispatches, each with its number of workgroups in two dimensions. Data that is larger than a binding needs
    /// several dispatches.
    dispatches: Vec<(wgpu::BindGroup, [u32; 2])>,
}

impl ShaderCopy {
    /// Prepares the copy of `x`, or of `x` and `grad`, to `y`. The slices must have the same length and start at
    /// multiples of 256 bytes.
    pub fn new<'a>(
        gpu: &Gpu,
        x: wgpu::BufferSlice<'a>,
        grad: Option<wgpu::BufferSlice<'a>>,
        y: wgpu::BufferSlice<'a>,
    ) -> Self {
        let limits = gpu.device().limits();
        let shape = Shape::for_device(gpu.info().device_type, &limits);
        let pipeline = pipeline(gpu.device(), shape, grad.is_some());
        // A multiple of every device's `min_storage_buffer_offset_alignment`, in bytes.
        const ALIGNMENT: u64 = 256;
        let max_binding = limits.max_storage_buffer_binding_size.min(u32::MAX.into());
        let max_binding = max_binding - max_binding % ALIGNMENT;
        let size = y.size() - y.size() % VECTOR;
        let dispatches = (0..size.div_ceil(max_binding)).map(|part| {
            let bytes = part * max_binding..size.min((part + 1) * max_binding);
            let count = u32::try_from((bytes.end - bytes.start) / VECTOR).unwrap_or(u32::MAX);
            let groups = count.div_ceil(shape.workgroup_size * shape.vectors_per_invocation);
            let rows = groups.div_ceil(limits.max_compute_workgroups_per_dimension);
            let groups_per_row = groups.div_ceil(rows);
            let params = Params {
                count,
                groups_per_row,
                ..Params::default()
            };
            let uniform = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("elu_cli.copy"),
                // The shader has the kernel's uniform for float32, with factors that it does not use.
                size: uniform_size(DType::F32) as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            gpu.queue()
                .write_buffer(&uniform, 0, bytemuck::bytes_of(&params));
            let entry = |(binding, slice): (u32, wgpu::BufferSlice<'a>)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: slice.buffer(),
                    offset: slice.offset() + bytes.start,
                    size: wgpu::BufferSize::new(bytes.end - bytes.start),
                }),
            };
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: PARAMS_BINDING,
                resource: uniform.as_entire_binding(),
            }];
            entries.extend([(X_BINDING, x), (Y_BINDING, y)].map(entry));
            entries.extend(grad.map(|grad| entry((GRAD_BINDING, grad))));
            let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("elu_cli.copy"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            (bind_group, [groups_per_row, rows])
        });
        Self {
            dispatches: dispatches.collect(),
            pipeline,
        }
    }

    /// Records the copy into a compute pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        for (bind_group, [groups_per_row, rows]) in &self.dispatches {
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(*groups_per_row, *rows, 1);
        }
    }
}

// ---- Internals ----

/// The number of bytes that the shader loads and stores at a time.
const VECTOR: u64 = 16;

fn pipeline(device: &wgpu::Device, shape: Shape, has_grad: bool) -> wgpu::ComputePipeline {
    let source = copy_source(has_grad);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("elu_cli.copy"),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("elu_cli.copy"),
        layout: None,
        module: &module,
        entry_point: Some(VECTORS),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &shape.constants(VECTORS),
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    })
}
