//! A slot: the buffers that a chunk passes through, and the copies and the kernel between them.

use super::io::{Sink, Source};
use crate::{
    checked::{unmapped, whole_words},
    device::{Gpu, Until},
    elu::Elu,
    error::Result,
    kernel::{Kernel, Step},
};

const LABEL: &str = "wgpu_elu.stream";

/// The arrangement of a slot's buffers.
#[derive(Clone, Copy)]
pub(super) enum Arrangement {
    /// One buffer, which the CPU writes and reads and the kernel changes in place.
    InPlace,
    /// Two buffers: the CPU writes and the kernel reads the first, the kernel writes and the CPU reads the second.
    Mapped,
    /// Three buffers: the CPU writes the first, the kernel changes the second, and the CPU reads the third, with copies
    /// in between.
    Staged,
}

impl Arrangement {
    pub(super) fn of(gpu: &Gpu) -> Self {
        match gpu.info().device_type {
            _ if !gpu.maps_what_it_computes() => Self::Staged,
            wgpu::DeviceType::Cpu => Self::InPlace,
            // A buffer that is mapped for both directions is placed where the CPU writes fast. On some GPUs the CPU
            // reads it very slowly.
            _ => Self::Mapped,
        }
    }

    pub(super) fn buffers(self) -> u64 {
        match self {
            Self::InPlace => 1,
            Self::Mapped => 2,
            Self::Staged => 3,
        }
    }
}

/// The buffers that a chunk passes through.
pub(super) struct Slot {
    upload: wgpu::Buffer,
    /// The buffer that the kernel changes, if it cannot work on the mapped buffers.
    staged: Option<wgpu::Buffer>,
    /// The buffer that the CPU reads, which may be the same as `upload`.
    download: wgpu::Buffer,
    chunk: u64,
    whole: Step,
    /// The step for the end of the data, with its number of bytes.
    short: Option<(u64, Step)>,
    last: Option<wgpu::SubmissionIndex>,
}

impl Slot {
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
        let (upload, staged, download) = match arrangement {
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
                let staged = buffer("staged", Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)?;
                let download = buffer("download", Usage::MAP_READ | Usage::COPY_DST)?;
                (upload, Some(staged), download)
            }
        };
        let buffers = (&upload, staged.as_ref(), &download);
        Ok(Self {
            whole: prepare(gpu, kernel, elu, buffers, chunk)?,
            upload,
            staged,
            download,
            chunk,
            short: None,
            last: None,
        })
    }

    /// Lets `source` fill the slot, and returns the number of bytes. It is less than a chunk only at the end of the
    /// data.
    pub(super) async fn fill(&mut self, gpu: &Gpu, source: &mut impl Source) -> Result<u64> {
        let room = self.upload.slice(..);
        // After an error in an earlier call, the slot may still be in use.
        let mapping = gpu.map(wgpu::MapMode::Write, room, self.until()).await?;
        let mut view = mapping.view_mut()?;
        let chunk = usize::try_from(self.chunk).unwrap_or(usize::MAX);
        Ok(source.fill(view.slice(..chunk))? as u64)
    }

    pub(super) fn submit(
        &mut self,
        gpu: &Gpu,
        kernel: &Kernel,
        elu: Elu,
        bytes: u64,
    ) -> Result<()> {
        let step = if bytes == self.chunk {
            &self.whole
        } else {
            let buffers = (&self.upload, self.staged.as_ref(), &self.download);
            let kept = self.short.take().filter(|(of, _)| *of == bytes);
            let step = match kept {
                Some((_, step)) => step,
                None => prepare(gpu, kernel, elu, buffers, bytes)?,
            };
            &self.short.insert((bytes, step)).1
        };
        let words = whole_words(bytes);
        self.last = Some(gpu.submit("the work", LABEL, |encoder| {
            if let Some(staged) = &self.staged {
                encoder.copy_buffer_to_buffer(&self.upload, 0, staged, 0, words);
            }
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(LABEL),
                    timestamp_writes: None,
                }),
            );
            if let Some(staged) = &self.staged {
                encoder.copy_buffer_to_buffer(staged, 0, &self.download, 0, words);
            }
            Ok(())
        })?);
        Ok(())
    }

    /// Waits for the slot's work, and passes the first `bytes` of the results to `sink`.
    pub(super) async fn empty(
        &mut self,
        gpu: &Gpu,
        bytes: u64,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let words = self.download.slice(..whole_words(bytes));
        let mapping = gpu.map(wgpu::MapMode::Read, words, self.until()).await?;
        let view = mapping.view()?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        sink.take(view.get(..bytes).ok_or_else(unmapped)?)
    }

    /// Returns the submission after which the slot is no longer in use. Other slots may still be.
    fn until(&self) -> Until {
        self.last.clone().map_or(Until::Now, Until::Submission)
    }
}

// ---- Internals ----

/// Prepares the kernel's work on the first `bytes` of a slot: in place on the staged buffer, or from the first mapped
/// buffer to the last.
fn prepare(
    gpu: &Gpu,
    kernel: &Kernel,
    elu: Elu,
    (upload, staged, download): (&wgpu::Buffer, Option<&wgpu::Buffer>, &wgpu::Buffer),
    bytes: u64,
) -> Result<Step> {
    let (x, y) = (staged.unwrap_or(upload), staged.unwrap_or(download));
    gpu.checked("the work", || {
        kernel.prepare(elu, x.slice(..bytes), y.slice(..bytes))
    })
    .flatten()
    .map_err(|error| gpu.reason_of(error))
}
