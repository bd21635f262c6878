//! Tensors: elements on a device, with a shape.

use std::{ops::Range, sync::Arc};

use crate::{
    device::{Device, Gpu, Until},
    dtype::{DType, Element, Values},
    error::{Error, Result, Role},
    kernel::check_usage,
};

/// Elements of one type on a [`Device`], in C order, with a shape.
///
/// A tensor behaves like a value. [`reshape`](Self::reshape), [`rows`](Self::rows) and `clone` share its memory and
/// copy nothing, but an operation in place on one tensor never changes another. The exception is a host's buffer that
/// is passed to [`from_buffer`](Self::from_buffer) several times: an operation in place on one of these tensors changes
/// the others, too.
#[derive(Clone, Debug)]
pub struct Tensor {
    storage: Storage,
    dtype: DType,
    shape: Vec<usize>,
    /// The index of the first element within the storage.
    first: usize,
    len: usize,
}

#[derive(Clone, Debug)]
enum Storage {
    Cpu(Arc<Values>),
    Gpu(Gpu, Arc<wgpu::Buffer>),
}

const LABEL: &str = "wgpu_elu.tensor";

/// The usages of the buffers that tensors create.
const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

impl Tensor {
    /// Creates a tensor on `device` with a copy of `values`. An empty shape is a scalar.
    ///
    /// # Errors
    ///
    /// Returns [`Error::ShapeMismatch`] if `shape` does not have `values.len()` elements; [`Error::ShapeTooLarge`];
    /// [`Error::OutOfMemory`]; on a GPU also [`Error::Limit`] and [`Error::DeviceLost`].
    pub fn from_slice<E: Element>(device: &Device, values: &[E], shape: &[usize]) -> Result<Self> {
        check_shape(shape, values.len())?;
        match device {
            Device::Cpu => {
                check_room(size_of_val(values))?;
                Self::from_vec(device, values.to_vec(), shape)
            }
            Device::Gpu(_) => {
                Self::from_bytes(device, E::DTYPE, bytemuck::cast_slice(values), shape)
            }
        }
    }

    /// Creates a tensor from `values`: on the CPU without a copy, on a GPU as [`Tensor::from_slice`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::from_slice`].
    pub fn from_vec<E: Element>(device: &Device, values: Vec<E>, shape: &[usize]) -> Result<Self> {
        check_shape(shape, values.len())?;
        match device {
            Device::Cpu => {
                let len = values.len();
                Ok(Self::new(
                    Storage::Cpu(Arc::new(E::store(values))),
                    E::DTYPE,
                    shape,
                    len,
                ))
            }
            Device::Gpu(_) => Self::from_slice(device, &values, shape),
        }
    }

    /// Creates a tensor with a copy of `bytes`, which are elements of `dtype` in this machine's byte order and need no
    /// alignment.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Misaligned`] if the bytes end in the middle of an element, and the errors of
    /// [`Tensor::from_slice`].
    pub fn from_bytes(
        device: &Device,
        dtype: DType,
        bytes: &[u8],
        shape: &[usize],
    ) -> Result<Self> {
        if !bytes.len().is_multiple_of(dtype.size()) {
            return Err(Error::Misaligned {
                role: Role::Tensor,
                needed: dtype.size() as u64,
                offset: 0,
                size: bytes.len() as u64,
            });
        }
        let len = bytes.len() / dtype.size();
        check_shape(shape, len)?;
        let storage = match device {
            Device::Cpu => {
                check_room(bytes.len())?;
                Storage::Cpu(Arc::new(Values::from_bytes(dtype, bytes)))
            }
            Device::Gpu(gpu) => {
                let buffer = gpu.buffer(LABEL, bytes.len() as u64, USAGE, Some(bytes))?;
                Storage::Gpu(gpu.clone(), Arc::new(buffer))
            }
        };
        Ok(Self::new(storage, dtype, shape, len))
    }

    /// Creates a tensor of zeros.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::from_slice`].
    pub fn zeros(device: &Device, dtype: DType, shape: &[usize]) -> Result<Self> {
        if let Device::Gpu(gpu) = device {
            gpu.probe_alive()?;
        }
        Self::output(device, dtype, shape)
    }

    /// Creates zeros like [`Tensor::zeros`], but skips the liveness probe, because the work that follows reports a lost
    /// device.
    pub(crate) fn output(device: &Device, dtype: DType, shape: &[usize]) -> Result<Self> {
        let len = product(shape)?;
        let too_large = || Error::ShapeTooLarge {
            shape: shape.to_vec(),
        };
        let bytes = len
            .checked_mul(dtype.size())
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or_else(too_large)?;
        let storage = match device {
            Device::Cpu => {
                check_room(bytes)?;
                Storage::Cpu(Arc::new(Values::zeros(dtype, len)))
            }
            // wgpu clears every buffer before its first use.
            Device::Gpu(gpu) => Storage::Gpu(
                gpu.clone(),
                Arc::new(gpu.buffer(LABEL, bytes as u64, USAGE, None)?),
            ),
        };
        Ok(Self::new(storage, dtype, shape, len))
    }

    /// Creates a tensor of the elements in `buffer` from the byte `offset` on, without a copy.
    ///
    /// The buffer must belong to `gpu`. Work with another device's buffer returns [`Error::Refused`], unless the
    /// devices come from two instances of wgpu, which this crate cannot detect (see [`Gpu::from_wgpu`]). Work on the
    /// tensor needs the usage `STORAGE`, and reading it `COPY_SRC`. An operation in place changes the buffer, unless
    /// the tensor shares it with a clone, a reshaped tensor or rows: then the tensor gets new memory first.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OffsetOutside`] if `offset` lies beyond the buffer's end; [`Error::ShapeMismatch`] if the
    /// buffer is too short; [`Error::ShapeTooLarge`]; [`Error::Misaligned`] if `offset` is not a multiple of the
    /// element's size.
    pub fn from_buffer(
        gpu: &Gpu,
        buffer: wgpu::Buffer,
        offset: u64,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Self> {
        let (len, size) = (product(shape)?, dtype.size() as u64);
        if !offset.is_multiple_of(size) {
            return Err(Error::Misaligned {
                role: Role::Tensor,
                needed: size,
                offset,
                size: (len as u64).saturating_mul(size),
            });
        }
        let Some(bytes) = buffer.size().checked_sub(offset) else {
            return Err(Error::OffsetOutside {
                offset,
                found: buffer.size(),
            });
        };
        let found = usize::try_from(bytes / size).unwrap_or(usize::MAX);
        if found < len {
            return Err(Error::ShapeMismatch {
                shape: shape.to_vec(),
                needed: len,
                found,
            });
        }
        let first = usize::try_from(offset / size).map_err(|_| Error::ShapeTooLarge {
            shape: shape.to_vec(),
        })?;
        let storage = Storage::Gpu(gpu.clone(), Arc::new(buffer));
        Ok(Self {
            first,
            ..Self::new(storage, dtype, shape, len)
        })
    }

    /// Returns the device that holds the tensor.
    pub fn device(&self) -> Device {
        match &self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Gpu(gpu, _) => Device::Gpu(gpu.clone()),
        }
    }

    /// Returns the type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the dimensions, slowest-changing first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the same elements in another shape, without a copy.
    ///
    /// # Errors
    ///
    /// Returns [`Error::ShapeMismatch`] if the shape has another number of elements, and [`Error::ShapeTooLarge`].
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        check_shape(shape, self.len)?;
        Ok(Self {
            shape: shape.to_vec(),
            ..self.clone()
        })
    }

    /// Returns the part of the tensor whose first index is in `range`, without a copy.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RowsOutside`] if the range exceeds the tensor's rows, or if the tensor is a scalar.
    pub fn rows(&self, range: Range<usize>) -> Result<Self> {
        match self.shape.first() {
            Some(&rows) if range.start <= range.end && range.end <= rows => {
                // The other dimensions of an empty tensor may be arbitrarily large, so their product may overflow.
                let row = if self.is_empty() {
                    0
                } else {
                    self.shape[1..].iter().product()
                };
                let mut shape = self.shape.clone();
                shape[0] = range.len();
                Ok(Self {
                    shape,
                    first: self.first + range.start * row,
                    len: range.len() * row,
                    ..self.clone()
                })
            }
            _ => Err(Error::RowsOutside {
                range,
                shape: self.shape.clone(),
            }),
        }
    }

    /// Copies the elements to the CPU's memory, after all work on them is done.
    ///
    /// Outside the browser, the first poll of the future blocks until then.
    ///
    /// # Errors
    ///
    /// Returns [`Error::DTypeMismatch`] if `E` is another type, and [`Error::OutOfMemory`]; on a GPU also
    /// [`Error::DeviceLost`], and for a host's buffer [`Error::MissingUsage`] if it lacks `COPY_SRC`,
    /// [`Error::PartialWord`] if it ends in the middle of the last element's word, and [`Error::Refused`] if it is
    /// mapped or destroyed.
    pub async fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        self.check_dtype::<E>()?;
        match &self.storage {
            Storage::Cpu(_) => {
                check_room(self.len * self.dtype.size())?;
                Ok(self.values::<E>()?.to_vec())
            }
            Storage::Gpu(..) => {
                self.read(bytemuck::allocation::pod_collect_to_vec::<u8, E>)
                    .await
            }
        }
    }

    /// Copies the elements as bytes in this machine's byte order, as [`Tensor::to_vec`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::to_vec`] except [`Error::DTypeMismatch`].
    pub async fn to_bytes(&self) -> Result<Vec<u8>> {
        self.read(<[u8]>::to_vec).await
    }

    /// The blocking version of [`Tensor::to_bytes`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::to_bytes`].
    #[cfg(not(target_family = "wasm"))]
    pub fn to_bytes_blocking(&self) -> Result<Vec<u8>> {
        pollster::block_on(self.to_bytes())
    }

    /// The blocking version of [`Tensor::to_vec`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::to_vec`].
    #[cfg(not(target_family = "wasm"))]
    pub fn to_vec_blocking<E: Element>(&self) -> Result<Vec<E>> {
        pollster::block_on(self.to_vec())
    }

    /// Returns the elements like [`Tensor::to_vec`], but without a copy if they are on the CPU, no other tensor shares
    /// the memory, and they start at the beginning of the memory. (Those of a tensor from [`Tensor::rows`] may start
    /// later.)
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::to_vec`].
    pub async fn into_vec<E: Element>(mut self) -> Result<Vec<E>> {
        self.check_dtype::<E>()?;
        let mismatch = self.mismatch::<E>();
        if self.first == 0 {
            self.storage = match self.storage {
                Storage::Cpu(values) => match Arc::try_unwrap(values) {
                    Ok(values) => {
                        let mut values = E::take(values).ok_or(mismatch)?;
                        values.truncate(self.len);
                        return Ok(values);
                    }
                    Err(shared) => Storage::Cpu(shared),
                },
                gpu => gpu,
            };
        }
        self.to_vec().await
    }

    /// The blocking version of [`Tensor::into_vec`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tensor::to_vec`].
    #[cfg(not(target_family = "wasm"))]
    pub fn into_vec_blocking<E: Element>(self) -> Result<Vec<E>> {
        pollster::block_on(self.into_vec())
    }

    /// Returns the elements if they are of type `E` and on the CPU.
    pub fn as_slice<E: Element>(&self) -> Option<&[E]> {
        match &self.storage {
            Storage::Cpu(values) => E::slice(values)?.get(self.first..self.first + self.len),
            Storage::Gpu(..) => None,
        }
    }

    /// Returns the elements for writing if they are of type `E`, on the CPU, and not shared with another tensor.
    pub fn as_mut_slice<E: Element>(&mut self) -> Option<&mut [E]> {
        match &mut self.storage {
            Storage::Cpu(values) => {
                E::slice_mut(Arc::get_mut(values)?)?.get_mut(self.first..self.first + self.len)
            }
            Storage::Gpu(..) => None,
        }
    }

    /// Returns the tensor's slice of a buffer if it is on a GPU.
    pub fn as_buffer_slice(&self) -> Option<wgpu::BufferSlice<'_>> {
        self.on_gpu().map(|(_, bytes)| bytes)
    }
}

// ---- Internals ----

impl Tensor {
    fn new(storage: Storage, dtype: DType, shape: &[usize], len: usize) -> Self {
        Self {
            storage,
            dtype,
            shape: shape.to_vec(),
            first: 0,
            len,
        }
    }

    fn bytes_of<'a>(&self, buffer: &'a wgpu::Buffer) -> wgpu::BufferSlice<'a> {
        let size = self.dtype.size() as u64;
        let first = self.first as u64 * size;
        buffer.slice(first..first + self.len as u64 * size)
    }

    /// Passes the tensor's bytes to `read`, after all work on them is done.
    async fn read<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let size = self.dtype.size();
        // Checks that there is memory for the result. In a browser, wgpu copies the mapped bytes once more, so `room`
        // is kept until the memory for both is checked.
        let room = room(self.len * size)?;
        if cfg!(target_family = "wasm") {
            check_room(self.len * size)?;
        }
        drop(room);
        let (gpu, buffer) = match &self.storage {
            Storage::Cpu(values) => {
                let bytes = self.first * size..(self.first + self.len) * size;
                return Ok(read(&values.as_bytes()[bytes]));
            }
            Storage::Gpu(gpu, buffer) => (gpu, buffer),
        };
        if self.is_empty() {
            return Ok(read(&[]));
        }
        check_usage(Role::Tensor, buffer, wgpu::BufferUsages::COPY_SRC)?;
        // Copies transfer whole words, but a 16-bit element is half a word.
        const WORD: u64 = wgpu::COPY_BUFFER_ALIGNMENT;
        let slice = self.bytes_of(buffer);
        let start = slice.offset() - slice.offset() % WORD;
        let end = (slice.offset() + slice.size()).next_multiple_of(WORD);
        if end > buffer.size() {
            return Err(Error::PartialWord {
                role: Role::Tensor,
                needed: end,
                found: buffer.size(),
            });
        }
        let label = "wgpu_elu.tensor.download";
        let staging = gpu.buffer(
            label,
            end - start,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            None,
        )?;
        gpu.submit("a copy", label, |encoder| {
            encoder.copy_buffer_to_buffer(buffer, start, &staging, 0, end - start);
            Ok(())
        })?;
        // If the slice starts in the middle of a word, the copy starts with the 16-bit element before it.
        let before = usize::from(slice.offset() != start) * size;
        let bytes = before..before + self.len * size;
        let mapping = gpu
            .map(wgpu::MapMode::Read, staging.slice(..), Until::All)
            .await?;
        let view = mapping.view()?;
        Ok(read(&view[bytes]))
    }

    fn check_dtype<E: Element>(&self) -> Result<()> {
        if E::DTYPE == self.dtype {
            Ok(())
        } else {
            Err(self.mismatch::<E>())
        }
    }

    fn mismatch<E: Element>(&self) -> Error {
        Error::DTypeMismatch {
            role: Role::Tensor,
            needed: E::DTYPE,
            found: self.dtype,
        }
    }

    /// Returns the elements of a tensor on the CPU, or an error.
    pub(crate) fn values<E: Element>(&self) -> Result<&[E]> {
        self.as_slice().ok_or(self.mismatch::<E>())
    }

    /// Returns the elements of a tensor on the CPU for writing, or an error.
    pub(crate) fn values_mut<E: Element>(&mut self) -> Result<&mut [E]> {
        let mismatch = self.mismatch::<E>();
        self.as_mut_slice().ok_or(mismatch)
    }

    /// Returns the slice of a tensor on a GPU, or an error.
    pub(crate) fn gpu_bytes(&self) -> Result<wgpu::BufferSlice<'_>> {
        self.as_buffer_slice().ok_or_else(|| Error::DeviceMismatch {
            role: Role::Tensor,
            needed: "a GPU".into(),
            found: self.device().to_string(),
        })
    }

    /// Returns the GPU that holds the tensor, and the tensor's slice of a buffer there.
    pub(crate) fn on_gpu(&self) -> Option<(&Gpu, wgpu::BufferSlice<'_>)> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(gpu, buffer) => Some((gpu, self.bytes_of(buffer))),
        }
    }

    /// Returns whether another tensor shares the memory.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.storage {
            Storage::Cpu(values) => Arc::strong_count(values) > 1,
            Storage::Gpu(_, buffer) => Arc::strong_count(buffer) > 1,
        }
    }
}

/// Returns the number of elements of a shape.
fn product(shape: &[usize]) -> Result<usize> {
    // A shape with a dimension of 0 is empty, whatever the other dimensions are.
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1, |product: usize, &dimension| {
        product.checked_mul(dimension)
    });
    product.ok_or_else(|| Error::ShapeTooLarge {
        shape: shape.to_vec(),
    })
}

fn check_shape(shape: &[usize], found: usize) -> Result<()> {
    let needed = product(shape)?;
    if needed == found {
        Ok(())
    } else {
        Err(Error::ShapeMismatch {
            shape: shape.to_vec(),
            needed,
            found,
        })
    }
}

/// Fails if an allocation of this many bytes would fail. Rust's collections abort the process in that case.
fn check_room(bytes: usize) -> Result<()> {
    room(bytes).map(drop)
}

/// Allocates this many bytes, or returns an error.
fn room(bytes: usize) -> Result<Vec<u8>> {
    let mut room = Vec::new();
    room.try_reserve_exact(bytes)
        .map_err(|_| Error::OutOfMemory {
            what: format!("a tensor of {bytes} bytes"),
        })?;
    Ok(room)
}
