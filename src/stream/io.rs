//! The sources and sinks of a stream: slices, readers and writers.

use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

use crate::error::{Error, Result};

/// A source of chunks.
pub(super) trait Source {
    fn is_at_end(&mut self) -> Result<bool>;
    /// Fills `view` from its start and returns the number of bytes. It is less than the size of `view` only at the end
    /// of the data.
    fn fill(&mut self, view: wgpu::WriteOnly<'_, [u8]>) -> Result<usize>;
}

/// A sink of chunks.
pub(super) trait Sink {
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

pub(super) struct Reader<R> {
    reader: R,
    piece: Vec<u8>,
    /// The bytes that were read and not yet copied.
    left: Range<usize>,
    /// Set at the end of the data, because a terminal could return more data after its end.
    is_at_end: bool,
}

impl<R> Reader<R> {
    /// Creates a source that reads through `piece`, because wgpu's mapped memory cannot be passed to readers.
    pub(super) fn new(reader: R, piece: Vec<u8>) -> Self {
        Self {
            reader,
            piece,
            left: 0..0,
            is_at_end: false,
        }
    }
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

pub(super) struct Writer<'a, W>(pub(super) &'a mut W);

impl<W: Write> Sink for Writer<'_, W> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(write_error)
    }
}

/// Reads some bytes. Returns 0 only at the end.
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

pub(super) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}
