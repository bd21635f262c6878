//! Readers and writers that check the number of bytes, convert the byte order, and measure the time.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use wgpu_elu::Error;

/// Reads until `bytes` is full or the source ends. Returns the number of bytes read.
pub fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while found < bytes.len() {
        match reader.read(&mut bytes[found..]) {
            Ok(0) => break,
            Ok(count) => found += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Copies all of `source` to `sink`. The error says which of the two failed.
pub fn copy(mut source: impl Read, mut sink: impl Write) -> Result<(), Error> {
    let mut bytes = vec![0; 1 << 18];
    loop {
        let found = fill(&mut source, &mut bytes).map_err(read_error)?;
        if found == 0 {
            return Ok(());
        }
        sink.write_all(&bytes[..found]).map_err(write_error)?;
    }
}

/// Wraps an error of the writer.
pub(crate) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}

fn read_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Read { error }
}

/// Reads exactly this number of bytes from a reader, which must then be at its end.
#[derive(Debug)]
pub struct Exact<R> {
    reader: R,
    needed: u64,
    found: u64,
    is_checked: bool,
    /// The owner of the bytes, for the error.
    what: String,
}

impl<R: Read> Exact<R> {
    /// Creates the reader. Its error says that `what` needs `needed` bytes of data.
    pub fn new(reader: R, needed: u64, what: String) -> Self {
        Self {
            reader,
            needed,
            found: 0,
            is_checked: false,
            what,
        }
    }

    /// Returns the error for data of another size.
    pub fn wrong_size(&self, found: impl std::fmt::Display) -> io::Error {
        let Self { needed, what, .. } = self;
        io::Error::other(format!(
            "{what} needs {needed} bytes of data, found {found}"
        ))
    }
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.needed - self.found;
        let room = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = if room == 0 {
            0
        } else {
            self.reader.read(&mut bytes[..room])?
        };
        self.found += count as u64;
        if count == 0 && room > 0 {
            return Err(self.wrong_size(self.found));
        }
        // Checks the end together with the last bytes, before the caller may write results for them.
        if self.found == self.needed && !self.is_checked {
            if fill(&mut self.reader, &mut [0])? > 0 {
                return Err(self.wrong_size("more"));
            }
            self.is_checked = true;
        }
        Ok(count)
    }
}

/// Reads or writes elements of a fixed size, and reverses the bytes of each if the file's byte order differs from this
/// machine's.
#[derive(Debug)]
pub struct Ordered<T> {
    inner: T,
    element: usize,
    is_swapped: bool,
    /// The buffered elements; empty if the byte order does not change.
    bytes: Vec<u8>,
    /// The start of the bytes that were not read yet.
    at: usize,
}

/// The size of the buffer, a multiple of every element's size.
const ON_THEIR_WAY: usize = 1 << 16;

impl<T> Ordered<T> {
    /// Wraps `inner`, which has elements of `element` bytes in this byte order.
    pub fn new(inner: T, element: usize, big_endian: bool) -> Self {
        Self {
            inner,
            element,
            is_swapped: big_endian != cfg!(target_endian = "big"),
            bytes: Vec::new(),
            at: 0,
        }
    }

    fn swap(&mut self) {
        for element in self.bytes.chunks_exact_mut(self.element) {
            element.reverse();
        }
    }
}

impl<R: Read> Read for Ordered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !self.is_swapped {
            return self.inner.read(bytes);
        }
        if self.at == self.bytes.len() {
            self.bytes.resize(ON_THEIR_WAY, 0);
            let found = fill(&mut self.inner, &mut self.bytes);
            self.bytes.truncate(*found.as_ref().unwrap_or(&0));
            self.at = 0;
            found?;
            self.swap();
        }
        let count = bytes.len().min(self.bytes.len() - self.at);
        bytes[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Must be flushed at the end.
impl<W: Write> Write for Ordered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_swapped {
            return self.inner.write(bytes);
        }
        let count = bytes.len().min(ON_THEIR_WAY - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        if self.bytes.len() == ON_THEIR_WAY {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.swap();
        self.inner.write_all(&self.bytes)?;
        self.bytes.clear();
        self.inner.flush()
    }
}

/// Wraps a reader or a writer, and adds the time that is spent in it to `spent`.
#[derive(Debug)]
pub struct Timed<'a, T> {
    inner: T,
    spent: &'a Cell<Duration>,
}

impl<'a, T> Timed<'a, T> {
    /// Wraps `inner`.
    pub fn new(inner: T, spent: &'a Cell<Duration>) -> Self {
        Self { inner, spent }
    }

    fn time<U>(&mut self, work: impl FnOnce(&mut T) -> U) -> U {
        let start = Instant::now();
        let done = work(&mut self.inner);
        self.spent.set(self.spent.get() + start.elapsed());
        done
    }
}

impl<R: Read> Read for Timed<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.time(|reader| reader.read(bytes))
    }
}

impl<W: Write> Write for Timed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.time(|writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.time(W::flush)
    }
}
