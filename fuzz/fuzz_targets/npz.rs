//! Reads and writes `.npz` files as `elu run` does.
//!
//! - Reading must not panic, and must not return more bytes than DEFLATE can compress into the file.
//! - An archive that is written to a file or to a pipe must have the same members when it is read again.

#![no_main]

use std::io::{Cursor, Read, Seek, Write};

use elu_cli::npz::{Archive, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Some((arrays, mut archive)) = read(file) else {
        return;
    };
    let size: usize = arrays.iter().flatten().map(Vec::len).sum();
    assert!(size <= 1032 * file.len()); // the largest ratio of DEFLATE
    let mut written = Cursor::new(Vec::new());
    if !write(&arrays, &mut archive, Writer::new(&mut written)) {
        return;
    }
    let mut streamed = Vec::new();
    assert!(write(
        &arrays,
        &mut archive,
        Writer::new_stream(&mut streamed)
    ));
    for bytes in [&written.into_inner(), &streamed] {
        let (again, reread) = read(bytes).unwrap();
        assert_eq!(again, arrays);
        for (one, other) in archive.entries().iter().zip(reread.entries()) {
            assert_eq!(one.name, other.name);
            assert_eq!(one.stored, other.stored);
        }
    }
});

/// The elements of each member that is an array.
type Arrays = Vec<Option<Vec<u8>>>;

/// Returns `None` if the archive or an array is damaged.
fn read(file: &[u8]) -> Option<(Arrays, Archive<Cursor<&[u8]>>)> {
    let opened = Archive::open(Cursor::new(file), None);
    // Formats the message that the user would see.
    let mut archive = opened
        .inspect_err(|error| drop(format!("{error:#}")))
        .ok()?;
    let is_array: Vec<bool> = archive
        .entries()
        .iter()
        .map(|entry| entry.dtype.is_some())
        .collect();
    let mut arrays = Vec::new();
    for (index, is_array) in is_array.into_iter().enumerate() {
        let mut bytes = None;
        if is_array {
            let (_, mut elements) = archive.array(index).unwrap();
            elements.read_to_end(bytes.insert(Vec::new())).ok()?;
        }
        arrays.push(bytes);
    }
    Some((arrays, archive))
}

/// Writes an archive with the same members. Returns whether this is possible.
fn write(
    arrays: &Arrays,
    archive: &mut Archive<Cursor<&[u8]>>,
    mut writer: Writer<impl Write + Seek>,
) -> bool {
    for (index, bytes) in arrays.iter().enumerate() {
        let Some(bytes) = bytes else {
            if writer.copy(archive, index).is_err() {
                return false;
            }
            continue;
        };
        if writer.start(archive, index).is_err() {
            return false;
        }
        let (form, _) = archive.array(index).unwrap();
        let mut sink = form.write(&mut writer).unwrap();
        sink.write_all(bytes).unwrap();
        sink.flush().unwrap();
    }
    writer.finish(archive).is_ok()
}
