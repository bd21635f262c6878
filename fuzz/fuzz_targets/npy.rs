//! `.npy` files as `elu run` reads them: no panic, and what is read is written so that it is read again.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    reason = "the command reads paths, which the target leaves out"
)]
#[path = "../../src/bin/elu/npy.rs"]
mod npy;

use npy::Array;

fuzz_target!(|file: &[u8]| {
    let piped = Array::from_reader(
        &mut Pipe {
            left: file,
            full: false,
        },
        None,
    );
    let read = Array::from_reader(&mut &*file, Some(file.len() as u64));
    let (piped, array) = match (piped, read) {
        (Ok(piped), Ok(array)) => (piped, array),
        (Err(piped), Err(read)) => {
            // What the user would see.
            let _ = (format!("{piped:#}"), format!("{read:#}"));
            return;
        }
        (Ok(_), Err(error)) => panic!("a pipe gives it, a file does not: {error:#}"),
        (Err(error), Ok(_)) => panic!("a file gives it, a pipe does not: {error:#}"),
    };
    assert_same(&piped, &array);
    // A zero may stand after what alone would overflow.
    let shape = array.shape();
    let elements: usize = if shape.contains(&0) {
        0
    } else {
        shape.iter().product()
    };
    assert_eq!(array.bytes.len(), elements * array.dtype().size());

    let mut written = Vec::new();
    piped.write(&mut written).unwrap();
    let again = Array::from_reader(&mut &*written, Some(written.len() as u64)).unwrap();
    assert_same(&again, &array);
    let mut rewritten = Vec::new();
    again.write(&mut rewritten).unwrap();
    assert_eq!(rewritten, written);
});

#[track_caller]
fn assert_same(one: &Array, other: &Array) {
    assert_eq!(one.dtype(), other.dtype());
    assert_eq!(one.shape(), other.shape());
    assert_eq!(one.bytes, other.bytes);
}

/// Gives a few bytes at a time, and is interrupted in between.
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
