//! The sources and sinks of a stream: slices, readers and writers.

use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

use crate::error::{Error, Result};

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
    buffer: Vec<u8>,
    /// The part of `buffer` that has been read from `reader` but not copied yet.
    pending: Range<usize>,
    /// Whether `reader` has reported its end. It is then not read again, because a terminal could return more data.
    is_at_end: bool,
}

impl<R> Reader<R> {
    /// Creates a source that reads into `buffer` and copies from there. It cannot read directly into wgpu's mapped
    /// memory, which is write-only.
    pub(super) fn new(reader: R, buffer: Vec<u8>) -> Self {
        Self {
            reader,
            buffer,
            pending: 0..0,
            is_at_end: false,
        }
    }
}

impl<R: Read> Source for Reader<R> {
    fn is_at_end(&mut self) -> Result<bool> {
        if self.pending.is_empty() && !self.is_at_end {
            self.pending = 0..read(&mut self.reader, &mut self.buffer)?;
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
pub(super) fn read(reader: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
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
    Err(Error::Read { error })
}

/// Returns the error of a failed write.
pub(super) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}
