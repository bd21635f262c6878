//! A slot of a stream: the buffers that hold one chunk, and the work on them.
//!
//! ```text
//! fill:    map the upload buffer of each input, and let its source write a chunk into it
//! submit:  copy the upload buffers to the device buffers, run the kernel in place, copy to the download buffer
//! drain:   wait for the submission, map the download buffer, and pass its bytes to the sink
//! ```
//!
//! The copies in `submit` are needed because WebGPU lets the CPU map only buffers that kernels cannot use. If the CPU
//! and the GPU share their memory, wgpu's feature `MAPPABLE_PRIMARY_BUFFERS` lets the kernel use the mapped buffers,
//! and there are no copies. `drain` waits for the slot's own submission only, so that the device can go on with the
//! other slots.

use super::io::{Filled, Inputs, Sink, Source};
use crate::{
    checked::{unmapped, whole_words},
    device::{Gpu, Until},
    elu::Elu,
    error::Result,
    kernel::{Kernel, Step},
    op::Op,
};

const LABEL: &str = "wgpu_elu.stream";

/// Which buffers a slot has, and which of them the kernel uses. The counts are those of forward, which has one input.
#[derive(Clone, Copy)]
pub(super) enum Arrangement {
    /// One buffer. The CPU writes and reads it, and the kernel works on it in place. A second input has a buffer of its
    /// own.
    InPlace,
    /// Two buffers. The CPU writes the first one and the kernel reads it. The kernel writes the second one and the CPU
    /// reads it. A second input has a buffer like the first.
    Mapped,
    /// Three buffers. The CPU writes the first one, the kernel works on the second in place, and the CPU reads the
    /// third. The device copies the chunk from one to the next. A second input has two buffers like the first two.
    Staged,
}

/// What a call computes, and where. It is the same for all slots.
pub(super) struct Work<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernel: &'a Kernel,
    pub(super) op: Op,
    pub(super) elu: Elu,
    pub(super) arrangement: Arrangement,
    /// The size of a complete chunk in bytes.
    pub(super) chunk: u64,
}

impl Arrangement {
    /// Returns the fastest arrangement for a GPU.
    pub(super) fn for_gpu(gpu: &Gpu) -> Self {
        match gpu.info().device_type {
            _ if !gpu.can_map_storage() => Self::Staged,
            wgpu::DeviceType::Cpu => Self::InPlace,
            // The driver places a buffer that is mapped for reading and writing where the CPU writes fast. On some
            // GPUs, reading from there is very slow.
            _ => Self::Mapped,
        }
    }

    /// Returns the number of buffers per slot.
    pub(super) fn buffers(self, op: Op) -> u64 {
        let inputs = op.inputs() as u64;
        match self {
            Self::InPlace => inputs,
            Self::Mapped => inputs + 1,
            Self::Staged => 2 * inputs + 1,
        }
    }
}

/// The buffers for one chunk, and the prepared steps that work on them.
pub(super) struct Slot {
    op: Op,
    buffers: Buffers,
    /// The step for a complete chunk.
    full_step: Step,
    /// The step for the last, shorter chunk of the data, with its size in bytes. It is kept for later calls.
    tail_step: Option<(u64, Step)>,
    /// The last submission that uses the slot.
    submission: Option<wgpu::SubmissionIndex>,
}

impl Slot {
    /// Creates the buffers of a slot, and prepares the step for complete chunks.
    pub(super) fn new(work: &Work<'_>) -> Result<Self> {
        let buffers = Buffers::new(work)?;
        Ok(Self {
            op: work.op,
            full_step: buffers.prepare(work, work.chunk)?,
            buffers,
            tail_step: None,
            submission: None,
        })
    }

    /// Returns the operation that the slot's buffers and steps are for.
    pub(super) fn op(&self) -> Op {
        self.op
    }

    /// Fills the slot from the inputs, and returns the number of bytes of each. This is less than a chunk only at the
    /// end of the input.
    pub(super) async fn fill(
        &mut self,
        work: &Work<'_>,
        inputs: &mut Inputs<impl Source, impl Source>,
    ) -> Result<Filled> {
        let x = self.fill_from(work, &mut inputs.x, 0).await?;
        let grad = match &mut inputs.grad {
            Some(grad) => Some(self.fill_from(work, grad, 1).await?),
            None => None,
        };
        Ok(Filled { x, grad })
    }

    /// Fills the upload buffer of the input with this index, and returns the number of bytes.
    async fn fill_from(
        &self,
        work: &Work<'_>,
        source: &mut impl Source,
        index: usize,
    ) -> Result<u64> {
        let upload = self.buffers.uploads[index].slice(..);
        // After an error in an earlier call, the device may still be working on the slot.
        let mapping = work.gpu.map(wgpu::MapMode::Write, upload, self.until());
        let mapping = mapping.await?;
        let mut view = mapping.view_mut()?;
        // The buffer's size is rounded up to whole words, so it may exceed the chunk.
        let chunk = usize::try_from(work.chunk).unwrap_or(usize::MAX);
        Ok(source.fill(view.slice(..chunk))? as u64)
    }

    /// Submits the work on the first `bytes` of the slot, without waiting for it.
    pub(super) fn submit(&mut self, work: &Work<'_>, bytes: u64) -> Result<()> {
        let buffers = &self.buffers;
        let step = if bytes == work.chunk {
            &self.full_step
        } else {
            let kept = self.tail_step.take().filter(|(size, _)| *size == bytes);
            let step = match kept {
                Some((_, step)) => step,
                None => buffers.prepare(work, bytes)?,
            };
            &self.tail_step.insert((bytes, step)).1
        };
        let copied = whole_words(bytes);
        self.submission = Some(work.gpu.submit("the work", LABEL, |encoder| {
            for (upload, buffer) in buffers.uploads.iter().zip(&buffers.staged) {
                encoder.copy_buffer_to_buffer(upload, 0, buffer, 0, copied);
            }
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(LABEL),
                    timestamp_writes: None,
                }),
            );
            if let Some(buffer) = buffers.staged.last() {
                encoder.copy_buffer_to_buffer(buffer, 0, &buffers.download, 0, copied);
            }
            Ok(())
        })?);
        Ok(())
    }

    /// Waits for the slot's work, and passes the first `bytes` of the results to `sink`.
    pub(super) async fn drain(
        &mut self,
        work: &Work<'_>,
        bytes: u64,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let results = self.buffers.download.slice(..whole_words(bytes));
        let mapping = work.gpu.map(wgpu::MapMode::Read, results, self.until());
        let mapping = mapping.await?;
        let view = mapping.view()?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        sink.write(view.get(..bytes).ok_or_else(unmapped)?)
    }

    /// Returns the submission that must be done before the CPU can use the slot. Later submissions may still run,
    /// because they use only other slots.
    fn until(&self) -> Until {
        self.submission
            .clone()
            .map_or(Until::Now, Until::Submission)
    }
}

// ---- Internals ----

/// The buffers of a slot. The last input is the one that the operation may replace: `x` for forward, else the incoming
/// gradient.
struct Buffers {
    /// The buffers that the CPU writes, one for each input.
    uploads: Vec<wgpu::Buffer>,
    /// The buffers to which the uploads are copied, one for each input. The kernel replaces the last one with the
    /// results. Empty if the kernel works on the mapped buffers.
    staged: Vec<wgpu::Buffer>,
    /// The buffer that the CPU reads. In the arrangement [`Arrangement::InPlace`] it is the last of `uploads`.
    download: wgpu::Buffer,
}

impl Buffers {
    fn new(work: &Work<'_>) -> Result<Self> {
        use wgpu::BufferUsages as Usage;
        let buffer = |part, usage| {
            let label = format!("{LABEL}.{part}");
            work.gpu.buffer(&label, work.chunk, usage, None)
        };
        let inputs = work.op.inputs();
        let several = |count, part, usage| -> Result<Vec<_>> {
            (0..count).map(|_| buffer(part, usage)).collect()
        };
        let mapped = Usage::STORAGE | Usage::MAP_WRITE;
        let (uploads, staged, download) = match work.arrangement {
            Arrangement::InPlace => {
                let both = buffer("both", mapped | Usage::MAP_READ)?;
                let mut uploads = several(inputs - 1, "upload", mapped)?;
                uploads.push(both.clone());
                (uploads, Vec::new(), both)
            }
            Arrangement::Mapped => {
                let uploads = several(inputs, "upload", mapped)?;
                let download = buffer("download", Usage::STORAGE | Usage::MAP_READ)?;
                (uploads, Vec::new(), download)
            }
            Arrangement::Staged => {
                let uploads = several(inputs, "upload", Usage::MAP_WRITE | Usage::COPY_SRC)?;
                let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
                let staged = several(inputs, "staged", usage)?;
                let download = buffer("download", Usage::MAP_READ | Usage::COPY_DST)?;
                (uploads, staged, download)
            }
        };
        Ok(Self {
            uploads,
            staged,
            download,
        })
    }

    /// Prepares the step for the first `bytes` of the slot. It works in place on the last of the staged buffers if there
    /// are any, else from the upload buffers to the download buffer.
    fn prepare(&self, work: &Work<'_>, bytes: u64) -> Result<Step> {
        let (inputs, out) = match self.staged.last() {
            Some(out) => (&self.staged, out),
            None => (&self.uploads, &self.download),
        };
        let grad = inputs.get(1).map(|grad| grad.slice(..bytes));
        let (x, out) = (inputs[0].slice(..bytes), out.slice(..bytes));
        let Work { gpu, kernel, .. } = work;
        gpu.checked("the work", || {
            kernel.prepare_op(work.op, work.elu, x, grad, out)
        })
        .flatten()
        .map_err(|error| gpu.reason_of(error))
    }
}
