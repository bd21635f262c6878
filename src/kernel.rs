//! ELU as a step in somebody else's compute pass.

mod penalty;
mod plan;

use std::{ops::Range, sync::OnceLock};

use crate::{
    checked::{check_alive, checked, filled},
    dtype::DType,
    error::{Error, Result},
    factors::Factors,
    shader::{self, Op, Shape, Shared, Specialization},
};
use plan::{Bounds, Dispatch, Each, Entry};

/// ELU on a [`wgpu::Device`] that may be anybody's.
///
/// 1. [`Kernel::new`] once per device and dtype. It respects the limits and features that *this* device was created with,
///    and changes nothing on it: no error callback, no lost-device callback.
/// 2. [`Kernel::prepare`] once per set of buffer ranges and alpha. It checks everything, makes the uniform and the bind
///    groups, and compiles a pipeline the first time it is needed. The gradients have a `prepare` each.
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
///
/// # Slices
///
/// Every `prepare` takes slices that may start at any element, have any length, and be of any size: what one binding or one
/// dispatch cannot hold becomes several. Bytes outside them keep their values, be it the other half of a word. The output
/// may be the same slice as an input (in place), or lie in the same buffer without overlapping it; all slices in the
/// output's buffer must then lie within `max_storage_buffer_binding_size` of each other, since WebGPU lets a dispatch bind a
/// buffer that it writes only once. Empty slices give a step that records nothing.
///
/// # Errors
///
/// Those of every `prepare`: [`Error::LengthMismatch`], [`Error::Misaligned`], [`Error::MissingUsage`] (all need
/// `STORAGE`), [`Error::Overlap`], [`Error::PartialWord`]; [`Error::Limit`] if the device cannot bind them;
/// [`Error::Refused`] if a buffer belongs to another device or is destroyed, or the driver refuses the shader;
/// [`Error::OutOfMemory`]; [`Error::DeviceLost`]. In a browser, where errors come later, the last three go to the device's
/// error scopes or callbacks instead, as those of the host's own calls do.
#[derive(Debug)]
pub struct Kernel {
    device: wgpu::Device,
    dtype: DType,
    bounds: Bounds,
    /// By operation and [`Shared`].
    variants: [OnceLock<Variant>; 12],
    penalty: OnceLock<penalty::Variant>,
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
    /// [`Error::Limit`] if the device was created without compute shaders or with fewer than two storage buffers;
    /// [`Error::MissingFeature`] if it was created without [`Kernel::required_features`]; [`Error::DeviceLost`], outside the
    /// browser.
    pub fn new(device: &wgpu::Device, dtype: DType) -> Result<Self> {
        let missing = Self::required_features(dtype) - device.features();
        if let Some((needed, _)) = missing.iter_names().next() {
            return Err(Error::MissingFeature { dtype, needed });
        }
        let limits = device.limits();
        for (limit, found) in [
            (
                "max_compute_invocations_per_workgroup",
                limits.max_compute_invocations_per_workgroup,
            ),
            (
                "max_compute_workgroup_size_x",
                limits.max_compute_workgroup_size_x,
            ),
            (
                "max_compute_workgroups_per_dimension",
                limits.max_compute_workgroups_per_dimension,
            ),
            (
                "max_uniform_buffers_per_shader_stage",
                limits.max_uniform_buffers_per_shader_stage,
            ),
        ] {
            check_limit(limit, 1, found)?;
        }
        check_bindings(&limits, 2)?;
        check_alive(device)?;
        let mut shape = match device.adapter_info().device_type {
            wgpu::DeviceType::Cpu => Shape::SOFTWARE,
            _ => Shape::HARDWARE,
        };
        shape.workgroup_size = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x)
            .min(shape.workgroup_size);
        // The shader counts within a binding in u32.
        let max_binding = limits.max_storage_buffer_binding_size.min(u32::MAX.into());
        Ok(Self {
            device: device.clone(),
            dtype,
            bounds: Bounds {
                alignment: plan::alignment(limits.min_storage_buffer_offset_alignment),
                max_binding: max_binding - max_binding % plan::WORD,
                max_groups: limits.max_compute_workgroups_per_dimension,
                shape,
            },
            variants: Default::default(),
            penalty: OnceLock::new(),
        })
    }

    /// The features that a device must have been created with: `SHADER_F64` and `SHADER_INT64` for `float64`, else none.
    pub fn required_features(dtype: DType) -> wgpu::Features {
        match dtype {
            DType::F64 => wgpu::Features::SHADER_F64 | wgpu::Features::SHADER_INT64,
            DType::F32 | DType::F16 | DType::BF16 => wgpu::Features::empty(),
        }
    }

    /// The format of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Gets ready to write ELU of `x` to `y`. A number for `factors` is alpha.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare(
        &self,
        factors: impl Into<Factors>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Forward, factors.into(), ("x", x), ("x", x), ("y", y))
    }

    /// Gets ready to replace `x` by its ELU: [`Kernel::prepare`] with the same slice twice.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_in_place(
        &self,
        factors: impl Into<Factors>,
        x: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare(factors, x, x)
    }

    /// Gets ready to write the gradient with respect to `x` to `out`: `grad`, the gradient with respect to the output,
    /// times the slope at `x`. That is 1 where `x > 0`, else `alpha * exp(x)`. `out` may be `grad`, or `x`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_backward(
        &self,
        factors: impl Into<Factors>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let grad = ("grad", grad);
        self.prepare_op(Op::Backward, factors.into(), ("x", x), grad, ("out", out))
    }

    /// As [`Kernel::prepare_backward`], from the output `y` in place of `x`: the slope is 1 where `y > 0`, else
    /// `y + alpha`. Where [`Kernel::prepare_in_place`] has overwritten `x`, that is all there is left.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and [as listed above](Self#errors).
    pub fn prepare_backward_from_output(
        &self,
        factors: impl Into<Factors>,
        y: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let factors = factors.into();
        factors.check_invertible(self.dtype)?;
        let (y, grad, out) = (("y", y), ("grad", grad), ("out", out));
        self.prepare_op(Op::BackwardFromOutput, factors, y, grad, out)
    }

    /// Gets ready to replace `grad`: [`Kernel::prepare_backward`] with `grad` for `out`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_backward_in_place(
        &self,
        factors: impl Into<Factors>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_backward(factors, x, grad, grad)
    }

    /// Gets ready to replace `grad`: [`Kernel::prepare_backward_from_output`] with `grad` for `out`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prepare_backward_from_output_in_place(
        &self,
        factors: impl Into<Factors>,
        y: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_backward_from_output(factors, y, grad, grad)
    }
}

impl Step {
    /// Records the work into `pass`: pipelines, bind group 0 and dispatches, and nothing else.
    ///
    /// It allocates nothing, needs no queue and waits for nothing. Other state of the pass is left as it is. On a lost device it
    /// does nothing, as all that is recorded there.
    ///
    /// Whoever owns the pass can time it. With [wgpu-profiler](https://docs.rs/wgpu-profiler), say, on a device with
    /// `TIMESTAMP_QUERY`:
    ///
    /// ```no_run
    /// # fn frame(
    /// #     device: &wgpu::Device, queue: &wgpu::Queue, step: &wgpu_elu::Step,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use wgpu_profiler::{GpuProfiler, GpuProfilerSettings};
    ///
    /// let mut profiler = GpuProfiler::new(device, GpuProfilerSettings::default())?;
    /// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// {
    ///     let mut frame = profiler.scope("frame", &mut encoder);
    ///     let mut pass = frame.scoped_compute_pass("elu");
    ///     step.record(&mut pass);
    /// }
    /// profiler.resolve_queries(&mut encoder);
    /// queue.submit([encoder.finish()]);
    /// profiler.end_frame()?;
    /// // Some frames later:
    /// for scope in profiler.process_finished_frame(queue.get_timestamp_period()).into_iter().flatten() {
    ///     println!("{}: {:?}", scope.label, scope.time);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [groups_per_row, rows] = dispatch.groups;
            pass.dispatch_workgroups(groups_per_row, rows, 1);
        }
    }

    /// The number of dispatches that [`Step::record`] makes: for ELU 0 for no elements, and mostly 1 or 2.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }
}

// ---- Internals ----

/// A slice and its name in errors.
type Named<'a> = (&'static str, wgpu::BufferSlice<'a>);

/// What an operation with an arrangement of buffers needs: made when it is first asked for, and then kept.
#[derive(Debug)]
struct Variant {
    op: Op,
    shared: Shared,
    label: String,
    layout: wgpu::BindGroupLayout,
    module: OnceLock<wgpu::ShaderModule>,
    /// By [`Entry`], and by the two flags of a [`Specialization`].
    pipelines: [[[OnceLock<wgpu::ComputePipeline>; 2]; 2]; 2],
}

impl Variant {
    fn new(device: &wgpu::Device, dtype: DType, op: Op, shared: Shared) -> Result<Self> {
        let label = label(op.name(), dtype);
        let mut read_only = Vec::new();
        read_only.extend((!shared.x).then_some(shader::X_BINDING));
        read_only.extend((op.has_grad() && !shared.grad).then_some(shader::GRAD_BINDING));
        let layout = layout(device, &label, shader::uniform_size(dtype), &read_only)?;
        Ok(Self {
            op,
            shared,
            label,
            layout,
            module: OnceLock::new(),
            pipelines: Default::default(),
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
    /// Checks the slices; without a gradient, `grad` is `x` again.
    fn prepare_op(
        &self,
        op: Op,
        factors: Factors,
        x: Named<'_>,
        grad: Named<'_>,
        y: Named<'_>,
    ) -> Result<Step> {
        let size = self.dtype.size() as u64;
        for slice in [x, grad, y] {
            check_slice(slice, size)?;
        }
        for (what, (_, slice)) in [("the gradient", grad), ("the output", y)] {
            if slice.size() != x.1.size() {
                return Err(Error::LengthMismatch {
                    what,
                    needed: x.1.size() / size,
                    found: slice.size() / size,
                });
            }
        }
        let shared = Shared {
            x: shares("input", x.1, y.1)?,
            grad: op.has_grad() && shares("gradient", grad.1, y.1)?,
        };
        let starts = Each {
            x: x.1.offset(),
            grad: grad.1.offset(),
            y: y.1.offset(),
        };
        // Without one, it takes no part.
        let planned = Shared {
            grad: if op.has_grad() { shared.grad } else { shared.x },
            ..shared
        };
        let plan = plan::plan(starts, x.1.size() / size, size, planned, &self.bounds)?;
        let buffers = Each {
            x: x.1.buffer(),
            grad: grad.1.buffer(),
            y: y.1.buffer(),
        };
        self.bind(op, factors, shared, &plan, buffers)
    }

    fn variant(&self, op: Op, shared: Shared) -> Result<&Variant> {
        let at = 4 * op as usize + 2 * usize::from(shared.grad) + usize::from(shared.x);
        let cell = &self.variants[at];
        match cell.get() {
            Some(variant) => Ok(variant),
            None => {
                let variant = Variant::new(&self.device, self.dtype, op, shared)?;
                Ok(cell.get_or_init(|| variant))
            }
        }
    }

    fn bind(
        &self,
        op: Op,
        factors: Factors,
        shared: Shared,
        plan: &[Dispatch],
        buffers: Each<&wgpu::Buffer>,
    ) -> Result<Step> {
        if plan.is_empty() {
            return Ok(Step {
                dispatches: Vec::new(),
            });
        }
        let variant = self.variant(op, shared)?;
        let specialization = Specialization::new(self.dtype, op, factors);
        let size = shader::uniform_size(self.dtype);
        let stride = self.uniform_stride(size);
        let mut bytes = vec![0; stride * plan.len()];
        for (slot, dispatch) in bytes.chunks_exact_mut(stride).zip(plan) {
            let uniform = shader::uniform(self.dtype, &dispatch.params, op, factors);
            slot[..size].copy_from_slice(&uniform);
        }
        let uniform = self.uniform(&variant.label, &bytes)?;
        let dispatches = plan.iter().enumerate().map(|(i, dispatch)| {
            let pipeline = self
                .pipeline(variant, dispatch.entry, specialization)?
                .clone();
            let params = (i * stride) as u64..(i * stride + size) as u64;
            let mut entries = vec![binding(shader::PARAMS_BINDING, &uniform, &params)];
            if !shared.x {
                entries.push(binding(shader::X_BINDING, buffers.x, &dispatch.bytes.x));
            }
            if op.has_grad() && !shared.grad {
                let grad = &dispatch.bytes.grad;
                entries.push(binding(shader::GRAD_BINDING, buffers.grad, grad));
            }
            entries.push(binding(shader::Y_BINDING, buffers.y, &dispatch.bytes.y));
            let bind_group = self.bind_group(&variant.label, &variant.layout, &entries)?;
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

    /// How far parameters of this size are apart within a buffer.
    fn uniform_stride(&self, size: usize) -> usize {
        let alignment = self.device.limits().min_uniform_buffer_offset_alignment;
        size.next_multiple_of(alignment.max(1) as usize)
    }

    /// The parameters, in a buffer that is made with its contents: recording then needs no queue.
    fn uniform(&self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor {
            label: Some(&format!("{label}.params")),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: false,
        };
        checked(&self.device, "the parameters", || {
            filled(&self.device, &descriptor, bytes)
        })
        .flatten()
    }

    fn bind_group(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> Result<wgpu::BindGroup> {
        checked(&self.device, "a bind group", || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout,
                entries,
            })
        })
    }

    fn pipeline<'a>(
        &self,
        variant: &'a Variant,
        entry: Entry,
        specialization: Specialization,
    ) -> Result<&'a wgpu::ComputePipeline> {
        let name = match entry {
            Entry::Vectors => shader::VECTORS,
            Entry::Elements => shader::ELEMENTS,
        };
        let cell = &variant.pipelines[entry as usize][usize::from(specialization.unit_factors)]
            [usize::from(specialization.unit_input_scale)];
        match cell.get() {
            Some(pipeline) => Ok(pipeline),
            None => {
                let Variant {
                    op,
                    shared,
                    label,
                    layout,
                    module,
                    ..
                } = variant;
                let source = || shader::source(self.dtype, *op, *shared);
                let module = self.module(module, label, source)?;
                let mut constants = self.bounds.shape.constants(name);
                constants.extend(specialization.constants());
                let pipeline = self.compile(label, layout, module, name, &constants)?;
                Ok(cell.get_or_init(|| pipeline))
            }
        }
    }

    fn module<'a>(
        &self,
        cell: &'a OnceLock<wgpu::ShaderModule>,
        label: &str,
        source: impl FnOnce() -> String,
    ) -> Result<&'a wgpu::ShaderModule> {
        match cell.get() {
            Some(module) => Ok(module),
            None => {
                let module = checked(&self.device, "the shader", || {
                    self.device
                        .create_shader_module(wgpu::ShaderModuleDescriptor {
                            label: Some(label),
                            source: wgpu::ShaderSource::Wgsl(source().into()),
                        })
                })?;
                Ok(cell.get_or_init(|| module))
            }
        }
    }

    fn compile(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        module: &wgpu::ShaderModule,
        entry_point: &str,
        constants: &[(&str, f64)],
    ) -> Result<wgpu::ComputePipeline> {
        checked(&self.device, "a pipeline", || {
            let layout = self
                .device
                .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                    label: Some(label),
                    bind_group_layouts: &[Some(layout)],
                    immediate_size: 0,
                });
            self.device
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&format!("{label}.{entry_point}")),
                    layout: Some(&layout),
                    module,
                    entry_point: Some(entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants,
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                })
        })
    }
}

/// What all that one operation needs is labelled with, or begins with.
pub(crate) fn label(operation: &str, dtype: DType) -> String {
    format!("wgpu_elu.{operation}.{dtype}")
}

/// One bind group: the uniform, the inputs at `read_only`, and the output.
fn layout(
    device: &wgpu::Device,
    label: &str,
    uniform_size: usize,
    read_only: &[u32],
) -> Result<wgpu::BindGroupLayout> {
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
    check_bindings(&device.limits(), entries.len() - 1)?;
    checked(device, "a bind group layout", || {
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(label),
            entries: &entries,
        })
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

fn check_limit(limit: &'static str, needed: u32, found: u32) -> Result<()> {
    if found < needed {
        return Err(Error::Limit {
            limit,
            needed: needed.into(),
            found: found.into(),
        });
    }
    Ok(())
}

/// Whether the device binds that many storage buffers, and the uniform.
fn check_bindings(limits: &wgpu::Limits, storage_buffers: usize) -> Result<()> {
    let needed = u32::try_from(storage_buffers).unwrap_or(u32::MAX);
    let found = limits.max_storage_buffers_per_shader_stage;
    check_limit("max_storage_buffers_per_shader_stage", needed, found)?;
    // By the highest number among the bindings.
    let found = limits.max_bindings_per_bind_group;
    check_limit("max_bindings_per_bind_group", shader::Y_BINDING + 1, found)
}

fn check_slice((name, slice): Named<'_>, element: u64) -> Result<()> {
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
    let (needed, found) = (
        (offset + size).next_multiple_of(plan::WORD),
        slice.buffer().size(),
    );
    if needed > found {
        return Err(Error::PartialWord {
            buffer: name,
            needed,
            found,
        });
    }
    Ok(())
}

/// Whether an input lies in the output's buffer. There they may be the same, but not overlap.
fn shares(
    input: &'static str,
    slice: wgpu::BufferSlice<'_>,
    output: wgpu::BufferSlice<'_>,
) -> Result<bool> {
    let bytes_of = |slice: wgpu::BufferSlice<'_>| slice.offset()..slice.offset() + slice.size();
    let (bytes, output_bytes) = (bytes_of(slice), bytes_of(output));
    if slice.buffer() != output.buffer() {
        Ok(false)
    } else if bytes == output_bytes
        || bytes.end <= output_bytes.start
        || output_bytes.end <= bytes.start
    {
        Ok(true)
    } else {
        Err(Error::Overlap {
            input,
            bytes,
            output: output_bytes,
        })
    }
}
