//! Checks the list of members at the end of an archive, which is called the central directory.
//!
//! The end record contains the number of members and the size of the list. The crate `zip` uses the number, and Python
//! the size. If they contradict each other, both read different members, so a result could lack members that NumPy
//! reads. Therefore:
//!
//! 1. The list must start where its size says, and end where the end record starts, which must be the end of the file.
//! 2. It must contain as many members as the end record says.
//! 3. Each member must have the same name in the list and before its data.
//!
//! The positions of the fields are from sections 4.3.7 to 4.3.16 of PKWARE's `APPNOTE.TXT`.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use super::damaged;

/// Fails unless the archive is consistent. Returns its reader.
pub(super) fn check<R: Read + Seek>(mut zip: ZipArchive<R>) -> Result<R> {
    let start = zip.central_directory_start();
    let (count, comment_len) = (zip.len() as u64, zip.comment().len() as u64);
    let mut positions = Vec::with_capacity(zip.len());
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(damaged)?;
        positions.push(member.header_start());
    }
    let mut reader = zip.into_inner();
    let names = names_in_list(&mut reader, start, count, comment_len)?;
    for (position, name) in positions.into_iter().zip(names) {
        let header: [u8; 30] = read_at(&mut reader, position)?;
        let found = read_name(&mut reader, &header[26..28])?;
        ensure!(
            found == name,
            "the archive is damaged: member {:?} has another name in the list of members, {:?}",
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(&name)
        );
    }
    Ok(reader)
}

// ---- Internals ----

/// Returns the names in the list of members from `start`. It must contain `count` members and fill the space before the
/// end record, which must contain the same number and the size of the list, and end where the file ends.
fn names_in_list(
    reader: &mut (impl Read + Seek),
    start: u64,
    count: u64,
    comment_len: u64,
) -> Result<Vec<Vec<u8>>> {
    const END_LEN: usize = 22;
    const LOCATOR_LEN: u64 = 20;
    const END_64_LEN: usize = 56;
    const CONTRADICTION: &str = "the archive is damaged: its end contradicts its list of members";
    let len = reader.seek(SeekFrom::End(0))?;
    let end = len.checked_sub(END_LEN as u64 + comment_len);
    let mut end = end.context(CONTRADICTION)?;
    let record: [u8; END_LEN] = read_at(reader, end)?;
    ensure!(
        record.starts_with(b"PK\x05\x06"),
        "the archive is damaged: other bytes follow its end"
    );
    // The number of members occurs twice, for archives that are divided into several files.
    let mut counts = [8, 10].map(|at| number(&record[at..at + 2]));
    let mut size = number(&record[12..16]);
    if let Some(at) = end.checked_sub(LOCATOR_LEN + END_64_LEN as u64) {
        let locator: [u8; 4] = read_at(reader, end - LOCATOR_LEN)?;
        if locator == *b"PK\x06\x07" {
            let record: [u8; END_64_LEN] = read_at(reader, at)?;
            ensure!(record.starts_with(b"PK\x06\x06"), CONTRADICTION);
            counts = [24, 32].map(|at| number(&record[at..at + 8]));
            size = number(&record[40..48]);
            end = at;
        }
    }
    ensure!(
        counts == [count; 2] && start.checked_add(size) == Some(end),
        CONTRADICTION
    );
    let mut names = Vec::new();
    let mut position = start;
    while position < end {
        let header: [u8; 46] = read_at(reader, position)?;
        ensure!(header.starts_with(b"PK\x01\x02"), CONTRADICTION);
        names.push(read_name(reader, &header[28..30])?);
        // The name, the extra fields and the comment follow.
        let rest = header[28..34].chunks(2).map(number).sum::<u64>();
        position += header.len() as u64 + rest;
    }
    ensure!(
        position == end && names.len() as u64 == count,
        CONTRADICTION
    );
    Ok(names)
}

/// Reads a name, whose length is a number of 2 bytes, at the position of the reader.
fn read_name(reader: &mut impl Read, len: &[u8]) -> Result<Vec<u8>> {
    let mut name = vec![0; usize::try_from(number(len))?];
    reader.read_exact(&mut name)?;
    Ok(name)
}

/// Reads bytes at a position.
fn read_at<const N: usize>(reader: &mut (impl Read + Seek), position: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.seek(SeekFrom::Start(position))?;
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns a little-endian number of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().rev();
    digits.fold(0, |number, &byte| number << 8 | u64::from(byte))
}
