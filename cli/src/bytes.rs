//! Wrappers around readers and writers that check the number of bytes, convert the byte order, or measure the time.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use wgpu_elu::{Error, Role};

/// Reads until `bytes` is full or the source ends. Returns the number of bytes read.
///
/// # Errors
///
/// Returns the errors of `reader`, except for [`io::ErrorKind::Interrupted`], after which it tries again.
pub fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Copies all of `source` to `sink`.
///
/// # Errors
///
/// Returns [`Error::Read`] if `source` fails, and [`Error::Write`] if `sink` fails.
pub fn copy(mut source: impl Read, mut sink: impl Write) -> Result<(), Error> {
    let mut bytes = vec![0; 1 << 18];
    loop {
        let count = fill(&mut source, &mut bytes).map_err(read_error)?;
        if count == 0 {
            return Ok(());
        }
        sink.write_all(&bytes[..count]).map_err(write_error)?;
    }
}

/// Converts an error of a writer.
pub(crate) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}

/// Converts an error of a reader.
pub(crate) fn read_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Read {
        role: Role::Input,
        error,
    }
}

/// Reads a known number of bytes, and fails if the inner reader returns fewer or more.
#[derive(Debug)]
pub struct Exact<R> {
    reader: R,
    /// The expected number of bytes.
    needed: u64,
    /// The number of bytes that were read so far.
    read_so_far: u64,
    /// Whether the end of the inner reader was checked.
    is_checked: bool,
    /// The start of the error message, such as `shape [3] of float32 needs`.
    what_needs: String,
}

impl<R: Read> Exact<R> {
    /// Creates a reader of `needed` bytes. Its error message starts with `what_needs`, such as `shape [3] of float32
    /// needs`.
    pub fn new(reader: R, needed: u64, what_needs: String) -> Self {
        Self {
            reader,
            needed,
            read_so_far: 0,
            is_checked: false,
            what_needs,
        }
    }

    /// Returns the error for data of another size. `found` is that size in bytes, or a word such as `more`.
    pub fn wrong_size(&self, found: impl std::fmt::Display) -> io::Error {
        let Self {
            needed, what_needs, ..
        } = self;
        io::Error::other(format!(
            "{what_needs} {needed} bytes of data, found {found}"
        ))
    }
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let remaining = self.needed - self.read_so_far;
        let room = bytes
            .len()
            .min(usize::try_from(remaining).unwrap_or(usize::MAX));
        let count = if room == 0 {
            0
        } else {
            self.reader.read(&mut bytes[..room])?
        };
        self.read_so_far += count as u64;
        if count == 0 && room > 0 {
            return Err(self.wrong_size(self.read_so_far));
        }
        // Checks for trailing bytes before it returns the last bytes, so that the caller cannot complete its output
        // first.
        if self.read_so_far == self.needed && !self.is_checked {
            if fill(&mut self.reader, &mut [0])? > 0 {
                return Err(self.wrong_size("more"));
            }
            self.is_checked = true;
        }
        Ok(count)
    }
}

/// Reads or writes elements of a fixed size, and reverses the bytes of each element if the byte order of the file
/// differs from that of this machine.
#[derive(Debug)]
pub struct Ordered<T> {
    inner: T,
    /// The size of an element in bytes.
    element_size: usize,
    /// Whether the byte orders differ.
    is_swapped: bool,
    /// The buffered elements. The buffer stays empty if the byte orders are the same.
    bytes: Vec<u8>,
    /// The index in `bytes` of the first byte that the caller has not read yet.
    position: usize,
}

/// The size of the buffer in bytes. It is a multiple of every element size.
const BUFFER_SIZE: usize = 1 << 16;

impl<T> Ordered<T> {
    /// Wraps `inner`, which contains elements of `element_size` bytes: big-endian if `big_endian` is set, else
    /// little-endian.
    pub fn new(inner: T, element_size: usize, big_endian: bool) -> Self {
        Self {
            inner,
            element_size,
            is_swapped: big_endian != cfg!(target_endian = "big"),
            bytes: Vec::new(),
            position: 0,
        }
    }

    /// Reverses the bytes of each element in the buffer.
    fn swap(&mut self) {
        for element in self.bytes.chunks_exact_mut(self.element_size) {
            element.reverse();
        }
    }
}

impl<R: Read> Read for Ordered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !self.is_swapped {
            return self.inner.read(bytes);
        }
        if self.position == self.bytes.len() {
            self.bytes.resize(BUFFER_SIZE, 0);
            let filled = fill(&mut self.inner, &mut self.bytes);
            self.bytes.truncate(*filled.as_ref().unwrap_or(&0));
            self.position = 0;
            filled?;
            self.swap();
        }
        let count = bytes.len().min(self.bytes.len() - self.position);
        bytes[..count].copy_from_slice(&self.bytes[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// After the last write the caller must call `flush`: dropping the writer loses the buffered elements.
impl<W: Write> Write for Ordered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_swapped {
            return self.inner.write(bytes);
        }
        let count = bytes.len().min(BUFFER_SIZE - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        if self.bytes.len() == BUFFER_SIZE {
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

/// Wraps a reader or a writer, and adds up the time that is spent in it.
#[derive(Debug)]
pub struct Timed<'a, T> {
    inner: T,
    spent: &'a Cell<Duration>,
}

impl<'a, T> Timed<'a, T> {
    /// Wraps `inner`. Each call of it adds its duration to `spent`.
    pub fn new(inner: T, spent: &'a Cell<Duration>) -> Self {
        Self { inner, spent }
    }

    fn time<U>(&mut self, work: impl FnOnce(&mut T) -> U) -> U {
        let start = Instant::now();
        let result = work(&mut self.inner);
        self.spent.set(self.spent.get() + start.elapsed());
        result
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
