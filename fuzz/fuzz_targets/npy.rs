//! Reads `.npy` files as `elu run` does, without `--dtype` and with `--dtype bfloat16`.
//!
//! - Reading must not panic.
//! - A file and a pipe with the same bytes must give the same array, or both must be rejected.
//! - An array that is written and read again must be the same.

#![no_main]

use std::io::{self, Read, Write};

use elu_cli::npy::{self, Form};
use libfuzzer_sys::fuzz_target;
use wgpu_elu::DType;

fuzz_target!(|file: &[u8]| {
    for dtype in [None, Some(DType::BF16)] {
        check(file, dtype);
    }
});

/// Checks a file that is read with this value of `--dtype`.
fn check(file: &[u8], dtype: Option<DType>) {
    let pipe = Pipe {
        remaining: file,
        has_read: false,
    };
    let piped = read(pipe, None, dtype);
    let read = self::read(file, Some(file.len() as u64), dtype);
    let (piped, array) = match (piped, read) {
        (Ok(piped), Ok(array)) => (piped, array),
        (Err(piped), Err(read)) => {
            // Formats the messages that the user would see.
            let _ = (format!("{piped:#}"), format!("{read:#}"));
            return;
        }
        (Ok(_), Err(error)) => panic!("accepted from a pipe, but rejected from a file: {error:#}"),
        (Err(error), Ok(_)) => panic!("accepted from a file, but rejected from a pipe: {error:#}"),
    };
    assert_same(&piped, &array);
    let (form, elements) = &array;
    let len: usize = form.shape().iter().product();
    assert_eq!(form.len(), len);
    assert_eq!(elements.len(), len * form.dtype().size());

    let written = write(&piped);
    let reread = self::read(&*written, Some(written.len() as u64), dtype).unwrap();
    assert_same(&reread, &array);
    assert_eq!(write(&reread), written);
}

/// The header and the elements of a file.
type Array = (Form, Vec<u8>);

fn read(reader: impl Read, size: Option<u64>, dtype: Option<DType>) -> anyhow::Result<Array> {
    let (form, mut elements) = npy::read(reader, size, dtype)?;
    // Does not allocate the size that the header claims, which may be huge: `read_to_end` allocates as it reads.
    let mut bytes = Vec::new();
    elements.read_to_end(&mut bytes)?;
    Ok((form, bytes))
}

fn write((form, elements): &Array) -> Vec<u8> {
    let mut written = Vec::new();
    let mut writer = form.write(&mut written).unwrap();
    writer.write_all(elements).unwrap();
    writer.flush().unwrap();
    written
}

#[track_caller]
fn assert_same(one: &Array, other: &Array) {
    assert_eq!(one.0.dtype(), other.0.dtype());
    assert_eq!(one.0.shape(), other.0.shape());
    assert_eq!(one.1, other.1);
}

/// A reader that alternately returns a few bytes and the error [`io::ErrorKind::Interrupted`].
struct Pipe<'a> {
    remaining: &'a [u8],
    /// Whether the last call returned bytes.
    has_read: bool,
}

impl Read for Pipe<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.has_read = !self.has_read;
        if !self.has_read {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = bytes.len().min(7);
        self.remaining.read(&mut bytes[..count])
    }
}
