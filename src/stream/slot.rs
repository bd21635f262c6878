//! A slot of a stream: the buffers that hold one chunk, and the work on them.
//!
//! ```text
//! fill:    map the upload buffer, and let the source write a chunk into it
//! submit:  copy the upload buffer to the device buffer, run the kernel in place, copy to the download buffer
//! drain:   wait for the submission, map the download buffer, and pass its bytes to the sink
//! ```
//!
//! The copies in `submit` are needed because WebGPU lets the CPU map only buffers that kernels cannot use. If the CPU
//! and the GPU share their memory, wgpu's feature `MAPPABLE_PRIMARY_BUFFERS` lets the kernel use the mapped buffers,
//! and there are no copies. `drain` waits for the slot's own submission only, so that the device can go on with the
//! other slots.

use super::io::{Sink, Source};
use crate::{
    checked::{unmapped, whole_words},
    device::{Gpu, Until},
    elu::Elu,
    error::Result,
    kernel::{Kernel, Step},
};

const LABEL: &str = "wgpu_elu.stream";

/// How many buffers a slot has, and which of them the kernel uses.
#[derive(Clone, Copy)]
pub(super) enum Arrangement {
    /// One buffer. The CPU writes and reads it, and the kernel works on it in place.
    InPlace,
    /// Two buffers. The CPU writes the first one and the kernel reads it. The kernel writes the second one and the CPU
    /// reads it.
    Mapped,
    /// Three buffers. The CPU writes the first one, the kernel works on the second in place, and the CPU reads the
    /// third. The device copies the chunk from one to the next.
    Staged,
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
    pub(super) fn buffers(self) -> u64 {
        match self {
            Self::InPlace => 1,
            Self::Mapped => 2,
            Self::Staged => 3,
        }
    }
}

/// The buffers for one chunk, and the prepared steps that work on them.
pub(super) struct Slot {
    /// The buffer that the CPU writes.
    upload: wgpu::Buffer,
    /// The buffer that the kernel works on in place, unless it works on the mapped buffers.
    device_buffer: Option<wgpu::Buffer>,
    /// The buffer that the CPU reads. In the arrangement [`Arrangement::InPlace`] it is the same buffer as `upload`.
    download: wgpu::Buffer,
    /// The size of a complete chunk in bytes.
    chunk: u64,
    /// The step for a complete chunk.
    full_step: Step,
    /// The step for the last, shorter chunk of the data, with its size in bytes. It is kept for later calls.
    tail_step: Option<(u64, Step)>,
    /// The last submission that uses the slot.
    submission: Option<wgpu::SubmissionIndex>,
}

impl Slot {
    /// Creates the buffers of a slot for chunks of `chunk` bytes, and prepares the step for them.
    pub(super) fn new(
        gpu: &Gpu,
        kernel: &Kernel,
        elu: Elu,
        arrangement: Arrangement,
        chunk: u64,
    ) -> Result<Self> {
        use wgpu::BufferUsages as Usage;
        let buffer = |part, usage| {
            let label = format!("{LABEL}.{part}");
            gpu.buffer(&label, chunk, usage, None)
        };
        let (upload, device_buffer, download) = match arrangement {
            Arrangement::InPlace => {
                let both = buffer("both", Usage::STORAGE | Usage::MAP_WRITE | Usage::MAP_READ)?;
                (both.clone(), None, both)
            }
            Arrangement::Mapped => {
                let upload = buffer("upload", Usage::STORAGE | Usage::MAP_WRITE)?;
                let download = buffer("download", Usage::STORAGE | Usage::MAP_READ)?;
                (upload, None, download)
            }
            Arrangement::Staged => {
                let upload = buffer("upload", Usage::MAP_WRITE | Usage::COPY_SRC)?;
                let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
                let device_buffer = buffer("staged", usage)?;
                let download = buffer("download", Usage::MAP_READ | Usage::COPY_DST)?;
                (upload, Some(device_buffer), download)
            }
        };
        let buffers = (&upload, device_buffer.as_ref(), &download);
        Ok(Self {
            full_step: prepare(gpu, kernel, elu, buffers, chunk)?,
            upload,
            device_buffer,
            download,
            chunk,
            tail_step: None,
            submission: None,
        })
    }

    /// Fills the slot from `source`, and returns the number of bytes. This is less than a chunk only at the end of the
    /// data.
    pub(super) async fn fill(&mut self, gpu: &Gpu, source: &mut impl Source) -> Result<u64> {
        let upload = self.upload.slice(..);
        // After an error in an earlier call, the device may still be working on the slot.
        let mapping = gpu.map(wgpu::MapMode::Write, upload, self.until()).await?;
        let mut view = mapping.view_mut()?;
        // The buffer's size is rounded up to whole words, so it may exceed the chunk.
        let chunk = usize::try_from(self.chunk).unwrap_or(usize::MAX);
        Ok(source.fill(view.slice(..chunk))? as u64)
    }

    /// Submits the work on the first `bytes` of the slot, without waiting for it.
    pub(super) fn submit(
        &mut self,
        gpu: &Gpu,
        kernel: &Kernel,
        elu: Elu,
        bytes: u64,
    ) -> Result<()> {
        let step = if bytes == self.chunk {
            &self.full_step
        } else {
            let buffers = (&self.upload, self.device_buffer.as_ref(), &self.download);
            let kept = self.tail_step.take().filter(|(size, _)| *size == bytes);
            let step = match kept {
                Some((_, step)) => step,
                None => prepare(gpu, kernel, elu, buffers, bytes)?,
            };
            &self.tail_step.insert((bytes, step)).1
        };
        let copied = whole_words(bytes);
        self.submission = Some(gpu.submit("the work", LABEL, |encoder| {
            if let Some(buffer) = &self.device_buffer {
                encoder.copy_buffer_to_buffer(&self.upload, 0, buffer, 0, copied);
            }
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(LABEL),
                    timestamp_writes: None,
                }),
            );
            if let Some(buffer) = &self.device_buffer {
                encoder.copy_buffer_to_buffer(buffer, 0, &self.download, 0, copied);
            }
            Ok(())
        })?);
        Ok(())
    }

    /// Waits for the slot's work, and passes the first `bytes` of the results to `sink`.
    pub(super) async fn drain(
        &mut self,
        gpu: &Gpu,
        bytes: u64,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let results = self.download.slice(..whole_words(bytes));
        let mapping = gpu.map(wgpu::MapMode::Read, results, self.until()).await?;
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

/// Prepares the step for the first `bytes` of a slot. It works in place on the device buffer if the slot has one, else
/// from the upload buffer to the download buffer.
fn prepare(
    gpu: &Gpu,
    kernel: &Kernel,
    elu: Elu,
    (upload, device_buffer, download): (&wgpu::Buffer, Option<&wgpu::Buffer>, &wgpu::Buffer),
    bytes: u64,
) -> Result<Step> {
    let x = device_buffer.unwrap_or(upload);
    let y = device_buffer.unwrap_or(download);
    gpu.checked("the work", || {
        kernel.prepare(elu, x.slice(..bytes), y.slice(..bytes))
    })
    .flatten()
    .map_err(|error| gpu.reason_of(error))
}
