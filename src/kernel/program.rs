//! The objects that a kernel creates on the device: modules, layouts, pipelines, uniform buffers and bind groups.

use std::{ops::Range, sync::Arc};

use super::{
    Kernel, PreparedDispatch, Step,
    check::{check_bindings, check_limit},
};
use crate::{
    checked::{checked, filled},
    dtype::DType,
    error::Result,
    op::Op,
    rounding::Rounding,
    shader::{self, Shared, Specialization, penalty},
};

/// A shader of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Program {
    /// An operation, with its rounding and the inputs that lie in the output's buffer.
    Elu {
        op: Op,
        rounding: Rounding,
        shared: Shared,
    },
    Penalty,
}

/// Identifies a pipeline of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    pub(super) program: Program,
    pub(super) entry_point: &'static str,
    /// The default for a penalty, which has no specialization.
    pub(super) specialization: Specialization,
}

/// The objects that all pipelines of one shader share.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    label: Arc<str>,
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
    module: wgpu::ShaderModule,
}

/// The description of a dispatch from which its objects are created.
pub(super) struct Recipe<'a> {
    pub(super) entry_point: &'static str,
    pub(super) uniform: Vec<u8>,
    /// The bound ranges of buffers, with their binding numbers.
    pub(super) buffers: Vec<(u32, &'a wgpu::Buffer, Range<u64>)>,
    pub(super) groups: [u32; 2],
}

impl Program {
    pub(super) fn label(self, dtype: DType) -> String {
        match self {
            Self::Elu { op, .. } => label(op.name(), dtype),
            Self::Penalty => label("penalty", dtype),
        }
    }

    /// Returns the bindings that the shader only reads.
    fn read_only(self) -> Vec<u32> {
        match self {
            Self::Elu { op, shared, .. } => {
                let x = (!shared.x).then_some(shader::X_BINDING);
                let grad = (op.has_grad() && !shared.grad).then_some(shader::GRAD_BINDING);
                x.into_iter().chain(grad).collect()
            }
            Self::Penalty => vec![shader::X_BINDING],
        }
    }

    fn uniform_size(self, dtype: DType) -> usize {
        match self {
            Self::Elu { .. } => shader::uniform_size(dtype),
            Self::Penalty => penalty::uniform_size(dtype),
        }
    }

    fn source(self, dtype: DType) -> Result<String> {
        match self {
            Self::Elu {
                op,
                rounding,
                shared,
            } => shader::source(dtype, op, rounding, shared),
            Self::Penalty => Ok(penalty::source(dtype)),
        }
    }
}

/// Returns the label of an operation on a dtype. The labels of all objects for this operation begin with it.
pub(crate) fn label(operation: &str, dtype: DType) -> String {
    format!("wgpu_elu.{operation}.{dtype}")
}

impl Kernel {
    /// Creates a step with all objects that its dispatches need.
    pub(super) fn step(
        &self,
        program: Program,
        specialization: Specialization,
        recipes: &[Recipe<'_>],
    ) -> Result<Step> {
        if recipes.is_empty() {
            return Ok(Step {
                dispatches: Vec::new(),
            });
        }
        let objects = self.objects(program)?;
        let size = program.uniform_size(self.dtype());
        let alignment = self.device().limits().min_uniform_buffer_offset_alignment;
        let stride = size.next_multiple_of(alignment.max(1) as usize);
        let mut bytes = vec![0; stride * recipes.len()];
        for (chunk, recipe) in bytes.chunks_exact_mut(stride).zip(recipes) {
            chunk[..size].copy_from_slice(&recipe.uniform);
        }
        let uniform = self.uniform(&objects.label, &bytes)?;
        let dispatches = recipes.iter().enumerate().map(|(i, recipe)| {
            let params = (i * stride) as u64..(i * stride + size) as u64;
            let params = binding(shader::PARAMS_BINDING, &uniform, &params);
            let buffers = recipe.buffers.iter();
            let buffers = buffers.map(|(number, buffer, bytes)| binding(*number, buffer, bytes));
            let entries: Vec<_> = std::iter::once(params).chain(buffers).collect();
            Ok(PreparedDispatch {
                pipeline: self.pipeline(PipelineKey {
                    program,
                    entry_point: recipe.entry_point,
                    specialization,
                })?,
                bind_group: self.bind_group(&objects, &entries)?,
                groups: recipe.groups,
            })
        });
        Ok(Step {
            dispatches: dispatches.collect::<Result<_>>()?,
        })
    }

    /// Returns a pipeline, which is compiled by the first call.
    pub(super) fn pipeline(&self, key: PipelineKey) -> Result<wgpu::ComputePipeline> {
        self.inner.pipelines.get_or_make(key, || {
            let PipelineKey {
                program,
                entry_point,
                specialization,
            } = key;
            let shape = self.inner.bounds.shape;
            let constants = match program {
                Program::Elu { .. } => {
                    let mut constants = shape.constants(entry_point);
                    constants.extend(specialization.constants());
                    constants
                }
                Program::Penalty => penalty::constants(shape, entry_point),
            };
            let objects = self.objects(program)?;
            let descriptor = wgpu::ComputePipelineDescriptor {
                label: Some(&format!("{}.{entry_point}", objects.label)),
                layout: Some(&objects.pipeline_layout),
                module: &objects.module,
                entry_point: Some(entry_point),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.inner.pipeline_cache.as_ref(),
            };
            checked(self.device(), "a pipeline", || {
                self.device().create_compute_pipeline(&descriptor)
            })
        })
    }

    /// Fails if the device's limits are too small for a program.
    fn check_program(&self, program: Program) -> Result<()> {
        let limits = self.device().limits();
        // The inputs and the output.
        check_bindings(&limits, program.read_only().len() + 1)?;
        match program {
            Program::Elu { .. } => Ok(()),
            Program::Penalty => {
                let invocations = u64::from(self.inner.bounds.shape.workgroup_size);
                check_limit(
                    "max_compute_workgroup_storage_size",
                    invocations * penalty::sum_size(self.dtype()) as u64,
                    limits.max_compute_workgroup_storage_size,
                )
            }
        }
    }

    /// Returns a shader's module and layouts, which are created by the first call.
    fn objects(&self, program: Program) -> Result<Objects> {
        self.inner.programs.get_or_make(program, || {
            self.check_program(program)?;
            let (device, label) = (self.device(), program.label(self.dtype()));
            let layout = checked(device, "a bind group layout", || {
                bind_group_layout(
                    device,
                    &label,
                    program.uniform_size(self.dtype()),
                    &program.read_only(),
                )
            })?;
            let pipeline_layout = checked(device, "a pipeline layout", || {
                device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                    label: Some(&format!("{label}.pipeline_layout")),
                    bind_group_layouts: &[Some(&layout)],
                    immediate_size: 0,
                })
            })?;
            let source = program.source(self.dtype())?;
            let module = checked(device, "the shader", || {
                device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(&format!("{label}.module")),
                    source: wgpu::ShaderSource::Wgsl(source.into()),
                })
            })?;
            Ok(Objects {
                label: label.into(),
                layout,
                pipeline_layout,
                module,
            })
        })
    }

    /// Creates a uniform buffer with its contents, so that recording needs no queue.
    fn uniform(&self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor {
            label: Some(&format!("{label}.params")),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: false,
        };
        checked(self.device(), "the parameters", || {
            filled(self.device(), &descriptor, bytes)
        })
        .flatten()
    }

    fn bind_group(
        &self,
        objects: &Objects,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> Result<wgpu::BindGroup> {
        let device = self.device();
        checked(device, "a bind group", || {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&format!("{}.bind_group", objects.label)),
                layout: &objects.layout,
                entries,
            })
        })
    }
}

// ---- Internals ----

/// Creates the layout of the bind group: the uniform buffer, the inputs at `read_only`, and the output.
fn bind_group_layout(
    device: &wgpu::Device,
    label: &str,
    uniform_size: usize,
    read_only: &[u32],
) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, min_binding_size| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size,
        },
        count: None,
    };
    let storage = |binding, read_only| {
        entry(
            binding,
            wgpu::BufferBindingType::Storage { read_only },
            None,
        )
    };
    let mut entries = vec![entry(
        shader::PARAMS_BINDING,
        wgpu::BufferBindingType::Uniform,
        wgpu::BufferSize::new(uniform_size as u64),
    )];
    entries.extend(read_only.iter().map(|&binding| storage(binding, true)));
    entries.push(storage(shader::Y_BINDING, false));
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(&format!("{label}.bind_group_layout")),
        entries: &entries,
    })
}

fn binding<'a>(
    binding: u32,
    buffer: &'a wgpu::Buffer,
    bytes: &Range<u64>,
) -> wgpu::BindGroupEntry<'a> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset: bytes.start,
            size: wgpu::BufferSize::new(bytes.end - bytes.start),
        }),
    }
}
