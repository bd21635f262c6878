//! Reads `.npy` files as `elu run` does. It must not panic, and what was read must be readable again after it is
//! written.

#![no_main]

use std::io::{self, Read, Write};

use elu_cli::npy::{self, Form};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let pipe = Pipe {
        left: file,
        full: false,
    };
    let piped = read(pipe, None);
    let read = self::read(file, Some(file.len() as u64));
    let (piped, array) = match (piped, read) {
        (Ok(piped), Ok(array)) => (piped, array),
        (Err(piped), Err(read)) => {
            // Formats the message that the user would see.
            let _ = (format!("{piped:#}"), format!("{read:#}"));
            return;
        }
        (Ok(_), Err(error)) => panic!("a pipe gives it, a file does not: {error:#}"),
        (Err(error), Ok(_)) => panic!("a file gives it, a pipe does not: {error:#}"),
    };
    assert_same(&piped, &array);
    let (form, elements) = &array;
    // A shape may contain a zero after dimensions whose product would overflow.
    let shape = form.shape();
    let len: usize = if shape.contains(&0) {
        0
    } else {
        shape.iter().product()
    };
    assert_eq!(form.len(), len);
    assert_eq!(elements.len(), len * form.dtype().size());

    let written = write(&piped);
    let again = self::read(&*written, Some(written.len() as u64)).unwrap();
    assert_same(&again, &array);
    assert_eq!(write(&again), written);
});

type Array = (Form, Vec<u8>);

fn read(reader: impl Read, size: Option<u64>) -> anyhow::Result<Array> {
    let (form, mut elements) = npy::read(reader, size)?;
    // A header may claim any size, but there are only as many elements as the file has.
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

/// A reader that returns a few bytes at a time and is interrupted in between.
struct Pipe<'a> {
    left: &'a [u8],
    full: bool,
}

impl Read for Pipe<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.full = !self.full;
        if !self.full {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = bytes.len().min(7);
        self.left.read(&mut bytes[..count])
    }
}
