//! Work on a GPU: buffers, submissions, mappings and waits, whose errors come back as ours.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Gpu, adapters::shares_memory};
use crate::{
    checked::{checked, filled, lost, probe_alive, unmapped},
    dtype::DType,
    error::{Error, Result},
    kernel::{self, Kernel, Step},
};

impl Gpu {
    /// Fails if the device is known to be lost. After a loss wgpu itself reports no error from any call but a mapping.
    pub(crate) fn check_alive(&self) -> Result<()> {
        match self.shared.lost.as_ref().and_then(|lost| lost.get()) {
            Some(reason) => Err(Error::DeviceLost {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Does what [`Gpu::check_alive`] does, and probes a device whose loss nobody reports to us.
    pub(crate) fn probe_alive(&self) -> Result<()> {
        self.check_alive()?;
        match self.shared.lost {
            Some(_) => Ok(()),
            None => probe_alive(self.device()),
        }
    }

    /// The embed contract's three calls, in an encoder of our own.
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

    /// Submits what is recorded: a host's buffer in it may be mapped or destroyed.
    pub(crate) fn submit(
        &self,
        what: &str,
        label: &str,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        // A submission also calls what waits for work that is done. So it is called here, where a host's errors are its own; what
        // ends between here and there is still called within our checks. A poll may panic on a lost device, if only inside, and
        // a submission of nothing does not, but takes some microseconds.
        match self.shared.lost {
            Some(_) => self.poll(Until::Now)?,
            None => drop(self.queue().submit([])),
        }
        self.checked(what, || {
            let label = Some(label);
            let descriptor = wgpu::CommandEncoderDescriptor { label };
            let mut encoder = self.device().create_command_encoder(&descriptor);
            record(&mut encoder)?;
            Ok(self.queue().submit([encoder.finish()]))
        })
        .flatten()
        .map_err(|error| self.reason_of(error))
    }

    /// [`checked`], but that in a browser the error comes from what is next waited for.
    pub(crate) fn checked<T>(&self, what: &str, make: impl FnOnce() -> T) -> Result<T> {
        self.shared.checks.checked(self.device(), what, make)
    }

    /// A loss with its reason, where we were told that; any other error as it is.
    pub(crate) fn reason_of(&self, error: Error) -> Error {
        match error {
            Error::DeviceLost { .. } => self.check_alive().err().unwrap_or(error),
            _ => error,
        }
    }

    /// A buffer of `size` bytes, holding `contents` from its start if there are any.
    pub(crate) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        contents: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        self.check_alive()?;
        let found = self.device().limits().max_buffer_size;
        if size > found {
            return Err(Error::Limit {
                limit: "max_buffer_size",
                needed: size,
                found,
            });
        }
        let size = whole_words(size).max(wgpu::COPY_BUFFER_ALIGNMENT);
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

    /// Whether buffers that kernels work on may be mapped, and are as fast as others.
    pub(crate) fn maps_what_it_computes(&self) -> bool {
        let needed = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        shares_memory(self.info()) && self.device().features().contains(needed)
    }

    /// Maps `slice` once the work `until` then is done, which must be all that uses its buffer.
    pub(crate) async fn map<'a>(
        &'a self,
        mode: wgpu::MapMode,
        slice: wgpu::BufferSlice<'a>,
        until: Until,
    ) -> Result<Mapping<'a>> {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        // Nobody listens any more if the future was dropped.
        self.checked("a mapping", || {
            slice.map_async(mode, move |result| drop(sender.send(result)));
        })
        .map_err(|error| self.reason_of(error))?;
        // From here on, so that a mapping that is given up is none that is pending.
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
        self.queue()
            .on_submitted_work_done(move || drop(sender.send(())));
        self.poll(Until::All)?;
        let done = receiver.receive().await;
        self.shared.checks.settle().await?;
        match done {
            Some(()) => self.probe_alive(),
            None => Err(lost("its work was never done")),
        }
    }

    /// Lets wgpu call back: outside the browser nothing does so but a poll, and this one blocks `until` then.
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
        // wgpu 30's poll panics when the device is lost meanwhile (wgpu-30.0.1/src/backend/wgpu_core.rs, `fn poll`); so may
        // what a host has it call.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device().poll(poll)));
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(lost(error)),
            Err(panic) => {
                self.check_alive()?;
                probe_alive(self.device())?;
                resume_unwind(panic)
            }
        }
    }
}

/// How long to wait for the device.
pub(crate) enum Until {
    /// Not at all.
    Now,
    /// Until this work, and all before it, is done.
    Submission(wgpu::SubmissionIndex),
    /// Until all work is done.
    All,
}

/// A part of a buffer that the CPU may read or write, until this is dropped.
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
        // Where it came to nothing there is nothing to undo, of which wgpu complains.
        let _ = checked(self.gpu.device(), "the end of a mapping", || {
            self.slice.buffer().unmap();
        });
    }
}

/// Bytes rounded up to what mappings and copies have a multiple of.
pub(crate) fn whole_words(bytes: u64) -> u64 {
    bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT)
}
