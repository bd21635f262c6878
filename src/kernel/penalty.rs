//! Keras' activity regularizer as a step. Every workgroup sums a part of the elements. Further dispatches sum these
//! partial sums until the last one writes the result.

mod plan;

use super::{Kernel, PipelineKey, Program, Recipe, Step, check::check_slice};
use crate::{
    checked::{buffer_size, checked},
    error::{Error, Result, Role},
    factors::Penalty,
    shader::{self, Specialization, penalty as source},
};
use plan::{Buffer, Dispatch, Entry};

impl Kernel {
    /// Prepares a step that writes to `out` the sum over all elements of `l1 * |y| + l2 * y^2`, divided by `divisor`:
    /// Keras' activity regularizer, see [`Regularizer`](crate::Regularizer). `out` is one `f32`, or one `f64` for
    /// elements of that type. It may lie in the buffer of `y`, but not within `y`.
    ///
    /// If there are no elements or both factors are 0, `out` becomes 0. Partial sums are written to buffers that belong
    /// to the step: about 8 bytes (16 for `f64`) for every 64 KiB of `y`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RegularizerFactor`] and [`Error::Divisor`] for invalid numbers; [`Error::NotOneElement`] and
    /// [`Error::OutputWithinInput`] for an invalid `out`; and the [errors of every `prepare`](Self#errors) except those
    /// for lengths and overlap.
    pub fn prepare_penalty(
        &self,
        l1: f64,
        l2: f64,
        divisor: f64,
        y: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let penalty = Penalty::new(l1, l2)?;
        if !(divisor > 0.0 && divisor.is_finite()) {
            return Err(Error::Divisor { found: divisor });
        }
        self.check_penalty_slices(y, out)?;
        let size = self.dtype().size() as u64;
        let len = if penalty.is_zero() {
            0
        } else {
            y.size() / size
        };
        let bounds = &self.inner.bounds;
        let plan = plan::plan(y.offset(), len, out.offset(), self.dtype(), bounds)?;
        let [even_size, odd_size] = plan.scratch;
        let even = self.scratch("even", even_size)?;
        let odd = self.scratch("odd", odd_size)?;
        let buffer = |buffer| match buffer {
            Buffer::Input => y.buffer(),
            Buffer::Even => &even,
            Buffer::Odd => &odd,
            Buffer::Output => out.buffer(),
        };
        let recipe = |dispatch: &Dispatch| {
            let ((from, from_bytes), (to, to_bytes)) = (&dispatch.from, &dispatch.to);
            Recipe {
                entry_point: dispatch.entry.name(),
                uniform: source::uniform(self.dtype(), &dispatch.params, penalty, divisor),
                buffers: vec![
                    (shader::X_BINDING, buffer(*from), from_bytes.clone()),
                    (shader::Y_BINDING, buffer(*to), to_bytes.clone()),
                ],
                groups: dispatch.groups,
            }
        };
        let recipes: Vec<_> = plan.dispatches.iter().map(recipe).collect();
        self.step(Program::Penalty, Specialization::default(), &recipes)
    }

    /// Compiles ahead of time what [`Kernel::prepare_penalty`] would compile the first time. It does nothing if
    /// everything is compiled already.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::compile`].
    pub fn compile_penalty(&self) -> Result<()> {
        for entry in Entry::ALL {
            self.pipeline(PipelineKey {
                program: Program::Penalty,
                entry_point: entry.name(),
                specialization: Specialization::default(),
            })?;
        }
        Ok(())
    }
}

// ---- Internals ----

impl Kernel {
    /// Fails unless `y` consists of whole elements and `out` is one number outside of `y`.
    fn check_penalty_slices(
        &self,
        y: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<()> {
        let dtype = self.dtype().arithmetic_dtype();
        check_slice(Role::Input, y, self.dtype().size() as u64)?;
        check_slice(Role::Output, out, dtype.size() as u64)?;
        if out.size() != dtype.size() as u64 {
            return Err(Error::NotOneElement {
                dtype,
                found: out.size(),
            });
        }
        let [input, output] = [y, out].map(|slice| slice.offset()..slice.offset() + slice.size());
        let overlap = !input.is_empty() && input.start < output.end && output.start < input.end;
        if overlap && y.buffer() == out.buffer() {
            return Err(Error::OutputWithinInput { input, output });
        }
        Ok(())
    }

    /// Creates a buffer for partial sums.
    fn scratch(&self, name: &str, size: u64) -> Result<wgpu::Buffer> {
        let size = buffer_size(self.device(), size)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(&format!("{}.{name}", Program::Penalty.label(self.dtype()))),
            size,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        let what = format!("a buffer of {size} bytes");
        checked(self.device(), &what, || {
            self.device().create_buffer(&descriptor)
        })
    }
}
