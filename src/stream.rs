//! More data than a buffer or the device's memory holds.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

use crate::{
    checked::checked,
    cpu,
    device::{Device, Gpu, whole_words},
    dtype::{DType, Element, with_element},
    elu::Elu,
    error::{Error, Result},
    factors::Factors,
    kernel::{Kernel, Step},
};

/// ELU of any amount of data, in constant memory: chunks go in, through the device, and out again.
///
/// On a GPU the next chunk goes in and the last one comes out while the device works on others. Where the CPU and the GPU
/// share their memory (integrated GPUs and software adapters with the feature `MAPPABLE_PRIMARY_BUFFERS`, which
/// [`Device::from_adapter`] asks for), the kernel works on the very memory that is read and written.
///
/// ```
/// use wgpu_elu::{DType, Device, Elu, Stream};
///
/// let mut stream = Stream::new(&Device::Cpu, Elu::new(1.0), DType::F32)?;
/// let source: &[u8] = bytemuck::cast_slice(&[-1.0f32, 2.0]); // any io::Read
/// let mut sink = Vec::new(); // any io::Write
/// assert_eq!(stream.forward_blocking(source, &mut sink)?, 2);
/// assert_eq!(sink, bytemuck::cast_slice::<f32, u8>(&[-0.63212056, 2.0]));
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # Memory
///
/// A budget of bytes, [`Stream::BUDGET`] unless [`Stream::with_budget`] says otherwise, is shared out over all buffers:
/// [`Stream::chunk_len`] tells how many elements then go at a time. They are made when they are first needed and kept for
/// the next call. For short data, [`Stream::with_expected_len`] keeps them small.
///
/// # Errors
///
/// Those of every `forward`: [`Error::Read`], [`Error::Write`]; [`Error::PartialElement`]; [`Error::OutOfMemory`]; on a GPU
/// also [`Error::DeviceLost`], and [`Error::Limit`] and [`Error::Refused`] as [`Kernel::prepare`]. What was written until
/// then is the beginning of the results. Unless the device is lost, the stream works on afterwards.
pub struct Stream {
    device: Device,
    factors: Factors,
    dtype: DType,
    budget: u64,
    expected_len: u64,
    arrangement: Arrangement,
    /// Those made so far; none on the CPU.
    slots: Vec<Slot>,
}

impl Stream {
    /// The bytes that all buffers take together, unless told otherwise.
    pub const BUDGET: u64 = 64 << 20;

    /// A stream of elements of `dtype` through `device`. Makes no buffer yet.
    ///
    /// # Errors
    ///
    /// As [`Kernel::new`].
    pub fn new(device: &Device, elu: Elu, dtype: DType) -> Result<Self> {
        let arrangement = match device {
            Device::Cpu => Arrangement::InPlace,
            Device::Gpu(gpu) => {
                gpu.kernel(dtype)?;
                Arrangement::of(gpu)
            }
        };
        Ok(Self {
            device: device.clone(),
            factors: elu.factors(),
            dtype,
            budget: Self::BUDGET,
            expected_len: u64::MAX,
            arrangement,
            slots: Vec::new(),
        })
    }

    /// The same with at most `bytes` for all buffers together, though room for an element each.
    #[must_use]
    pub fn with_budget(self, bytes: u64) -> Self {
        Self {
            budget: bytes,
            slots: Vec::new(),
            ..self
        }
    }

    /// The same for data that is known to have at most `len` elements, which may need less than the budget. If more comes,
    /// that works too.
    #[must_use]
    pub fn with_expected_len(self, len: u64) -> Self {
        Self {
            expected_len: len,
            slots: Vec::new(),
            ..self
        }
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements go at a time: what the budget allows, and the device's `max_buffer_size` and
    /// `max_storage_buffer_binding_size`.
    pub fn chunk_len(&self) -> u64 {
        self.chunk_bytes() / self.dtype.size() as u64
    }

    /// Reads elements from `source` in this machine's byte order until its end, and writes ELU of them to `sink`. How many
    /// there were.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub async fn forward(&mut self, source: impl Read, mut sink: impl Write) -> Result<u64> {
        let (chunk, size) = (self.chunk_bytes(), self.dtype.size() as u64);
        let bytes = match self.device.clone() {
            Device::Cpu => {
                with_element!(self.dtype, E => forward_on_cpu::<E>(self.factors, chunk, source, &mut sink)?)
            }
            Device::Gpu(gpu) => {
                let mut reader = Reader {
                    reader: source,
                    piece: zeros(chunk.min(PIECE))?,
                    left: 0..0,
                    is_at_end: false,
                };
                self.forward_on_gpu(&gpu, chunk, &mut reader, &mut Writer(&mut sink))
                    .await?
            }
        };
        sink.flush().map_err(write_error)?;
        Ok(bytes / size)
    }

    /// Writes ELU of `x` to `y`.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] if the slices differ in length, and [`Error::DTypeMismatch`] if their elements are not of
    /// [`Stream::dtype`]; `y` is then untouched. Else [as listed above](Self#errors).
    pub async fn forward_slice<E: Element>(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        if E::DTYPE != self.dtype {
            return Err(Error::DTypeMismatch {
                needed: self.dtype,
                found: E::DTYPE,
            });
        }
        if x.len() != y.len() {
            return Err(Error::LengthMismatch {
                what: "the output",
                needed: x.len() as u64,
                found: y.len() as u64,
            });
        }
        match self.device.clone() {
            Device::Cpu => cpu::forward(self.factors, x, y),
            Device::Gpu(gpu) => {
                let mut source: &[u8] = bytemuck::cast_slice(x);
                let mut sink: &mut [u8] = bytemuck::cast_slice_mut(y);
                let chunk = self.chunk_bytes();
                self.forward_on_gpu(&gpu, chunk, &mut source, &mut sink)
                    .await?;
                Ok(())
            }
        }
    }

    /// [`Stream::forward`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Stream::forward`].
    #[cfg(not(target_family = "wasm"))]
    pub fn forward_blocking(&mut self, source: impl Read, sink: impl Write) -> Result<u64> {
        pollster::block_on(self.forward(source, sink))
    }

    /// [`Stream::forward_slice`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Stream::forward_slice`].
    #[cfg(not(target_family = "wasm"))]
    pub fn forward_slice_blocking<E: Element>(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        pollster::block_on(self.forward_slice(x, y))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("device", &self.device)
            .field("factors", &self.factors)
            .field("dtype", &self.dtype)
            .field("budget", &self.budget)
            .field("expected_len", &self.expected_len)
            .finish_non_exhaustive()
    }
}

// ---- Internals ----

/// Chunks that are on their way at once: one goes in or comes out while the device works on the others.
const SLOTS: usize = 3;

/// The most bytes at a time where the CPU does the work, be it as a software adapter: more would leave its cache. On
/// lavapipe 2^25 floats took 53 ms so, 60 in chunks of 8 MiB, and 78 in chunks of 32.
const CACHED_CHUNK: u64 = 4 << 20;

/// Chunks are of whole pages where they are longer than one, so that copies are aligned.
const PAGE: u64 = 4096;

/// Bytes that are read at a time, and still in the cache when they are copied on: wgpu gives no mapped memory to readers.
const PIECE: u64 = 256 << 10;

impl Stream {
    fn chunk_bytes(&self) -> u64 {
        let most = match &self.device {
            Device::Cpu => self.budget.min(CACHED_CHUNK),
            Device::Gpu(gpu) => {
                let limits = gpu.device().limits();
                let buffers = SLOTS as u64 * self.arrangement.buffers();
                let most = match gpu.info().device_type {
                    wgpu::DeviceType::Cpu => CACHED_CHUNK,
                    _ => u64::MAX,
                };
                (self.budget / buffers)
                    .min(most)
                    .min(limits.max_buffer_size)
                    .min(limits.max_storage_buffer_binding_size)
            }
        };
        let size = self.dtype.size() as u64;
        let unit = if most >= PAGE { PAGE } else { size };
        let expected = self.expected_len.saturating_mul(size);
        (most - most % unit).min(expected).max(size)
    }

    /// The bytes that there were.
    async fn forward_on_gpu(
        &mut self,
        gpu: &Gpu,
        chunk: u64,
        source: &mut impl Source,
        sink: &mut impl Sink,
    ) -> Result<u64> {
        let kernel = gpu.kernel(self.dtype)?;
        let size = self.dtype.size() as u64;
        let mut total = 0;
        // The slots at work, oldest first, and the bytes in each. What an error leaves there is overwritten later.
        let mut at_work: VecDeque<(usize, u64)> = VecDeque::with_capacity(SLOTS);
        for at in (0..SLOTS).cycle() {
            if source.is_at_end()? {
                break;
            }
            if at_work.len() == SLOTS
                && let Some((at, bytes)) = at_work.pop_front()
            {
                self.slots[at].empty(gpu, bytes, sink).await?;
            }
            if self.slots.len() == at {
                let slot = Slot::new(gpu, kernel, self.factors, self.arrangement, chunk)?;
                self.slots.push(slot);
            }
            let slot = &mut self.slots[at];
            let bytes = slot.fill(gpu, source).await?;
            total += bytes;
            if !bytes.is_multiple_of(size) {
                return Err(Error::PartialElement {
                    needed: size,
                    found: total,
                });
            }
            slot.submit(gpu, kernel, self.factors, bytes)?;
            at_work.push_back((at, bytes));
        }
        for (at, bytes) in at_work {
            self.slots[at].empty(gpu, bytes, sink).await?;
        }
        Ok(total)
    }
}

/// Which buffers a chunk goes through.
#[derive(Clone, Copy)]
enum Arrangement {
    /// One that the CPU writes and reads and the kernel works on.
    InPlace,
    /// One that the CPU writes and the kernel reads, and one the other way round.
    Mapped,
    /// One that the CPU writes, one that the kernel works on, and one that the CPU reads, with copies in between.
    Staged,
}

impl Arrangement {
    fn of(gpu: &Gpu) -> Self {
        match gpu.info().device_type {
            _ if !gpu.maps_what_it_computes() => Self::Staged,
            wgpu::DeviceType::Cpu => Self::InPlace,
            // A buffer that is mapped for both lies where the CPU writes fast, and on some GPUs reads very slowly.
            _ => Self::Mapped,
        }
    }

    fn buffers(self) -> u64 {
        match self {
            Self::InPlace => 1,
            Self::Mapped => 2,
            Self::Staged => 3,
        }
    }
}

/// The buffers that a chunk goes through.
struct Slot {
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
    fn new(
        gpu: &Gpu,
        kernel: &Kernel,
        factors: Factors,
        arrangement: Arrangement,
        chunk: u64,
    ) -> Result<Self> {
        use wgpu::BufferUsages as Usage;
        let buffer = |usage| gpu.buffer(chunk, usage, None);
        let (upload, staged, download) = match arrangement {
            Arrangement::InPlace => {
                let both = buffer(Usage::STORAGE | Usage::MAP_WRITE | Usage::MAP_READ)?;
                (both.clone(), None, both)
            }
            Arrangement::Mapped => {
                let upload = buffer(Usage::STORAGE | Usage::MAP_WRITE)?;
                (upload, None, buffer(Usage::STORAGE | Usage::MAP_READ)?)
            }
            Arrangement::Staged => {
                let upload = buffer(Usage::MAP_WRITE | Usage::COPY_SRC)?;
                let staged = buffer(Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)?;
                let download = buffer(Usage::MAP_READ | Usage::COPY_DST)?;
                (upload, Some(staged), download)
            }
        };
        let buffers = (&upload, staged.as_ref(), &download);
        Ok(Self {
            whole: prepare(gpu, kernel, factors, buffers, chunk)?,
            upload,
            staged,
            download,
            chunk,
            short: None,
            last: None,
        })
    }

    /// Lets `source` write as much as there is room for. Less comes in at the end only.
    async fn fill(&mut self, gpu: &Gpu, source: &mut impl Source) -> Result<u64> {
        let room = self.upload.slice(..);
        // An error may have left it at work.
        let mapping = gpu
            .map(wgpu::MapMode::Write, room, self.last.clone())
            .await?;
        let mut view = mapping.view_mut()?;
        let chunk = usize::try_from(self.chunk).unwrap_or(usize::MAX);
        Ok(source.fill(view.slice(..chunk))? as u64)
    }

    fn submit(&mut self, gpu: &Gpu, kernel: &Kernel, factors: Factors, bytes: u64) -> Result<()> {
        let step = if bytes == self.chunk {
            &self.whole
        } else {
            let buffers = (&self.upload, self.staged.as_ref(), &self.download);
            let kept = self.short.take().filter(|(of, _)| *of == bytes);
            let step = match kept {
                Some((_, step)) => step,
                None => prepare(gpu, kernel, factors, buffers, bytes)?,
            };
            &self.short.insert((bytes, step)).1
        };
        let label = Some("wgpu_elu.stream");
        let words = whole_words(bytes);
        let submitted = checked(gpu.device(), "the work", || {
            let mut encoder = gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            if let Some(staged) = &self.staged {
                encoder.copy_buffer_to_buffer(&self.upload, 0, staged, 0, words);
            }
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label,
                    timestamp_writes: None,
                }),
            );
            if let Some(staged) = &self.staged {
                encoder.copy_buffer_to_buffer(staged, 0, &self.download, 0, words);
            }
            gpu.queue().submit([encoder.finish()])
        });
        self.last = Some(submitted.map_err(|error| gpu.lost_or(error))?);
        Ok(())
    }

    /// Hands the first `bytes` to `sink` once they are results.
    async fn empty(&mut self, gpu: &Gpu, bytes: u64, sink: &mut impl Sink) -> Result<()> {
        let words = self.download.slice(..whole_words(bytes));
        let mapping = gpu
            .map(wgpu::MapMode::Read, words, self.last.clone())
            .await?;
        let view = mapping.view()?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        sink.take(&view[..bytes.min(view.len())])
    }
}

/// The kernel's work on the first `bytes` of a slot: on the staged buffer, or from the first mapped one to the last.
fn prepare(
    gpu: &Gpu,
    kernel: &Kernel,
    factors: Factors,
    (upload, staged, download): (&wgpu::Buffer, Option<&wgpu::Buffer>, &wgpu::Buffer),
    bytes: u64,
) -> Result<Step> {
    let (x, y) = (staged.unwrap_or(upload), staged.unwrap_or(download));
    kernel
        .prepare(factors, x.slice(..bytes), y.slice(..bytes))
        .map_err(|error| gpu.lost_or(error))
}

/// Where chunks come from.
trait Source {
    fn is_at_end(&mut self) -> Result<bool>;
    /// Fills `view` from its start; how many bytes there were. Fewer than there is room for at the end only.
    fn fill(&mut self, view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize>;
}

/// Where they go.
trait Sink {
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
}

impl Source for &[u8] {
    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.is_empty())
    }

    fn fill(&mut self, mut view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize> {
        let (first, rest) = self.split_at(self.len().min(view.len()));
        view.slice(..first.len()).copy_from_slice(first);
        *self = rest;
        Ok(first.len())
    }
}

impl Sink for &mut [u8] {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let (first, rest) = std::mem::take(self).split_at_mut(bytes.len());
        first.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }
}

struct Reader<R> {
    reader: R,
    piece: Vec<u8>,
    /// What was read and not yet copied on.
    left: Range<usize>,
    /// A terminal would go on after its end.
    is_at_end: bool,
}

impl<R: Read> Source for Reader<R> {
    fn is_at_end(&mut self) -> Result<bool> {
        if self.left.is_empty() && !self.is_at_end {
            self.left = 0..read(&mut self.reader, &mut self.piece)?;
            self.is_at_end = self.left.is_empty();
        }
        Ok(self.is_at_end)
    }

    fn fill(&mut self, mut view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize> {
        let mut filled = 0;
        while filled < view.len() && !self.is_at_end()? {
            let count = self.left.len().min(view.len() - filled);
            let bytes = self.left.start..self.left.start + count;
            view.slice(filled..filled + count)
                .copy_from_slice(&self.piece[bytes]);
            self.left.start += count;
            filled += count;
        }
        Ok(filled)
    }
}

struct Writer<'a, W>(&'a mut W);

impl<W: Write> Sink for Writer<'_, W> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(write_error)
    }
}

/// The bytes that there were.
fn forward_on_cpu<E: Element>(
    factors: Factors,
    chunk: u64,
    mut source: impl Read,
    sink: &mut impl Write,
) -> Result<u64> {
    let size = size_of::<E>();
    let mut elements: Vec<E> = zeros(chunk / size as u64)?;
    let mut total = 0;
    loop {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        let mut filled = 0;
        while filled < bytes.len() {
            match read(&mut source, &mut bytes[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        total += filled as u64;
        if !filled.is_multiple_of(size) {
            return Err(Error::PartialElement {
                needed: size as u64,
                found: total,
            });
        }
        let chunk = &mut elements[..filled / size];
        cpu::forward_in_place(factors, chunk);
        sink.write_all(bytemuck::cast_slice(chunk))
            .map_err(write_error)?;
        if chunk.len() < elements.len() {
            return Ok(total);
        }
    }
}

/// Reads some bytes; 0 at the end only.
fn read(reader: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
    let error = loop {
        match reader.read(bytes) {
            Ok(count) if count <= bytes.len() => return Ok(count),
            Ok(_) => {
                break io::Error::other("the reader says that it read more than it was asked for");
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    let error = Arc::new(error);
    Err(Error::Read { error })
}

fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}

/// That many, or an error where Rust's own collections would end the process.
fn zeros<T: bytemuck::Zeroable>(len: u64) -> Result<Vec<T>> {
    let out_of_memory = |_| Error::OutOfMemory {
        what: format!("a chunk of {len} elements"),
    };
    let mut zeros = Vec::new();
    let count = usize::try_from(len).unwrap_or(usize::MAX);
    zeros.try_reserve_exact(count).map_err(out_of_memory)?;
    zeros.resize_with(count, T::zeroed);
    Ok(zeros)
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::device::adapters;

    /// Whichever way the chunks go. The adapters that a machine has seldom take all of them by themselves.
    #[test]
    fn every_arrangement_gives_the_same() {
        if std::env::var("WGPU_ELU_GPU").is_ok_and(|wish| wish == "skip") {
            return;
        }
        for adapter in pollster::block_on(adapters()) {
            let device = pollster::block_on(Device::from_adapter(&adapter)).unwrap();
            let x: Vec<f32> = (0u8..=200).map(|i| f32::from(i) / 50.0 - 2.0).collect();
            let run = |arrangement| {
                let stream = Stream::new(&device, Elu::new(0.5), DType::F32).unwrap();
                let mut stream = Stream {
                    arrangement,
                    ..stream.with_budget(300)
                };
                let mut y = vec![0.0; x.len()];
                stream.forward_slice_blocking(&x, &mut y).unwrap();
                y
            };
            let staged = run(Arrangement::Staged);
            assert!(staged[0] > x[0] && staged[200] == x[200], "{device}");
            match &device {
                Device::Gpu(gpu) if gpu.maps_what_it_computes() => {
                    assert_eq!(run(Arrangement::Mapped), staged, "{device}");
                    assert_eq!(run(Arrangement::InPlace), staged, "{device}");
                }
                _ => {}
            }
        }
    }
}
