//! ELU of more data than a buffer or the device's memory can hold, in chunks.
//!
//! On a GPU, the chunks pass through a ring of three slots. Each slot has its own buffers for one chunk:
//!
//! ```text
//! for slot in the ring, in turn, until the source ends:
//!     1. drain:   if the slot is in use, wait for its work, and write its results to the sink
//!     2. fill:    read the next chunk from the source into the slot's upload buffer
//!     3. submit:  copy to the device buffer, run the kernel, copy to the download buffer   (does not wait)
//! drain the slots that are still in use, oldest first
//! ```
//!
//! 1. Draining comes first, because it frees the slot. It waits only for the oldest work, and the ring keeps the
//!    results in order.
//! 2. Filling takes place on the CPU while the device works on the chunks in the other slots.
//! 3. Submitting without waiting is what makes the CPU and the device work at the same time. With three slots, the
//!    device can work on one chunk while the CPU drains a second and fills a third.
//!
//! If the CPU and the GPU share their memory, step 3 has no copies: the kernel works directly on the mapped buffers.

mod io;
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
use io::{Reader, Sink, Source, Writer, read, write_error};
use slot::{Arrangement, Slot};

/// Applies ELU to any amount of data in constant memory, by processing it in chunks.
///
/// On a GPU, the copies of a chunk to and from the device overlap with the kernel's work on other chunks. If the CPU
/// and the GPU share their memory (integrated GPUs and software adapters with the feature `MAPPABLE_PRIMARY_BUFFERS`,
/// which [`Device::from_adapter`] requests), the kernel works directly on the memory that the CPU reads and writes.
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
/// All buffers together use at most [`Stream::BUDGET`] bytes, or the budget that [`Stream::with_budget`] sets.
/// [`Stream::chunk_len`] returns the resulting number of elements per chunk. On a GPU, buffers are created when they
/// are first needed, and are kept for later calls. If you know that the data is short, [`Stream::with_expected_len`]
/// makes the buffers smaller.
///
/// # Errors
///
/// Every `forward` method returns [`Error::Read`] or [`Error::Write`] if the source or the sink fails;
/// [`Error::PartialElement`] if the data ends in the middle of an element; [`Error::OutOfMemory`] if there is not
/// enough memory for the buffers. On a GPU, it also returns [`Error::DeviceLost`] if the device is lost, and
/// [`Error::Limit`] and [`Error::Refused`] under the conditions of [`Kernel::prepare`](crate::Kernel::prepare).
///
/// If a method fails, the bytes that it wrote before are the beginning of the results. The stream can be used again
/// after an error, unless the device is lost.
pub struct Stream {
    device: Device,
    elu: Elu,
    dtype: DType,
    budget: u64,
    expected_len: u64,
    arrangement: Arrangement,
    /// The slots that have been created, at most [`SLOTS`]. There are none on the CPU.
    slots: Vec<Slot>,
}

impl Stream {
    /// The default budget for all buffers together, in bytes: 64 MiB.
    pub const BUDGET: u64 = 64 << 20;

    /// Creates a stream that applies `elu` to elements of `dtype` on `device`. A number for `elu` is its alpha. No
    /// buffers are created yet.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Kernel::new`](crate::Kernel::new).
    pub fn new(device: &Device, elu: impl Into<Elu>, dtype: DType) -> Result<Self> {
        let arrangement = match device {
            Device::Cpu => Arrangement::InPlace, // unused, because the CPU path has no slots
            Device::Gpu(gpu) => {
                gpu.probe_alive()?;
                gpu.kernel(dtype)?;
                Arrangement::for_gpu(gpu)
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

    /// Returns the stream with a budget of `bytes` for all buffers together. Each buffer has room for at least one
    /// element, even if this exceeds the budget.
    #[must_use]
    pub fn with_budget(self, bytes: u64) -> Self {
        Self {
            budget: bytes,
            slots: Vec::new(),
            ..self
        }
    }

    /// Returns the stream with chunks of at most `len` elements, so that short data needs only small buffers. Longer
    /// data can still be processed, in more chunks.
    #[must_use]
    pub fn with_expected_len(self, len: u64) -> Self {
        Self {
            expected_len: len,
            slots: Vec::new(),
            ..self
        }
    }

    /// Returns the device that the stream computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the number of elements per chunk. It depends on the budget, on the expected length, and on the device's
    /// `max_buffer_size` and `max_storage_buffer_binding_size`. On the CPU and on software adapters, a chunk has at most
    /// 4 MiB.
    pub fn chunk_len(&self) -> u64 {
        self.chunk_bytes() / self.dtype.size() as u64
    }

    /// Reads elements from `source` until it ends, writes their ELU to `sink`, and returns the number of elements. Both
    /// sides use this machine's byte order.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every `forward` method](Self#errors).
    pub async fn forward(&mut self, source: impl Read, mut sink: impl Write) -> Result<u64> {
        let (chunk, size) = (self.chunk_bytes(), self.dtype.size() as u64);
        let bytes = match self.device.clone() {
            Device::Cpu => {
                with_element!(self.dtype, E => forward_on_cpu::<E>(self.elu, chunk, source, &mut sink)?)
            }
            Device::Gpu(gpu) => {
                let mut reader = Reader::new(source, zeros(chunk.min(READ_SIZE))?);
                self.forward_on_gpu(&gpu, chunk, &mut reader, &mut Writer(&mut sink))
                    .await?
            }
        };
        sink.flush().map_err(write_error)?;
        Ok(bytes / size)
    }

    /// Computes ELU of the elements of `x` and writes it to `y`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::LengthMismatch`] if the slices differ in length, and [`Error::DTypeMismatch`] if their elements
    /// are not of [`Stream::dtype`]; in both cases `y` is unchanged. Also returns the [errors of every `forward`
    /// method](Self#errors).
    pub async fn forward_slice<E: Element>(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        if E::DTYPE != self.dtype {
            return Err(Error::DTypeMismatch {
                role: Role::Input,
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

    /// The blocking version of [`Stream::forward`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::forward`].
    #[cfg(not(target_family = "wasm"))]
    pub fn forward_blocking(&mut self, source: impl Read, sink: impl Write) -> Result<u64> {
        pollster::block_on(self.forward(source, sink))
    }

    /// The blocking version of [`Stream::forward_slice`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::forward_slice`].
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

/// The number of slots: while the device works on one, the CPU drains another and fills a third.
const SLOTS: usize = 3;

/// The maximum size of a chunk in bytes on the CPU path and on software adapters, so that a chunk fits into the CPU's
/// cache. On lavapipe, 2^25 `f32` elements took 53 ms in chunks of this size, 60 ms in chunks of 8 MiB, and 78 ms in
/// chunks of 32 MiB.
const CACHED_CHUNK: u64 = 4 << 20;

/// The size of a page in bytes. Chunks of at least a page consist of whole pages, so that copies are aligned, unless
/// the expected length makes them shorter.
const PAGE: u64 = 4096;

/// The number of bytes that are read from a reader at a time. They are still in the cache when they are copied to a
/// slot.
const READ_SIZE: u64 = 256 << 10;

impl Stream {
    /// Returns the size of a chunk in bytes, which is a multiple of the size of an element.
    fn chunk_bytes(&self) -> u64 {
        let max = match &self.device {
            Device::Cpu => self.budget.min(CACHED_CHUNK),
            Device::Gpu(gpu) => {
                let limits = gpu.device().limits();
                let buffers = SLOTS as u64 * self.arrangement.buffers();
                let max_in_cache = match gpu.info().device_type {
                    wgpu::DeviceType::Cpu => CACHED_CHUNK,
                    _ => u64::MAX,
                };
                (self.budget / buffers)
                    .min(max_in_cache)
                    .min(limits.max_buffer_size)
                    .min(limits.max_storage_buffer_binding_size)
            }
        };
        let size = self.dtype.size() as u64;
        let unit = if max >= PAGE { PAGE } else { size };
        let expected = self.expected_len.saturating_mul(size);
        (max - max % unit).min(expected).max(size)
    }

    /// Processes all of `source` on the GPU, and returns the number of bytes.
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
        // The indices of the slots in use, oldest first, and the number of bytes in each. After an error, the next call
        // does not drain these slots but overwrites them.
        let mut in_use: VecDeque<(usize, u64)> = VecDeque::with_capacity(SLOTS);
        for index in (0..SLOTS).cycle() {
            if source.is_at_end()? {
                break;
            }
            // If all slots are in use, the oldest one is the slot that is filled next.
            if in_use.len() == SLOTS
                && let Some((oldest, bytes)) = in_use.pop_front()
            {
                self.slots[oldest].drain(gpu, bytes, sink).await?;
            }
            if self.slots.len() == index {
                let slot = Slot::new(gpu, kernel, self.elu, self.arrangement, chunk)?;
                self.slots.push(slot);
            }
            let slot = &mut self.slots[index];
            let bytes = slot.fill(gpu, source).await?;
            total += bytes;
            if !bytes.is_multiple_of(size) {
                return Err(Error::PartialElement {
                    needed: size,
                    found: total,
                });
            }
            slot.submit(gpu, kernel, self.elu, bytes)?;
            in_use.push_back((index, bytes));
        }
        for (index, bytes) in in_use {
            self.slots[index].drain(gpu, bytes, sink).await?;
        }
        Ok(total)
    }
}

/// Processes all of `source` on the CPU path, and returns the number of bytes.
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

/// Returns a vector of zeros, or an error if there is not enough memory. (`vec!` would abort the process.)
fn zeros<T: bytemuck::Zeroable>(len: u64) -> Result<Vec<T>> {
    let out_of_memory = |_| Error::OutOfMemory {
        what: format!(
            "a chunk of {} bytes",
            len.saturating_mul(size_of::<T>() as u64)
        ),
    };
    let mut zeros = Vec::new();
    let count = usize::try_from(len).unwrap_or(usize::MAX);
    zeros.try_reserve_exact(count).map_err(out_of_memory)?;
    zeros.resize_with(count, T::zeroed);
    Ok(zeros)
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use conformance::native::announce;
    use half::f16;

    use super::*;
    use crate::{device::adapters, tensor::Tensor};

    /// Tests every arrangement of buffers that a device allows, because the adapters of one machine rarely select all
    /// of them.
    #[test]
    fn all_arrangements_give_the_same_results() {
        let wish = std::env::var("WGPU_ELU_GPU").unwrap_or_default();
        let adapters = match &*wish {
            "" | "auto" | "require" => pollster::block_on(adapters()),
            "skip" => Vec::new(),
            _ => panic!("WGPU_ELU_GPU={wish:?}: needed auto, require or skip"),
        };
        let backends = wgpu::Instance::enabled_backend_features();
        let has_backends = !backends.difference(wgpu::Backends::NOOP).is_empty();
        // A build without backends finds no adapters, even on a machine that has some.
        assert!(wish != "require" || !has_backends || !adapters.is_empty());
        if adapters.is_empty() {
            announce("SKIPPED: the arrangements of a stream's buffers (no adapter found)");
        }
        for adapter in adapters {
            let device = pollster::block_on(Device::from_adapter(&adapter)).unwrap();
            // An odd number of elements, so that 16-bit elements fill only half of the last word.
            let x: Vec<f32> = (0u8..=200).map(|i| f32::from(i) / 50.0 - 2.0).collect();
            check(&device, &x);
            let x: Vec<f16> = x.into_iter().map(f16::from_f32).collect();
            check(&device, &x);
        }
    }

    /// Compares every arrangement that the device allows with a tensor's results.
    fn check<E: Element>(device: &Device, x: &[E]) {
        let run = |arrangement| {
            let stream = Stream::new(device, Elu::new(0.5), E::DTYPE).unwrap();
            let mut stream = Stream {
                arrangement,
                ..stream.with_budget(300) // bytes: several chunks in every arrangement
            };
            let mut y = vec![E::zeroed(); x.len()];
            stream.forward_slice_blocking(x, &mut y).unwrap();
            bytemuck::pod_collect_to_vec::<E, u8>(&y)
        };
        let staged = run(Arrangement::Staged);
        let x = Tensor::from_slice(device, x, &[x.len()]).unwrap();
        let y = Elu::new(0.5).forward(&x).unwrap();
        assert_eq!(staged, y.to_bytes_blocking().unwrap(), "{device}");
        match device {
            Device::Gpu(gpu) if gpu.can_map_storage() => {
                assert_eq!(run(Arrangement::Mapped), staged, "{device}");
                assert_eq!(run(Arrangement::InPlace), staged, "{device}");
            }
            _ => announce(&format!(
                "SKIPPED: streams through mapped storage buffers on {device} (no memory shared with the CPU)"
            )),
        }
    }
}
