//! ELU as a step in somebody else's compute pass.

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

/// ELU on a [`wgpu::Device`] that may be anybody's.
///
/// 1. [`Kernel::new`] once per device and dtype. It respects the limits and features that *this* device was created with,
///    and changes nothing on it: no error callback, no lost-device callback.
/// 2. [`Kernel::prepare`] once per set of buffer ranges and alpha. It checks everything, makes the uniform and the bind
///    groups, and compiles a pipeline the first time it is needed, unless [`Kernel::compile`] did so ahead of time. The
///    gradients have a `prepare` each; [`Kernel::prepare_op`] does the same for any [`Op`].
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

/// Work that is ready to record, again and again: see [`Kernel::prepare`].
///
/// It keeps its buffers alive, and may be dropped while its work is in flight.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it is recorded"]
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
        if let Some(needed) = Self::missing_feature(device, dtype) {
            return Err(Error::MissingFeature { dtype, needed });
        }
        let limits = device.limits();
        check_device(&limits)?;
        probe_alive(device)?;
        let shape = Shape::for_device(device.adapter_info().device_type, &limits);
        // The shader counts within a binding in u32.
        let max_binding = limits.max_storage_buffer_binding_size.min(u32::MAX.into());
        Ok(Self::with(
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

    /// Returns a kernel that has compiled nothing yet and compiles through a [`wgpu::PipelineCache`], which a host can keep
    /// on disk, so that its next start compiles faster.
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
        Self::with(device, *dtype, *bounds, Some(cache.clone()))
    }

    /// Compiles ahead of time what [`Kernel::prepare_op`] compiles the first time: call it while an app loads, on any thread,
    /// so that no frame waits for the compiler. It does nothing if all is compiled already.
    ///
    /// What is compiled depends on `shared`, which inputs lie in the output's buffer (for work in place `x` for forward and
    /// `grad` for a gradient), and of `elu` only on whether all factors
    /// are 1 and whether `input_scale` is 1: one alpha other than 1 stands for all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`], [`Error::Refused`], [`Error::OutOfMemory`] and [`Error::DeviceLost`], as [listed above](Self#errors).
    pub fn compile(&self, op: Op, elu: impl Into<Elu>, shared: Shared) -> Result<()> {
        let program = Program::Elu {
            op,
            shared: Shared {
                grad: op.has_grad() && shared.grad,
                ..shared
            },
        };
        let specialization = Specialization::new(self.dtype(), op, elu.into());
        for entry in Entry::ALL {
            self.pipeline(PipelineKey {
                program,
                entry_point: entry.name(),
                specialization,
            })?;
        }
        Ok(())
    }

    /// The features that a device must have been created with: `SHADER_F64` and `SHADER_INT64` for `float64`, else none.
    pub fn required_features(dtype: DType) -> wgpu::Features {
        match dtype {
            DType::F64 => wgpu::Features::SHADER_F64 | wgpu::Features::SHADER_INT64,
            DType::F32 | DType::F16 | DType::BF16 => wgpu::Features::empty(),
        }
    }

    /// The name of a feature in [`wgpu::Features`] that `dtype` needs and the device was created without, if any.
    pub fn missing_feature(device: &wgpu::Device, dtype: DType) -> Option<&'static str> {
        let missing = Self::required_features(dtype) - device.features();
        missing.iter_names().map(|(name, _)| name).next()
    }

    /// The format of the elements.
    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    /// Gets ready to write the result of `op` to `out`: of `x` (for [`Op::BackwardFromOutput`], of the output `y`), and of
    /// `grad` if `op` takes a gradient. The methods below are this one by name.
    ///
    /// # Errors
    ///
    /// [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
    /// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; and [as listed above](Self#errors).
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
        if op == Op::BackwardFromOutput {
            elu.factors().check_invertible(self.dtype())?;
        }
        self.prepare_checked(op, elu, x, grad, out)
    }

    /// Gets ready to write ELU of `x` to `y`. A number for `elu` is alpha.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Forward, elu, x, None, y)
    }

    /// Gets ready to replace `x` by its ELU: [`Kernel::prepare`] with the same slice twice.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_in_place(&self, elu: impl Into<Elu>, x: wgpu::BufferSlice<'_>) -> Result<Step> {
        self.prepare_op(Op::Forward, elu, x, None, x)
    }

    /// Gets ready to write the gradient with respect to `x` to `out`: `grad`, the gradient with respect to the output,
    /// times the slope at `x`. The slope is 1 where `x > 0`, else `alpha * exp(x)`. `out` may be `grad`, or `x`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_backward(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Backward, elu, x, Some(grad), out)
    }

    /// Gets ready to replace `grad`: [`Kernel::prepare_backward`] with `grad` for `out`.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn prepare_backward_in_place(
        &self,
        elu: impl Into<Elu>,
        x: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::Backward, elu, x, Some(grad), grad)
    }

    /// Gets ready to write the gradient with respect to `x` to `out`, computed from the output `y`: the slope is 1 where
    /// `y > 0`, else `y + alpha`. Use it where [`Kernel::prepare_in_place`] has overwritten `x`.
    ///
    /// # Errors
    ///
    /// [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and [as listed above](Self#errors).
    pub fn prepare_backward_from_output(
        &self,
        elu: impl Into<Elu>,
        y: wgpu::BufferSlice<'_>,
        grad: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        self.prepare_op(Op::BackwardFromOutput, elu, y, Some(grad), out)
    }

    /// Gets ready to replace `grad`: [`Kernel::prepare_backward_from_output`] with `grad` for `out`.
    ///
    /// # Errors
    ///
    /// Those of [`Kernel::prepare_backward_from_output`].
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

/// A dispatch with everything that it needs.
#[derive(Clone, Debug)]
struct Ready {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Kernel {
    fn with(
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

    /// `grad` is there exactly if `op` takes one.
    fn prepare_checked(
        &self,
        op: Op,
        elu: Elu,
        x: wgpu::BufferSlice<'_>,
        grad: Option<wgpu::BufferSlice<'_>>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let size = self.dtype().size() as u64;
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
        // Operations without a gradient alias `x`, so that the planner needs no case of its own for them.
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
                uniform: shader::uniform(self.dtype(), &dispatch.params, op, elu.factors()),
                buffers,
                groups: dispatch.groups,
            }
        };
        let recipes: Vec<_> = plan.iter().map(recipe).collect();
        let specialization = Specialization::new(self.dtype(), op, elu);
        self.step(Program::Elu { op, shared }, specialization, &recipes)
    }
}
