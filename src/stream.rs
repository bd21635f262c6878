//! More data than a buffer or the device's memory holds.

mod ends;
mod slot;

use std::{
    collections::VecDeque,
    fmt,
    io::{Read, Write},
};

use crate::{
    cpu,
    device::{Device, Gpu},
    dtype::{DType, Element, with_element},
    elu::Elu,
    error::{Error, Result, Role},
};
use ends::{Reader, Sink, Source, Writer, read, write_error};
use slot::{Arrangement, Slot};

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
/// also [`Error::DeviceLost`], and [`Error::Limit`] and [`Error::Refused`] as
/// [`Kernel::prepare`](crate::Kernel::prepare). What was written until then is the beginning of the results. Unless the
/// device is lost, the stream works on afterwards.
pub struct Stream {
    device: Device,
    elu: Elu,
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

    /// A stream of elements of `dtype` through `device`; a number for `elu` is alpha. Makes no buffer yet.
    ///
    /// # Errors
    ///
    /// As [`Kernel::new`](crate::Kernel::new).
    pub fn new(device: &Device, elu: impl Into<Elu>, dtype: DType) -> Result<Self> {
        let arrangement = match device {
            Device::Cpu => Arrangement::InPlace,
            Device::Gpu(gpu) => {
                gpu.probe_alive()?;
                gpu.kernel(dtype)?;
                Arrangement::of(gpu)
            }
        };
        Ok(Self {
            device: device.clone(),
            elu: elu.into(),
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
                with_element!(self.dtype, E => forward_on_cpu::<E>(self.elu, chunk, source, &mut sink)?)
            }
            Device::Gpu(gpu) => {
                let mut reader = Reader::new(source, zeros(chunk.min(PIECE))?);
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
                role: Role::Output,
                needed: x.len() as u64,
                found: y.len() as u64,
            });
        }
        match self.device.clone() {
            Device::Cpu => cpu::forward(self.elu, x, y),
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
            .field("elu", &self.elu)
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

/// Bytes that a reader gives at a time, and still in the cache when they are copied on.
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
        let kernel = &gpu.kernel(self.dtype)?;
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
                let slot = Slot::new(gpu, kernel, self.elu, self.arrangement, chunk)?;
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
            slot.submit(gpu, kernel, self.elu, bytes)?;
            at_work.push_back((at, bytes));
        }
        for (at, bytes) in at_work {
            self.slots[at].empty(gpu, bytes, sink).await?;
        }
        Ok(total)
    }
}

/// The bytes that there were.
fn forward_on_cpu<E: Element>(
    elu: Elu,
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
        cpu::forward_in_place(elu, chunk);
        sink.write_all(bytemuck::cast_slice(chunk))
            .map_err(write_error)?;
        if chunk.len() < elements.len() {
            return Ok(total);
        }
    }
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
    use half::f16;

    use super::*;
    use crate::{device::adapters, tensor::Tensor};

    /// Whichever way the chunks go. The adapters that a machine has seldom take all of them by themselves.
    #[test]
    fn every_arrangement_gives_the_same() {
        let wish = std::env::var("WGPU_ELU_GPU").unwrap_or_default();
        let adapters = if wish == "skip" {
            Vec::new()
        } else {
            pollster::block_on(adapters())
        };
        let backends = wgpu::Instance::enabled_backend_features();
        let is_possible = !backends.difference(wgpu::Backends::NOOP).is_empty();
        assert!(wish != "require" || !is_possible || !adapters.is_empty());
        if adapters.is_empty() {
            tell("SKIPPED: the arrangements of chunks (no adapter)");
        }
        for adapter in adapters {
            let device = pollster::block_on(Device::from_adapter(&adapter)).unwrap();
            // An odd number, so that the last word is half of one for 16 bits.
            let x: Vec<f32> = (0u8..=200).map(|i| f32::from(i) / 50.0 - 2.0).collect();
            check(&device, &x);
            let x: Vec<f16> = x.into_iter().map(f16::from_f32).collect();
            check(&device, &x);
        }
    }

    fn check<E: Element>(device: &Device, x: &[E]) {
        let run = |arrangement| {
            let stream = Stream::new(device, Elu::new(0.5), E::DTYPE).unwrap();
            let mut stream = Stream {
                arrangement,
                ..stream.with_budget(300)
            };
            let mut y = vec![E::zeroed(); x.len()];
            stream.forward_slice_blocking(x, &mut y).unwrap();
            bytemuck::pod_collect_to_vec::<E, u8>(&y)
        };
        let staged = run(Arrangement::Staged);
        let whole = Tensor::from_slice(device, x, &[x.len()]).unwrap();
        let whole = Elu::new(0.5).forward(&whole).unwrap();
        assert_eq!(staged, whole.to_bytes_blocking().unwrap(), "{device}");
        match device {
            Device::Gpu(gpu) if gpu.maps_what_it_computes() => {
                assert_eq!(run(Arrangement::Mapped), staged, "{device}");
                assert_eq!(run(Arrangement::InPlace), staged, "{device}");
            }
            _ => tell(&format!(
                "SKIPPED: chunks in memory that {device} shares (it shares none)"
            )),
        }
    }

    /// Past the test harness, which does not show what passing tests print.
    #[expect(
        clippy::explicit_write,
        reason = "eprintln! is what the harness captures"
    )]
    fn tell(line: &str) {
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
}
