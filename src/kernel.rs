//! ELU as a step that is recorded into a host's compute pass.

mod check;
mod penalty;
mod plan;
mod program;

use std::sync::Arc;

use crate::{
    cache::Cache,
    checked::probe_alive,
    dtype::DType,
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    op::Op,
    shader::{self, Shape, Shared, Specialization},
};
pub(crate) use check::check_usage;
use check::{check_device, check_slice, shares};
use plan::{Bounds, Dispatch, Entry, PerBuffer};
pub(crate) use program::label;
use program::{Objects, PipelineKey, Program, Recipe};

/// ELU on a [`wgpu::Device`], which may belong to a host: an app that has its own wgpu device.
///
/// 1. Call [`Kernel::new`] once per device and dtype. It uses the limits and features that *this* device was created
///    with, and does not set callbacks.
/// 2. Call [`Kernel::prepare`] once per alpha and set of slices. It checks everything, creates the uniform buffer and
///    the bind groups, and compiles a pipeline the first time that one is needed, unless [`Kernel::compile`] has
///    compiled it. The gradients have `prepare` methods of their own; [`Kernel::prepare_op`] does the same for any
///    [`Op`].
/// 3. Call [`Step::record`] in any compute pass, as often as needed. It only sets pipelines and bind groups, and
///    dispatches.
/// 4. Submit the work yourself, and wait for it or not.
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
/// Every `prepare` takes slices that start at any element and have any length. What exceeds one binding or one dispatch
/// becomes several dispatches. Bytes outside the output slice keep their values, even a 16-bit element that shares its
/// word with the first or last element of the slice. The output may be the same slice as an input (in place), or lie in
/// the same buffer without overlapping it. All slices in the output's buffer must lie within
/// `max_storage_buffer_binding_size` of each other, because WebGPU allows only one binding per dispatch for a buffer
/// that is written. Empty slices give a step that records nothing.
///
/// [`Kernel::prepare_penalty`] has its own rules for the output, and its step writes 0 if the input is empty.
///
/// # Errors
///
/// Every `prepare` returns
///
/// - [`Error::LengthMismatch`], [`Error::Misaligned`], [`Error::MissingUsage`] (all buffers need `STORAGE`),
///   [`Error::Overlap`] or [`Error::PartialWord`] if a slice breaks a rule;
/// - [`Error::Rounding`] for [`Rounding::Nearest`](crate::Rounding::Nearest) of `float64`;
/// - [`Error::Limit`] if the device cannot bind the slices;
/// - [`Error::Refused`] if a buffer belongs to another device or is destroyed, or if the driver rejects the shader;
/// - [`Error::OutOfMemory`] or [`Error::DeviceLost`].
///
/// In a browser errors arrive later. There the errors of the last two items go to the device's error scopes or
/// callbacks, as the errors of the host's own calls do.
#[derive(Clone, Debug)]
pub struct Kernel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    dtype: DType,
    bounds: Bounds,
    programs: Cache<Program, Objects>,
    pipelines: Cache<PipelineKey, wgpu::ComputePipeline>,
    pipeline_cache: Option<wgpu::PipelineCache>,
}

/// Work that is ready to record any number of times: see [`Kernel::prepare`].
///
/// A step keeps its buffers alive. It may be dropped while its work is in flight.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it is recorded"]
pub struct Step {
    dispatches: Vec<PreparedDispatch>,
}

impl Kernel {
    /// Creates a kernel for elements of `dtype` on `device`, without compiling anything.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Limit`] if the device was created without compute shaders or with fewer than two storage
    /// buffers; [`Error::MissingFeature`] if it was created without [`Kernel::required_features`]; outside the browser
    /// also [`Error::DeviceLost`].
    pub fn new(device: &wgpu::Device, dtype: DType) -> Result<Self> {
        if let Some(needed) = Self::missing_feature(device, dtype) {
            return Err(Error::MissingFeature { dtype, needed });
        }
        let limits = device.limits();
        check_device(&limits)?;
        probe_alive(device)?;
        let shape = Shape::for_device(device.adapter_info().device_type, &limits);
        // The shader uses u32 for positions within a binding.
        let max_binding = limits.max_storage_buffer_binding_size.min(u32::MAX.into());
        Ok(Self::from_parts(
            device,
            dtype,
            Bounds {
                alignment: plan::alignment(limits.min_storage_buffer_offset_alignment),
                max_binding: max_binding - max_binding % plan::WORD,
                max_groups: limits.max_compute_workgroups_per_dimension,
                shape,
            },
            None,
        ))
    }

    /// Returns a kernel that compiles through a [`wgpu::PipelineCache`] and has compiled nothing yet. A host can save
    /// the cache to disk, so that its next start compiles faster.
    ///
    /// ```no_run
    /// # fn host(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu_elu::Result<()> {
    /// use wgpu_elu::{DType, Elu, Kernel, Op, shader::Shared, wgpu};
    ///
    /// // On a device with `PIPELINE_CACHE`. `data` is what `get_data` returned in an earlier run.
    /// let cache = unsafe {
    ///     device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor { label: None, data, fallback: true })
    /// };
    /// let kernel = Kernel::new(device, DType::F32)?.with_pipeline_cache(&cache);
    /// kernel.compile(Op::Forward, Elu::new(0.5), Shared::default())?;
    /// let data_for_the_next_run = cache.get_data();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_pipeline_cache(&self, cache: &wgpu::PipelineCache) -> Self {
        let Inner {
            device,
            dtype,
            bounds,
            ..
        } = &*self.inner;
        Self::from_parts(device, *dtype, *bounds, Some(cache.clone()))
    }

    /// Compiles ahead of time what [`Kernel::prepare_op`] would compile the first time. Call it on any thread while an
    /// app loads, so that no frame waits for the compiler. It does nothing if everything is compiled already.
    ///
    /// The compiled code depends on `shared`, which says which inputs lie in the output's buffer (in place: `x` for
    /// forward, `grad` for a gradient). It depends on `elu` only in its rounding, in whether every factor that `op`
    /// multiplies by is 1, and in whether `input_scale` is 1, so one alpha other than 1 stands for all of them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Rounding`], [`Error::Limit`], [`Error::Refused`], [`Error::OutOfMemory`] or
    /// [`Error::DeviceLost`], as [listed above](Self#errors).
    pub fn compile(&self, op: Op, elu: impl Into<Elu>, shared: Shared) -> Result<()> {
        let elu = elu.into();
        let program = Program::Elu {
            op,
            rounding: elu.rounding(),
            shared: Shared {
                grad: op.has_grad() && shared.grad,
                ..shared
            },
        };
        let specialization = Specialization::new(self.dtype(), op, elu);
        for entry in Entry::ALL {
            self.pipeline(PipelineKey {
                program,
                entry_point: entry.name(),
                specialization,
            })?;
        }
        Ok(())
    }

    /// Returns the features that a device must have been created with: `SHADER_F64` and `SHADER_INT64` for `float64`,
    /// else none.
    pub fn required_features(dtype: DType) -> wgpu::Features {
        match dtype {
            DType::F64 => wgpu::Features::SHADER_F64 | wgpu::Features::SHADER_INT64,
            DType::F32 | DType::F16 | DType::BF16 => wgpu::Features::empty(),
        }
    }

    /// Returns the name of a feature in [`wgpu::Features`] that `dtype` needs and the device lacks, or `None`.
    pub fn missing_feature(device: &wgpu::Device, dtype: DType) -> Option<&'static str> {
        let missing = Self::required_features(dtype) - device.features();
        missing.iter_names().map(|(name, _)| name).next()
    }

    /// Returns the dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    /// Prepares a step that applies `op` to `x` (for [`Op::BackwardFromOutput`], the output `y`), and to `grad` if `op`
    /// takes an incoming gradient, and writes the result to `out`. The methods below are named after their operation
    /// and call this one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
    /// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; and the [errors of every
    /// `prepare`](Self#errors).
    pub fn prepare_op(
        &self,
        op: Op,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        grad: Option<wgpu::BufferSlice<'_>>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        check_inputs(op, 1 + usize::from(grad.is_some()))?;
        let elu = elu.into();
        shader::check_rounding(self.dtype(), elu.rounding())?;
        if op == Op::BackwardFromOutput {
            elu.factors().check_invertible(self.dtype())?;
        }
        self.prepare_checked(op, elu, x, grad, out)
    }

    /// Prepares a step that writes ELU of `x` to `y`. A number for `elu` is alpha.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every `prepare`](Self#errors).
    pub fn prepare(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Forward, elu, x, None, y)
    }

    /// Prepares a step that replaces `x` with its ELU. This is [`Kernel::prepare`] with the same slice twice.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every `prepare`](Self#errors).
    pub fn prepare_in_place(&self, elu: impl Into<Elu>, x: wgpu::BufferSlice<'_>) -> Result<Step> {
        self.prepare_op(Op::Forward, elu, x, None, x)
    }

    /// Prepares a step that writes to `out` the gradient with respect to `x`: `grad`, the gradient with respect to the
    /// output, times the slope at `x`. The slope of ELU is 1 where `x > 0`, else `alpha * exp(x)`. `out` may be the
    /// slice `grad` or `x`.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every `prepare`](Self#errors).
    pub fn prepare_backward(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Backward, elu, x, Some(grad), out)
    }

    /// Prepares a step that replaces `grad`. This is [`Kernel::prepare_backward`] with `grad` as `out`.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every `prepare`](Self#errors).
    pub fn prepare_backward_in_place(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Backward, elu, x, Some(grad), grad)
    }

    /// Prepares a step that writes to `out` the gradient with respect to `x`, computed from the output `y`: the slope
    /// of ELU is 1 where `y > 0`, else `y + alpha`. Use it if [`Kernel::prepare_in_place`] has overwritten `x`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and the [errors of every
    /// `prepare`](Self#errors).
    pub fn prepare_backward_from_output(
        &self,
        elu: impl Into<Elu>,
        y: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::BackwardFromOutput, elu, y, Some(grad), out)
    }

    /// Prepares a step that replaces `grad`. This is [`Kernel::prepare_backward_from_output`] with `grad` as `out`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::prepare_backward_from_output`].
    pub fn prepare_backward_from_output_in_place(
        &self,
        elu: impl Into<Elu>,
        y: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::BackwardFromOutput, elu, y, Some(grad), grad)
    }
}

impl Step {
    /// Records the work into `pass`: it sets pipelines and bind group 0, and dispatches.
    ///
    /// It allocates nothing, needs no queue and does not wait. It leaves the other state of the pass unchanged. On a
    /// lost device it does nothing, like all recorded commands.
    ///
    /// The owner of the pass can time it. For example, with [wgpu-profiler](https://docs.rs/wgpu-profiler) on a device
    /// with `TIMESTAMP_QUERY`:
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

    /// Returns the number of dispatches that [`Step::record`] makes: 0 for ELU of empty slices, usually 1 or 2.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }
}

// ---- Internals ----

/// A dispatch with all its objects.
#[derive(Clone, Debug)]
struct PreparedDispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Kernel {
    fn from_parts(
        device: &wgpu::Device,
        dtype: DType,
        bounds: Bounds,
        pipeline_cache: Option<wgpu::PipelineCache>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                device: device.clone(),
                dtype,
                bounds,
                programs: Cache::default(),
                pipelines: Cache::default(),
                pipeline_cache,
            }),
        }
    }

    fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// Prepares a step. `grad` must be given if `op` takes an incoming gradient, and only then.
    fn prepare_checked(
        &self,
        op: Op,
        elu: Elu,
        x: wgpu::BufferSlice<'_>,
        grad: Option<wgpu::BufferSlice<'_>>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let size = self.dtype().size() as u64;
        // Operations without an incoming gradient use `x` in its place, so that the checks and the planner need no
        // special case.
        let others = [(Role::Gradient, grad.unwrap_or(x)), (Role::Output, out)];
        check_slice(Role::Input, x, size)?;
        for (role, slice) in others {
            check_slice(role, slice, size)?;
        }
        for (role, slice) in others {
            if slice.size() != x.size() {
                return Err(Error::LengthMismatch {
                    role,
                    needed: x.size() / size,
                    found: slice.size() / size,
                });
            }
        }
        let shared_x = shares(Role::Input, x, out)?;
        let shared_grad = grad.map(|grad| shares(Role::Gradient, grad, out));
        let shared_grad = shared_grad.transpose()?;
        let slices = PerBuffer {
            x,
            grad: grad.unwrap_or(x),
            y: out,
        };
        let planned = Shared {
            x: shared_x,
            grad: shared_grad.unwrap_or(shared_x),
        };
        let starts = slices.map(|slice| slice.offset());
        let plan = plan::plan(starts, x.size() / size, size, planned, &self.inner.bounds)?;
        let shared = Shared {
            x: shared_x,
            grad: shared_grad.unwrap_or(false),
        };
        let recipe = |dispatch: &Dispatch| {
            let bytes = &dispatch.bytes;
            let mut buffers = vec![(shader::Y_BINDING, out.buffer(), bytes.y.clone())];
            if !shared.x {
                buffers.push((shader::X_BINDING, x.buffer(), bytes.x.clone()));
            }
            if let Some(grad) = grad.filter(|_| !shared.grad) {
                buffers.push((shader::GRAD_BINDING, grad.buffer(), bytes.grad.clone()));
            }
            Recipe {
                entry_point: dispatch.entry.name(),
                uniform: shader::uniform(self.dtype(), &dispatch.params, op, elu),
                buffers,
                groups: dispatch.groups,
            }
        };
        let recipes: Vec<_> = plan.iter().map(recipe).collect();
        let specialization = Specialization::new(self.dtype(), op, elu);
        let program = Program::Elu {
            op,
            rounding: elu.rounding(),
            shared,
        };
        self.step(program, specialization, &recipes)
    }
}
