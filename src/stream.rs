//! ELU and its gradients of more data than a buffer or the device's memory can hold, in chunks.
//!
//! On a GPU, the chunks pass through a ring of three slots. Each slot has its own buffers for one chunk:
//!
//! ```text
//! for slot in the ring, in turn, until the source ends:
//!     1. drain:   if the slot is in use, wait for its work, and write its results to the sink
//!     2. fill:    read the next chunk of every source into the slot's upload buffers
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
//!
//! ELU has one source, and a gradient has two: `x` and the incoming gradient. The sources must end at the same element.

mod io;
mod on_cpu;
mod ring;
mod slot;

use std::{
    fmt,
    io::{Empty, Read, Write},
};

use crate::{
    cpu,
    device::{Device, Gpu},
    dtype::{DType, Element, with_element},
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    op::Op,
    shader::check_rounding,
};
use io::{Inputs, Reader, Sink, Source, Writer, write_error, zeros};
use slot::{Arrangement, Slot, Work};

/// Applies ELU or a gradient to any amount of data in constant memory, by processing it in chunks.
///
/// [`Stream::apply`] takes the operation as an argument; the other methods are named after the operation. Methods that
/// end in `_slice` take slices instead of readers and writers.
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
///
/// let grad: &[u8] = bytemuck::cast_slice(&[1.0f32, 3.0]);
/// let mut grad_x = Vec::new();
/// stream.backward_blocking(source, grad, &mut grad_x)?;
/// assert_eq!(grad_x, bytemuck::cast_slice::<f32, u8>(&[0.36787945, 3.0]));
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # Memory
///
/// All buffers together use at most [`Stream::BUDGET`] bytes, or the budget that [`Stream::with_budget`] sets.
/// [`Stream::chunk_len`] returns the resulting number of elements per chunk. On a GPU, buffers are created when they
/// are first needed, and are kept for later calls of the same operation. Another operation replaces them, so if you
/// alternate between operations, use a stream for each. If you know that the data is short,
/// [`Stream::with_expected_len`] makes the buffers smaller.
///
/// # Errors
///
/// Every method that computes returns
///
/// - [`Error::Read`] or [`Error::Write`] if a source or the sink fails;
/// - [`Error::PartialElement`] if a source ends in the middle of an element;
/// - [`Error::EndsEarly`] if one source of a gradient ends before the other;
/// - [`Error::NotInvertible`] for [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; nothing is
///   read then;
/// - [`Error::OutOfMemory`] if there is not enough memory for the buffers;
/// - on a GPU also [`Error::DeviceLost`] if the device is lost, and [`Error::Limit`] and [`Error::Refused`] under the
///   conditions of [`Kernel::prepare_op`](crate::Kernel::prepare_op).
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
    /// The slots that have been created, at most [`ring::SLOTS`], all for the same operation. There are none on the
    /// CPU.
    slots: Vec<Slot>,
}

impl Stream {
    /// The default budget for all buffers together, in bytes: 64 MiB.
    pub const BUDGET: u64 = 64 << 20;

    /// Creates a stream that applies `elu`, or its gradients, to elements of `dtype` on `device`. A number for `elu` is
    /// its alpha. No buffers are created yet.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Kernel::new`](crate::Kernel::new), and on a GPU
    /// [`Error::Rounding`] for [`Rounding::Nearest`](crate::Rounding::Nearest) of `float64`.
    pub fn new(device: &Device, elu: impl Into<Elu>, dtype: DType) -> Result<Self> {
        let elu = elu.into();
        let arrangement = match device {
            Device::Cpu => Arrangement::InPlace, // unused, because the CPU path has no slots
            Device::Gpu(gpu) => {
                check_rounding(dtype, elu.rounding())?;
                gpu.probe_alive()?;
                gpu.kernel(dtype)?;
                Arrangement::for_gpu(gpu)
            }
        };
        Ok(Self {
            device: device.clone(),
            elu,
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

    /// Returns the number of elements per chunk of an operation. It depends on the number of buffers that the operation
    /// needs, on the budget, on the expected length, and on the device's `max_buffer_size` and
    /// `max_storage_buffer_binding_size`. On the CPU and on software adapters, a chunk has at most 4 MiB.
    pub fn chunk_len(&self, op: Op) -> u64 {
        self.chunk_bytes(op) / self.dtype.size() as u64
    }

    /// Applies `op` to the elements that `x` reads (for [`Op::BackwardFromOutput`], the outputs `y`), and to those that
    /// `grad` reads if `op` takes an incoming gradient, until both end. Writes the results to `sink`, and returns their
    /// number. All sides use this machine's byte order. If `op` takes no gradient, `grad` is `None::<std::io::Empty>`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`], and the [errors of every
    /// method](Self#errors).
    pub async fn apply(
        &mut self,
        op: Op,
        x: impl Read,
        grad: Option<impl Read>,
        mut sink: impl Write,
    ) -> Result<u64> {
        self.check(op, grad.is_some())?;
        let chunk = self.chunk_bytes(op);
        let bytes = match self.device.clone() {
            Device::Cpu => {
                let elu = self.elu;
                with_element!(self.dtype, E => on_cpu::run::<E>(op, elu, chunk, x, grad, &mut sink)?)
            }
            Device::Gpu(gpu) => {
                let buffer = || zeros(chunk.min(READ_SIZE));
                let mut inputs = Inputs {
                    x: Reader::new(x, Role::Input, buffer()?),
                    grad: match grad {
                        Some(grad) => Some(Reader::new(grad, Role::Gradient, buffer()?)),
                        None => None,
                    },
                };
                let sink = &mut Writer(&mut sink);
                self.run_on_gpu(&gpu, op, &mut inputs, sink).await?
            }
        };
        sink.flush().map_err(write_error)?;
        Ok(bytes / self.dtype.size() as u64)
    }

    /// Applies `op` to the elements of `x` (for [`Op::BackwardFromOutput`], the outputs `y`), and to those of `grad` if
    /// `op` takes an incoming gradient, and writes the results to `out`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::DTypeMismatch`] if the
    /// elements are not of [`Stream::dtype`]; and [`Error::LengthMismatch`] if the slices differ in length. In all of
    /// these cases `out` is unchanged. Also returns the [errors of every method](Self#errors).
    pub async fn apply_slice<E: Element>(
        &mut self,
        op: Op,
        x: &[E],
        grad: Option<&[E]>,
        out: &mut [E],
    ) -> Result<()> {
        self.check(op, grad.is_some())?;
        if E::DTYPE != self.dtype {
            return Err(Error::DTypeMismatch {
                role: Role::Input,
                needed: self.dtype,
                found: E::DTYPE,
            });
        }
        for (role, len) in [
            (Role::Gradient, grad.map_or(x.len(), <[E]>::len)),
            (Role::Output, out.len()),
        ] {
            if len != x.len() {
                return Err(Error::LengthMismatch {
                    role,
                    needed: x.len() as u64,
                    found: len as u64,
                });
            }
        }
        match self.device.clone() {
            Device::Cpu => cpu::apply(op, self.elu, x, grad, out),
            Device::Gpu(gpu) => {
                let mut inputs = Inputs::<&[u8], &[u8]> {
                    x: bytemuck::cast_slice(x),
                    grad: grad.map(bytemuck::cast_slice),
                };
                let mut sink: &mut [u8] = bytemuck::cast_slice_mut(out);
                self.run_on_gpu(&gpu, op, &mut inputs, &mut sink).await?;
                Ok(())
            }
        }
    }

    /// Reads elements from `source` until it ends, writes their ELU to `sink`, and returns the number of elements. Both
    /// sides use this machine's byte order.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every method](Self#errors).
    pub async fn forward(&mut self, source: impl Read, sink: impl Write) -> Result<u64> {
        self.apply(Op::Forward, source, None::<Empty>, sink).await
    }

    /// Computes ELU of the elements of `x` and writes it to `y`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Stream::apply_slice`].
    pub async fn forward_slice<E: Element>(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        self.apply_slice(Op::Forward, x, None, y).await
    }

    /// Reads elements from `x` and incoming gradients from `grad` until both end. Writes to `sink` the gradient with
    /// respect to `x`, and returns the number of elements. See [`Elu::backward`] for the formula.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every method](Self#errors).
    pub async fn backward(
        &mut self,
        x: impl Read,
        grad: impl Read,
        sink: impl Write,
    ) -> Result<u64> {
        self.apply(Op::Backward, x, Some(grad), sink).await
    }

    /// Computes the gradient with respect to `x` from `x` and `grad`, and writes it to `out`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Stream::apply_slice`].
    pub async fn backward_slice<E: Element>(
        &mut self,
        x: &[E],
        grad: &[E],
        out: &mut [E],
    ) -> Result<()> {
        self.apply_slice(Op::Backward, x, Some(grad), out).await
    }

    /// Reads outputs from `y` and incoming gradients from `grad` until both end. Writes to `sink` the gradient with
    /// respect to the input, and returns the number of elements. See [`Elu::backward_from_output`] for the formula.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every method](Self#errors).
    pub async fn backward_from_output(
        &mut self,
        y: impl Read,
        grad: impl Read,
        sink: impl Write,
    ) -> Result<u64> {
        self.apply(Op::BackwardFromOutput, y, Some(grad), sink)
            .await
    }

    /// Computes the gradient with respect to the input from the output `y` and from `grad`, and writes it to `out`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Stream::apply_slice`].
    pub async fn backward_from_output_slice<E: Element>(
        &mut self,
        y: &[E],
        grad: &[E],
        out: &mut [E],
    ) -> Result<()> {
        self.apply_slice(Op::BackwardFromOutput, y, Some(grad), out)
            .await
    }
}

/// Blocking versions of the methods above.
#[cfg(not(target_family = "wasm"))]
impl Stream {
    /// The blocking version of [`Stream::apply`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::apply`].
    pub fn apply_blocking(
        &mut self,
        op: Op,
        x: impl Read,
        grad: Option<impl Read>,
        sink: impl Write,
    ) -> Result<u64> {
        pollster::block_on(self.apply(op, x, grad, sink))
    }

    /// The blocking version of [`Stream::apply_slice`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::apply_slice`].
    pub fn apply_slice_blocking<E: Element>(
        &mut self,
        op: Op,
        x: &[E],
        grad: Option<&[E]>,
        out: &mut [E],
    ) -> Result<()> {
        pollster::block_on(self.apply_slice(op, x, grad, out))
    }

    /// The blocking version of [`Stream::forward`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::forward`].
    pub fn forward_blocking(&mut self, source: impl Read, sink: impl Write) -> Result<u64> {
        pollster::block_on(self.forward(source, sink))
    }

    /// The blocking version of [`Stream::forward_slice`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::forward_slice`].
    pub fn forward_slice_blocking<E: Element>(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        pollster::block_on(self.forward_slice(x, y))
    }

    /// The blocking version of [`Stream::backward`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::backward`].
    pub fn backward_blocking(
        &mut self,
        x: impl Read,
        grad: impl Read,
        sink: impl Write,
    ) -> Result<u64> {
        pollster::block_on(self.backward(x, grad, sink))
    }

    /// The blocking version of [`Stream::backward_slice`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::backward_slice`].
    pub fn backward_slice_blocking<E: Element>(
        &mut self,
        x: &[E],
        grad: &[E],
        out: &mut [E],
    ) -> Result<()> {
        pollster::block_on(self.backward_slice(x, grad, out))
    }

    /// The blocking version of [`Stream::backward_from_output`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::backward_from_output`].
    pub fn backward_from_output_blocking(
        &mut self,
        y: impl Read,
        grad: impl Read,
        sink: impl Write,
    ) -> Result<u64> {
        pollster::block_on(self.backward_from_output(y, grad, sink))
    }

    /// The blocking version of [`Stream::backward_from_output_slice`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Stream::backward_from_output_slice`].
    pub fn backward_from_output_slice_blocking<E: Element>(
        &mut self,
        y: &[E],
        grad: &[E],
        out: &mut [E],
    ) -> Result<()> {
        pollster::block_on(self.backward_from_output_slice(y, grad, out))
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
    /// Fails unless `op` takes the inputs that were given, and can be computed with the stream's factors.
    fn check(&self, op: Op, has_grad: bool) -> Result<()> {
        check_inputs(op, 1 + usize::from(has_grad))?;
        if op == Op::BackwardFromOutput {
            self.elu.factors().check_invertible(self.dtype)?;
        }
        Ok(())
    }

    /// Returns the size of a chunk in bytes, which is a multiple of the size of an element.
    fn chunk_bytes(&self, op: Op) -> u64 {
        let max = match &self.device {
            Device::Cpu => self.budget.min(CACHED_CHUNK) / op.inputs() as u64,
            Device::Gpu(gpu) => {
                let limits = gpu.device().limits();
                let buffers = ring::SLOTS as u64 * self.arrangement.buffers(op);
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

    /// Processes all of the inputs on the GPU, and returns the number of bytes of each.
    async fn run_on_gpu(
        &mut self,
        gpu: &Gpu,
        op: Op,
        inputs: &mut Inputs<impl Source, impl Source>,
        sink: &mut impl Sink,
    ) -> Result<u64> {
        // The slots of another operation have other buffers, and both together would exceed the budget.
        self.slots.retain(|slot| slot.op() == op);
        let work = Work {
            gpu,
            kernel: &gpu.kernel(self.dtype)?,
            op,
            elu: self.elu,
            arrangement: self.arrangement,
            chunk: self.chunk_bytes(op),
        };
        ring::run(&work, &mut self.slots, inputs, sink).await
    }
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
        let choice = std::env::var("WGPU_ELU_GPU").unwrap_or_default();
        let adapters = match &*choice {
            "" | "auto" | "require" => pollster::block_on(adapters()),
            "skip" => Vec::new(),
            _ => panic!("WGPU_ELU_GPU={choice:?}: needed auto, require or skip"),
        };
        let backends = wgpu::Instance::enabled_backend_features();
        let has_backends = !backends.difference(wgpu::Backends::NOOP).is_empty();
        // A build without backends finds no adapters, even on a machine that has some.
        assert!(choice != "require" || !has_backends || !adapters.is_empty());
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
        let grad: Vec<E> = x.iter().rev().copied().collect();
        for op in Op::ALL {
            let grad = op.has_grad().then_some(&grad[..]);
            let run = |arrangement| {
                let stream = Stream::new(device, Elu::new(0.5), E::DTYPE).unwrap();
                let mut stream = Stream {
                    arrangement,
                    ..stream.with_budget(500) // bytes: several chunks in every arrangement
                };
                let mut out = vec![E::zeroed(); x.len()];
                let done = stream.apply_slice_blocking(op, x, grad, &mut out);
                done.unwrap();
                bytemuck::pod_collect_to_vec::<E, u8>(&out)
            };
            let staged = run(Arrangement::Staged);
            let tensor = |values| Tensor::from_slice(device, values, &[x.len()]).unwrap();
            let (x, grad) = (tensor(x), grad.map(tensor));
            let out = Elu::new(0.5).apply(op, &x, grad.as_ref()).unwrap();
            assert_eq!(staged, out.to_bytes_blocking().unwrap(), "{device} {op}");
            match device {
                Device::Gpu(gpu) if gpu.can_map_storage() => {
                    assert_eq!(run(Arrangement::Mapped), staged, "{device} {op}");
                    assert_eq!(run(Arrangement::InPlace), staged, "{device} {op}");
                }
                _ => announce(&format!(
                    "SKIPPED: streams of {op} through mapped storage buffers on {device} (no memory shared with the CPU)"
                )),
            }
        }
    }
}
