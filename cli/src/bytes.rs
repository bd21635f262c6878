//! Bytes on their way from a file and to one: as many as promised, in this machine's order, and how long they took.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use wgpu_elu::Error;

/// Reads until `bytes` is full or the end is reached; how many were read.
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

/// Copies all of `source`, and tells which of the two failed.
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

/// An error of the writer.
pub(crate) fn write_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Write { error }
}

fn read_error(error: io::Error) -> Error {
    let error = Arc::new(error);
    Error::Read { error }
}

/// Exactly so many bytes of a reader, which must then be at its end.
#[derive(Debug)]
pub struct Exact<R> {
    reader: R,
    needed: u64,
    found: u64,
    is_checked: bool,
    /// What has the bytes, for the error.
    what: String,
}

impl<R: Read> Exact<R> {
    /// An error tells that `what` needs `needed` bytes of data.
    pub fn new(reader: R, needed: u64, what: String) -> Self {
        Self {
            reader,
            needed,
            found: 0,
            is_checked: false,
            what,
        }
    }

    /// The error for data of another size.
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
        // With the last bytes, and not after them: who has those may have written results.
        if self.found == self.needed && !self.is_checked {
            if fill(&mut self.reader, &mut [0])? > 0 {
                return Err(self.wrong_size("more"));
            }
            self.is_checked = true;
        }
        Ok(count)
    }
}

/// Elements of so many bytes, each turned around if the file has another byte order than this machine.
#[derive(Debug)]
pub struct Ordered<T> {
    inner: T,
    element: usize,
    is_swapped: bool,
    /// Elements on their way; none where they are left as they are.
    bytes: Vec<u8>,
    /// Where those begin that were not read yet.
    at: usize,
}

/// Of every element's size a multiple.
const ON_THEIR_WAY: usize = 1 << 16;

impl<T> Ordered<T> {
    /// Elements of `element` bytes that `inner` holds in this byte order.
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

/// Needs a flush at the end.
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

/// A reader or a writer, with the time that is spent in it added to `spent`.
#[derive(Debug)]
pub struct Timed<'a, T> {
    inner: T,
    spent: &'a Cell<Duration>,
}

impl<'a, T> Timed<'a, T> {
    /// The reader or writer, and where its time is added.
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
