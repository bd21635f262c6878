//! The sources and sinks of a stream: slices, readers and writers.

use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

use crate::error::{Error, Result, Role};

/// A source of chunks.
pub(super) trait Source {
    /// Returns whether all data has been read. It may read data to find out.
    fn is_at_end(&mut self) -> Result<bool>;
    /// Fills `view` from its start, and returns the number of bytes. This is less than the size of `view` only at the
    /// end of the data.
    fn fill(&mut self, view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize>;
}

/// A sink of chunks.
pub(super) trait Sink {
    /// Writes all of `bytes` after those that were written before.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

/// The inputs of an operation.
pub(super) struct Inputs<X, G> {
    pub(super) x: X,
    /// The incoming gradient, if the operation takes it.
    pub(super) grad: Option<G>,
}

impl<X: Source, G: Source> Inputs<X, G> {
    /// Returns whether all data of all inputs has been read.
    pub(super) fn are_at_end(&mut self) -> Result<bool> {
        let grad_is_at_end = |grad: &mut G| grad.is_at_end();
        Ok(self.x.is_at_end()? && self.grad.as_mut().map_or(Ok(true), grad_is_at_end)?)
    }
}

/// The number of bytes that each input has filled of a chunk.
pub(super) struct Filled {
    pub(super) x: u64,
    pub(super) grad: Option<u64>,
}

impl Filled {
    /// Returns the number of bytes of each input. `size` is the size of an element, and `before` the number of bytes in
    /// earlier chunks.
    ///
    /// # Errors
    ///
    /// Returns [`Error::PartialElement`] or [`Error::EndsEarly`].
    pub(super) fn check(&self, size: u64, before: u64) -> Result<u64> {
        let grad = self.grad.unwrap_or(self.x);
        for (role, bytes) in [(Role::Input, self.x), (Role::Gradient, grad)] {
            if !bytes.is_multiple_of(size) {
                return Err(Error::PartialElement {
                    role,
                    needed: size,
                    found: before + bytes,
                });
            }
        }
        if self.x == grad {
            return Ok(grad);
        }
        let (role, bytes) = if grad < self.x {
            (Role::Gradient, grad)
        } else {
            (Role::Input, self.x)
        };
        Err(Error::EndsEarly {
            role,
            found: (before + bytes) / size,
        })
    }
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
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let (first, rest) = std::mem::take(self).split_at_mut(bytes.len());
        first.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }
}

/// A source that reads from an [`io::Read`].
pub(super) struct Reader<R> {
    reader: R,
    /// The input that is read, for errors.
    role: Role,
    buffer: Vec<u8>,
    /// The part of `buffer` that has been read from `reader` but not copied yet.
    pending: Range<usize>,
    /// Whether `reader` has reported its end. It is then not read again, because a terminal could return more data.
    is_at_end: bool,
}

impl<R> Reader<R> {
    /// Creates a source that reads into `buffer` and copies from there. It cannot read directly into wgpu's mapped
    /// memory, which is write-only.
    pub(super) fn new(reader: R, role: Role, buffer: Vec<u8>) -> Self {
        Self {
            reader,
            role,
            buffer,
            pending: 0..0,
            is_at_end: false,
        }
    }
}

impl<R: Read> Source for Reader<R> {
    fn is_at_end(&mut self) -> Result<bool> {
        if self.pending.is_empty() && !self.is_at_end {
            self.pending = 0..read(&mut self.reader, self.role, &mut self.buffer)?;
            self.is_at_end = self.pending.is_empty();
        }
        Ok(self.is_at_end)
    }

    fn fill(&mut self, mut view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize> {
        let mut filled = 0;
        while filled < view.len() && !self.is_at_end()? {
            let count = self.pending.len().min(view.len() - filled);
            let copied = self.pending.start..self.pending.start + count;
            view.slice(filled..filled + count)
                .copy_from_slice(&self.buffer[copied]);
            self.pending.start += count;
            filled += count;
        }
        Ok(filled)
    }
}

/// A sink that writes to an [`io::Write`].
pub(super) struct Writer<'a, W>(pub(super) &'a mut W);

impl<W: Write> Sink for Writer<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(write_error)
    }
}

/// Reads at least one byte into `bytes`, which must not be empty, and returns the number of bytes read. Returns 0 at
/// the end of the data. Retries if the call is interrupted.
pub(super) fn read(reader: &mut impl Read, role: Role, bytes: &mut [u8]) -> Result<usize> {
    let error = loop {
        match reader.read(bytes) {
            Ok(count) if count <= bytes.len() => return Ok(count),
            Ok(_) => {
                break io::Error::other("the reader reports more bytes than were requested");
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    let error = Arc::new(error);
    Err(Error::Read { role, error })
}

/// Returns the error of a failed write.
pub(super) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}

/// Returns a vector of zeros, or an error if there is not enough memory. (`vec!` would abort the process.)
pub(super) fn zeros<T: bytemuck::Zeroable>(len: u64) -> Result<Vec<T>> {
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
