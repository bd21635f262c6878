//! ELU as a step in somebody else's compute pass.

mod plan;

use std::sync::OnceLock;

use crate::{
    checked::{checked, fill},
    dtype::{DType, round_to_f32},
    error::{Error, Result},
    shader::{self, Buffers, Params},
};
use plan::{Bounds, Dispatch, Entry};

/// ELU on a [`wgpu::Device`] that may be anybody's.
///
/// 1. [`Kernel::new`] once per device. It respects the limits and features that *this* device was created with, and
///    changes nothing on it: no error callback, no lost-device callback.
/// 2. [`Kernel::prepare`] once per pair of buffer ranges and alpha. It checks everything, makes the uniform and the bind
///    groups, and compiles a pipeline the first time it is needed.
/// 3. [`Step::record`] into any compute pass, as often as needed. It only sets pipelines and bind groups and dispatches.
/// 4. The caller submits, and waits or not.
///
/// ```no_run
/// # fn host(device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, x: &wgpu::Buffer, y: &wgpu::Buffer) -> wgpu_elu::Result<()> {
/// use wgpu_elu::{DType, Kernel, wgpu};
///
/// let kernel = Kernel::new(device, DType::F32)?;
/// let step = kernel.prepare(1.0, x.slice(..), y.slice(..))?;
/// let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
/// step.record(&mut pass);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Kernel {
    device: wgpu::Device,
    dtype: DType,
    bounds: Bounds,
    /// Vectors from one of an invocation to its next, and from an invocation to the next.
    strides: [u32; 2],
    separate: Variant,
    single: Variant,
}

/// Work that is ready to record, again and again: see [`Kernel::prepare`].
///
/// It keeps its buffers alive, and may be dropped while its work is in flight.
#[derive(Clone, Debug)]
pub struct Step {
    dispatches: Vec<Ready>,
}

impl Kernel {
    /// A kernel for elements of `dtype` on `device`. Compiles nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] if the device was created without compute shaders or with fewer than two storage buffers.
    pub fn new(device: &wgpu::Device, dtype: DType) -> Result<Self> {
        let limits = device.limits();
        let needs = [
            (
                "max_compute_invocations_per_workgroup",
                1,
                limits.max_compute_invocations_per_workgroup,
            ),
            (
                "max_compute_workgroup_size_x",
                1,
                limits.max_compute_workgroup_size_x,
            ),
            (
                "max_compute_workgroups_per_dimension",
                1,
                limits.max_compute_workgroups_per_dimension,
            ),
            (
                "max_bindings_per_bind_group",
                3,
                limits.max_bindings_per_bind_group,
            ),
            (
                "max_storage_buffers_per_shader_stage",
                2,
                limits.max_storage_buffers_per_shader_stage,
            ),
            (
                "max_uniform_buffers_per_shader_stage",
                1,
                limits.max_uniform_buffers_per_shader_stage,
            ),
        ];
        for (limit, needed, found) in needs {
            if found < needed {
                return Err(Error::Limit {
                    limit,
                    needed: needed.into(),
                    found: found.into(),
                });
            }
        }
        // A GPU wants neighbours in a workgroup to read neighbours in memory. A software renderer wants few, long
        // invocations: on lavapipe, four consecutive vectors each ran at twice the speed of one each (BENCHMARKS.md).
        let software = device.adapter_info().device_type == wgpu::DeviceType::Cpu;
        let (group_size, vectors_per_invocation) = if software { (64, 4) } else { (256, 1) };
        let group_size = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x)
            .min(group_size);
        Ok(Self {
            device: device.clone(),
            dtype,
            bounds: Bounds {
                alignment: plan::alignment(limits.min_storage_buffer_offset_alignment),
                // The shader counts within a binding in u32.
                max_binding: limits.max_storage_buffer_binding_size.min(u32::MAX.into()),
                max_groups: limits.max_compute_workgroups_per_dimension,
                group_size,
                vectors_per_invocation,
            },
            strides: [1, vectors_per_invocation],
            separate: Variant::new(device, dtype, Buffers::Separate)?,
            single: Variant::new(device, dtype, Buffers::Single)?,
        })
    }

    /// The format of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Gets ready to write ELU of `x` to `y`; `alpha` is rounded to `f32`.
    ///
    /// The slices may start at any element, have any length, and be of any size: what one binding or one dispatch cannot
    /// hold becomes several. Bytes outside them are never touched. `x` and `y` may be the same slice (in place), or two
    /// slices of one buffer that do not overlap; those must then lie within `max_storage_buffer_binding_size` of each
    /// other, since WebGPU lets a dispatch bind a buffer that it writes only once. Empty slices give a step that records
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`], [`Error::Misaligned`], [`Error::MissingUsage`] (both need `STORAGE`),
    /// [`Error::Overlap`]; [`Error::Limit`] if the device cannot bind them; [`Error::Refused`] if a buffer belongs to
    /// another device or the driver refuses the shader; [`Error::OutOfMemory`]. In a browser, where errors come later,
    /// the last two go to the device's error callback instead.
    pub fn prepare(
        &self,
        alpha: f64,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let element = self.dtype.size() as u64;
        for (name, slice) in [("x", x), ("y", y)] {
            let (offset, size) = (slice.offset(), slice.size());
            if offset % element != 0 || size % element != 0 {
                return Err(Error::Misaligned {
                    buffer: name,
                    needed: element,
                    offset,
                    size,
                });
            }
            let (needed, found) = (wgpu::BufferUsages::STORAGE, slice.buffer().usage());
            if !found.contains(needed) {
                return Err(Error::MissingUsage {
                    buffer: name,
                    needed,
                    found,
                });
            }
        }
        if x.size() != y.size() {
            return Err(Error::LengthMismatch {
                needed: x.size() / element,
                found: y.size() / element,
            });
        }
        let (x_bytes, y_bytes) = (
            x.offset()..x.offset() + x.size(),
            y.offset()..y.offset() + y.size(),
        );
        let variant = if x.buffer() != y.buffer() {
            &self.separate
        } else if x_bytes == y_bytes || x_bytes.end <= y_bytes.start || y_bytes.end <= x_bytes.start
        {
            &self.single
        } else {
            return Err(Error::Overlap {
                x: x_bytes,
                y: y_bytes,
            });
        };
        let len = x.size() / element;
        let plan = plan::plan(
            scaled(round_to_f32(alpha)),
            x.offset(),
            y.offset(),
            len,
            variant.buffers,
            &self.bounds,
        )?;
        self.bind(variant, &plan, x.buffer(), y.buffer())
    }

    /// Gets ready to replace `x` by its ELU: [`Kernel::prepare`] with the same slice twice.
    ///
    /// # Errors
    ///
    /// As [`Kernel::prepare`].
    pub fn prepare_in_place(&self, alpha: f64, x: wgpu::BufferSlice<'_>) -> Result<Step> {
        self.prepare(alpha, x, x)
    }
}

impl Step {
    /// Records the work into `pass`: pipelines, bind group 0 and dispatches, and nothing else.
    ///
    /// It allocates nothing, needs no queue and waits for nothing. Other state of the pass is left as it is.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [groups_per_row, rows] = dispatch.groups;
            pass.dispatch_workgroups(groups_per_row, rows, 1);
        }
    }

    /// The number of dispatches that [`Step::record`] makes: 0 for no elements, mostly 1 or 2.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }
}

// ---- Internals ----

/// What an arrangement of buffers needs: made when it is first asked for, and then kept.
#[derive(Debug)]
struct Variant {
    buffers: Buffers,
    label: String,
    layout: wgpu::BindGroupLayout,
    module: OnceLock<wgpu::ShaderModule>,
    vectors: OnceLock<wgpu::ComputePipeline>,
    elements: OnceLock<wgpu::ComputePipeline>,
}

impl Variant {
    fn new(device: &wgpu::Device, dtype: DType, buffers: Buffers) -> Result<Self> {
        let label = format!("wgpu_elu.forward.{dtype}.{}", buffers.name());
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
        let params = entry(
            shader::PARAMS_BINDING,
            wgpu::BufferBindingType::Uniform,
            wgpu::BufferSize::new(size_of::<Params>() as u64),
        );
        let x = entry(
            shader::X_BINDING,
            wgpu::BufferBindingType::Storage { read_only: true },
            None,
        );
        let y = entry(
            shader::Y_BINDING,
            wgpu::BufferBindingType::Storage { read_only: false },
            None,
        );
        let entries = match buffers {
            Buffers::Separate => vec![params, x, y],
            Buffers::Single => vec![params, y],
        };
        let layout = checked(device, "a bind group layout", || {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(&label),
                entries: &entries,
            })
        })?;
        Ok(Self {
            buffers,
            label,
            layout,
            module: OnceLock::new(),
            vectors: OnceLock::new(),
            elements: OnceLock::new(),
        })
    }
}

/// A dispatch with everything that it needs.
#[derive(Clone, Debug)]
struct Ready {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Kernel {
    fn bind(
        &self,
        variant: &Variant,
        plan: &[Dispatch],
        x: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Step> {
        if plan.is_empty() {
            return Ok(Step {
                dispatches: Vec::new(),
            });
        }
        let alignment = self.device.limits().min_uniform_buffer_offset_alignment;
        let stride = size_of::<Params>().next_multiple_of(alignment.max(1) as usize);
        let mut bytes = vec![0; stride * plan.len()];
        for (slot, dispatch) in bytes.chunks_exact_mut(stride).zip(plan) {
            slot[..size_of::<Params>()].copy_from_slice(bytemuck::bytes_of(&dispatch.params));
        }
        let uniform = self.uniform(variant, &bytes)?;
        let dispatches = plan.iter().enumerate().map(|(i, dispatch)| {
            let pipeline = self.pipeline(variant, dispatch.entry)?.clone();
            let buffer = |buffer, range: &std::ops::Range<u64>| {
                wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: range.start,
                    size: wgpu::BufferSize::new(range.end - range.start),
                })
            };
            let params = (i * stride) as u64..(i * stride + size_of::<Params>()) as u64;
            let params = wgpu::BindGroupEntry {
                binding: shader::PARAMS_BINDING,
                resource: buffer(&uniform, &params),
            };
            let x = wgpu::BindGroupEntry {
                binding: shader::X_BINDING,
                resource: buffer(x, &dispatch.x),
            };
            let y = wgpu::BindGroupEntry {
                binding: shader::Y_BINDING,
                resource: buffer(y, &dispatch.y),
            };
            let (separate, single);
            let entries: &[_] = match variant.buffers {
                Buffers::Separate => {
                    separate = [params, x, y];
                    &separate
                }
                Buffers::Single => {
                    single = [params, y];
                    &single
                }
            };
            let bind_group = checked(&self.device, "a bind group", || {
                self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&variant.label),
                    layout: &variant.layout,
                    entries,
                })
            })?;
            Ok(Ready {
                pipeline,
                bind_group,
                groups: dispatch.groups,
            })
        });
        Ok(Step {
            dispatches: dispatches.collect::<Result<_>>()?,
        })
    }

    /// The parameters, in a buffer that is made with its contents: recording then needs no queue.
    fn uniform(&self, variant: &Variant, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let buffer = checked(&self.device, "the parameters", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&variant.label),
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::UNIFORM,
                mapped_at_creation: true,
            })
        })?;
        fill(&buffer, bytes)?;
        Ok(buffer)
    }

    fn pipeline<'a>(
        &self,
        variant: &'a Variant,
        entry: Entry,
    ) -> Result<&'a wgpu::ComputePipeline> {
        let (cell, name) = match entry {
            Entry::Vectors => (&variant.vectors, shader::VECTORS),
            Entry::Elements => (&variant.elements, shader::ELEMENTS),
        };
        match cell.get() {
            Some(pipeline) => Ok(pipeline),
            None => {
                let pipeline = self.compile(variant, name)?;
                Ok(cell.get_or_init(|| pipeline))
            }
        }
    }

    fn compile(&self, variant: &Variant, entry_point: &str) -> Result<wgpu::ComputePipeline> {
        let module = match variant.module.get() {
            Some(module) => module,
            None => {
                let source = shader::source(self.dtype, variant.buffers);
                let module = checked(&self.device, "the shader", || {
                    self.device
                        .create_shader_module(wgpu::ShaderModuleDescriptor {
                            label: Some(&variant.label),
                            source: wgpu::ShaderSource::Wgsl(source.into()),
                        })
                })?;
                variant.module.get_or_init(|| module)
            }
        };
        let Bounds {
            group_size,
            vectors_per_invocation,
            ..
        } = self.bounds;
        let [vector_stride, invocation_stride] = self.strides;
        let mut constants = vec![("workgroup_size", f64::from(group_size))];
        if entry_point == shader::VECTORS {
            constants.extend([
                ("vectors_per_invocation", f64::from(vectors_per_invocation)),
                ("vector_stride", f64::from(vector_stride)),
                ("invocation_stride", f64::from(invocation_stride)),
            ]);
        }
        checked(&self.device, "a pipeline", || {
            let layout = self
                .device
                .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                    label: Some(&variant.label),
                    bind_group_layouts: &[Some(&variant.layout)],
                    immediate_size: 0,
                });
            self.device
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&format!("{}.{entry_point}", variant.label)),
                    layout: Some(&layout),
                    module,
                    entry_point: Some(entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &constants,
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                })
        })
    }
}

/// alpha and scale for the shader: a small alpha grows by 2^64, so that not even 2^-24 of it is subnormal, and the scale
/// takes that back from the result.
fn scaled(alpha: f32) -> [f32; 2] {
    const FACTOR: f32 = (1u128 << 64) as f32;
    if alpha.abs() < FACTOR.recip() {
        [alpha * FACTOR, FACTOR.recip()]
    } else {
        [alpha, 1.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a driver that flushes subnormals would lose; Mesa's software adapters do not flush.
    #[test]
    fn nothing_of_a_scaled_alpha_is_subnormal() {
        let smallest = f32::from_bits(1);
        for alpha in [
            smallest,
            1e-40,
            f32::MIN_POSITIVE,
            1e-33,
            5e-20,
            6e-20,
            1.0,
            f32::MAX,
        ] {
            for alpha in [alpha, -alpha] {
                let [scaled, scale] = scaled(alpha);
                assert_eq!(f64::from(scaled) * f64::from(scale), f64::from(alpha));
                assert!((scaled / (1 << 24) as f32).is_normal(), "alpha {alpha:e}");
            }
        }
        assert_eq!(scaled(0.0)[0], 0.0);
        assert_eq!(scaled(f32::INFINITY), [f32::INFINITY, 1.0]);
    }
}
