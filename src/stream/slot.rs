//! The buffers that a chunk goes through, and the way from one to the next.

use super::ends::{Sink, Source};
use crate::{
    device::{Gpu, Until, whole_words},
    elu::Elu,
    error::Result,
    kernel::{Kernel, Step},
};

const LABEL: &str = "wgpu_elu.stream";

/// Which buffers a chunk goes through.
#[derive(Clone, Copy)]
pub(super) enum Arrangement {
    /// One that the CPU writes and reads and the kernel works on.
    InPlace,
    /// One that the CPU writes and the kernel reads, and one the other way round.
    Mapped,
    /// One that the CPU writes, one that the kernel works on, and one that the CPU reads, with copies in between.
    Staged,
}

impl Arrangement {
    pub(super) fn of(gpu: &Gpu) -> Self {
        match gpu.info().device_type {
            _ if !gpu.maps_what_it_computes() => Self::Staged,
            wgpu::DeviceType::Cpu => Self::InPlace,
            // A buffer that is mapped for both lies where the CPU writes fast, and on some GPUs reads very slowly.
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

/// The buffers that a chunk goes through.
pub(super) struct Slot {
    upload: wgpu::Buffer,
    /// Where the kernel works, if it cannot do so where the CPU writes and reads.
    staged: Option<wgpu::Buffer>,
    /// Perhaps the same buffer as `upload`.
    download: wgpu::Buffer,
    chunk: u64,
    whole: Step,
    /// For the end of the data, and its bytes.
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

    /// Lets `source` write as much as there is room for. Less comes in at the end only.
    pub(super) async fn fill(&mut self, gpu: &Gpu, source: &mut impl Source) -> Result<u64> {
        let room = self.upload.slice(..);
        // An error may have left it at work.
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

    /// Hands the first `bytes` to `sink` once they are results.
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
        sink.take(&view[..bytes.min(view.len())])
    }

    /// When it is no longer at work; other slots may be.
    fn until(&self) -> Until {
        self.last.clone().map_or(Until::Now, Until::Submission)
    }
}

// ---- Internals ----

/// The kernel's work on the first `bytes` of a slot: on the staged buffer, or from the first mapped one to the last.
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
