//! Work on a GPU: buffers, submissions, mappings and waits. wgpu's errors are returned as [`Error`].

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{Gpu, adapters::shares_memory};
use crate::{
    checked::{buffer_size, checked, filled, lost, panicked, probe_alive, unmapped},
    dtype::DType,
    error::{Error, Result},
    kernel::{self, Kernel, Step},
};

impl Gpu {
    /// Fails if the device is known to be lost. After a loss, wgpu reports errors only from mappings.
    pub(crate) fn check_alive(&self) -> Result<()> {
        match self.shared.lost.as_ref().and_then(|lost| lost.get()) {
            Some(reason) => Err(Error::DeviceLost {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Fails like [`Gpu::check_alive`], and also probes devices whose loss is not reported to this crate.
    pub(crate) fn probe_alive(&self) -> Result<()> {
        self.check_alive()?;
        match self.shared.lost {
            Some(_) => Ok(()),
            None => probe_alive(self.device()),
        }
    }

    /// Prepares a step, records it into an encoder of its own, and submits it: the three calls that a host makes.
    pub(crate) fn run(
        &self,
        dtype: DType,
        operation: &str,
        prepare: impl FnOnce(&Kernel) -> Result<Step>,
    ) -> Result<()> {
        self.check_alive()?;
        let kernel = &self.kernel(dtype)?;
        let label = kernel::label(operation, dtype);
        self.submit("the work", &label, |encoder| {
            let step = prepare(kernel)?;
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(&label),
                    timestamp_writes: None,
                }),
            );
            Ok(())
        })?;
        Ok(())
    }

    /// Records and submits commands. It fails, for example, if a host's buffer that they use is mapped or destroyed.
    pub(crate) fn submit(
        &self,
        what: &str,
        label: &str,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        // A submission also runs the callbacks of finished work. They must run before the error scopes below are
        // opened, so that the errors that a host's callbacks cause reach the host. (The callbacks of work that finishes
        // between here and the submission still run inside the scopes.) A poll runs the callbacks, but may panic inside
        // wgpu on a lost device; an empty submission does not panic, but takes some microseconds. So devices whose loss
        // is reported are polled, and others get an empty submission.
        match self.shared.lost {
            Some(_) => self.poll(Until::Now)?,
            None => {
                self.guarded(|| self.queue().submit([]))?;
            }
        }
        let submitted = self.checked(what, || {
            let label = Some(label);
            let descriptor = wgpu::CommandEncoderDescriptor { label };
            let mut encoder = self.device().create_command_encoder(&descriptor);
            record(&mut encoder)?;
            let submit = || self.queue().submit([encoder.finish()]);
            Ok(catch_unwind(AssertUnwindSafe(submit)))
        });
        match submitted.flatten() {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(panic)) => Err(self.after_panic(panic)),
            Err(error) => Err(self.reason_of(error)),
        }
    }

    /// Returns the error for a panic in a call that also runs the host's callbacks. If the device is lent and still
    /// works, the panic may come from a callback, so this function resumes the panic instead.
    fn after_panic(&self, panic: Box<dyn Any + Send>) -> Error {
        let known = self.check_alive().and_then(|()| probe_alive(self.device()));
        match (known, &self.shared.lost) {
            (Err(error), _) => error,
            // The device may be in an inconsistent state, so from now on it counts as lost.
            (Ok(()), Some(reason)) => lost(reason.get_or_init(|| panicked(&*panic))),
            (Ok(()), None) => resume_unwind(panic),
        }
    }

    /// Does what [`checked`] does, except that in a browser the next call that waits returns the error.
    pub(crate) fn checked<T>(&self, what: &str, make: impl FnOnce() -> T) -> Result<T> {
        self.shared.checks.checked(self.device(), what, make)
    }

    /// Adds the reported reason to [`Error::DeviceLost`], if one is known, and returns other errors unchanged.
    pub(crate) fn reason_of(&self, error: Error) -> Error {
        match error {
            Error::DeviceLost { .. } => self.check_alive().err().unwrap_or(error),
            _ => error,
        }
    }

    /// Creates a buffer of `size` bytes that starts with `contents`, if given.
    pub(crate) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        contents: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        self.check_alive()?;
        let size = buffer_size(self.device(), size)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        };
        let what = format!("a buffer of {size} bytes");
        self.checked(&what, || match contents {
            Some(bytes) => filled(self.device(), &descriptor, bytes),
            None => Ok(self.device().create_buffer(&descriptor)),
        })
        .flatten()
    }

    /// Returns whether storage buffers, which kernels use, can also be mapped, and are not slower if they are mappable.
    pub(crate) fn can_map_storage(&self) -> bool {
        let needed = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        shares_memory(self.info()) && self.device().features().contains(needed)
    }

    /// Maps `slice` once the work in `until` is done, which must include all work that uses the buffer.
    pub(crate) async fn map<'a>(
        &'a self,
        mode: wgpu::MapMode,
        slice: wgpu::BufferSlice<'a>,
        until: Until,
    ) -> Result<Mapping<'a>> {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        // The send fails if the future was dropped; the result is then not needed.
        self.checked("a mapping", || {
            slice.map_async(mode, move |result| drop(sender.send(result)));
        })
        .map_err(|error| self.reason_of(error))?;
        // Created here, so that dropping it also cancels a mapping that is still pending.
        let mapping = Mapping { gpu: self, slice };
        self.poll(until)?;
        let mapped = receiver.receive().await;
        self.shared.checks.settle().await?;
        match mapped {
            Some(Ok(())) => Ok(mapping),
            _ => {
                self.check_alive()?;
                Err(unmapped())
            }
        }
    }

    pub(super) async fn wait(&self) -> Result<()> {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        self.guarded(|| {
            self.queue()
                .on_submitted_work_done(move || drop(sender.send(())));
        })?;
        self.poll(Until::All)?;
        let done = receiver.receive().await;
        self.shared.checks.settle().await?;
        match done {
            Some(()) => self.probe_alive(),
            None => Err(lost("its work was never done")),
        }
    }

    /// Polls the device, which runs wgpu's callbacks. Outside the browser it blocks until the work in `until` is done,
    /// and callbacks run only during polls and submissions.
    fn poll(&self, until: Until) -> Result<()> {
        self.check_alive()?;
        let wait = |submission_index| wgpu::PollType::Wait {
            submission_index,
            timeout: None,
        };
        let poll = match until {
            Until::Now => wgpu::PollType::Poll,
            Until::Submission(index) => wait(Some(index)),
            Until::All => wait(None),
        };
        // wgpu 30's poll panics if the device is lost meanwhile (wgpu-30.0.1/src/backend/wgpu_core.rs, `fn poll`), and
        // a host's callback may panic.
        self.guarded(|| self.device().poll(poll))?.map_err(lost)?;
        Ok(())
    }

    /// Calls a function of wgpu that may panic or run the host's callbacks: see [`Gpu::after_panic`].
    fn guarded<T>(&self, call: impl FnOnce() -> T) -> Result<T> {
        catch_unwind(AssertUnwindSafe(call)).map_err(|panic| self.after_panic(panic))
    }
}

/// How long a call waits for the device.
pub(crate) enum Until {
    /// It does not wait.
    Now,
    /// It waits until this submission and all earlier ones are done.
    Submission(wgpu::SubmissionIndex),
    /// It waits until all work is done.
    All,
}

/// A part of a buffer that the CPU may read or write. Dropping it unmaps the buffer.
pub(crate) struct Mapping<'a> {
    gpu: &'a Gpu,
    slice: wgpu::BufferSlice<'a>,
}

impl Mapping<'_> {
    pub(crate) fn view(&self) -> Result<wgpu::BufferView> {
        self.slice.get_mapped_range().map_err(|_| unmapped())
    }

    pub(crate) fn view_mut(&self) -> Result<wgpu::BufferViewMut> {
        self.slice.get_mapped_range_mut().map_err(|_| unmapped())
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // If the mapping failed, wgpu reports an error for the unmap, which is ignored.
        let _ = checked(self.gpu.device(), "the end of a mapping", || {
            self.slice.buffer().unmap();
        });
    }
}
