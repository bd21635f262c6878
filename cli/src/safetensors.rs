//! Reads `.safetensors` files, and writes files with the same header and other values.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::{Dtype, tensor::Metadata};
use serde_json::{Map, Value};
use wgpu_elu::DType;

use crate::{bytes::Exact, entries::Entry, npy::excerpt};

/// The header of a file. In the file, the data of all tensors follow it without gaps.
#[derive(Debug)]
pub struct Tensors {
    /// All bytes before the data.
    header: Vec<u8>,
    /// The tensors, in the order of their data.
    entries: Vec<Entry>,
}

/// Whether the elements are big-endian: `.safetensors` files are always little-endian.
pub const BIG_ENDIAN: bool = false;

/// Reads the header, and returns it with a reader of the data. `size` is the size of the whole file in bytes, if it is
/// known.
///
/// # Errors
///
/// Returns an error if reading fails, if the header is invalid or longer than 100,000,000 bytes, or if `size` does not
/// match the header. If `size` is unknown and the data is too short or too long, reading the data fails.
pub fn read<R: Read>(reader: R, size: Option<u64>) -> Result<(Tensors, Exact<R>)> {
    let mut reader = reader;
    let (header, metadata) = read_header(&mut reader).context(NOT_SAFETENSORS)?;
    let entry = |name: String| {
        let info = metadata.info(&name)?;
        let (start, end) = info.data_offsets;
        Some(Entry {
            stored: info.dtype.to_string(),
            dtype: match info.dtype {
                Dtype::F16 => Some(DType::F16),
                Dtype::BF16 => Some(DType::BF16),
                Dtype::F32 => Some(DType::F32),
                Dtype::F64 => Some(DType::F64),
                _ => None,
            },
            shape: info.shape.clone(),
            size: (end - start) as u64,
            name,
        })
    };
    let entries: Vec<Entry> = metadata
        .offset_keys()
        .into_iter()
        .filter_map(entry)
        .collect();
    let needed = entries.iter().map(|entry| entry.size).sum();
    let data = Exact::new(reader, needed, "the tensors need".into());
    if let Some(size) = size {
        let found = size.saturating_sub(header.len() as u64);
        ensure!(found == needed, data.wrong_size(found));
    }
    Ok((Tensors { header, entries }, data))
}

impl Tensors {
    /// Returns the tensors in the order of their data.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns for each tensor the position of its data in the file, in bytes.
    pub fn positions(&self) -> Vec<u64> {
        let mut end = self.header.len() as u64;
        let position = |entry: &Entry| {
            end += entry.size;
            end - entry.size
        };
        self.entries.iter().map(position).collect()
    }

    /// Writes the header with exactly the bytes that were read.
    ///
    /// # Errors
    ///
    /// Returns the errors of `writer`.
    pub fn write(&self, writer: &mut impl Write) -> std::io::Result<()> {
        writer.write_all(&self.header)
    }
}

// ---- Internals ----

const NOT_SAFETENSORS: &str = "not a .safetensors file";

/// The longest header in bytes, as in the crate `safetensors`. That crate's own reader is not used here, because it
/// needs the whole file in memory.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

/// Reads all bytes before the data. Returns them, and the parsed header.
fn read_header(reader: &mut impl Read) -> Result<(Vec<u8>, Metadata)> {
    const LENGTH: usize = size_of::<u64>();
    let mut bytes = Vec::new();
    reader.take(LENGTH as u64).read_to_end(&mut bytes)?;
    let Some(&length) = bytes.first_chunk() else {
        bail!(
            "the length of the header needs {LENGTH} bytes, found {}",
            bytes.len()
        );
    };
    let length = u64::from_le_bytes(length);
    ensure!(
        length <= MAX_HEADER,
        "header of {length} bytes, needed at most {MAX_HEADER}"
    );
    // Allocates only as many bytes as the file contains, even if the header claims a much larger length.
    let found = reader.take(length).read_to_end(&mut bytes)?;
    ensure!(
        found as u64 == length,
        "the header needs {length} bytes, found {found}"
    );
    let json = &bytes[LENGTH..];
    let metadata = serde_json::from_slice(json).map_err(|error| explain(json, error))?;
    Ok((bytes, metadata))
}

/// Returns the error for a header that was not read. The parser's own error for an unknown dtype would list all others
/// and not name the tensor.
fn explain(json: &[u8], error: serde_json::Error) -> anyhow::Error {
    // Parsing a long header a second time would take long.
    const MAX_LEN: usize = 1 << 20;
    let header: Map<String, Value> = match json.len() {
        ..=MAX_LEN => serde_json::from_slice(json).unwrap_or_default(),
        _ => return error.into(),
    };
    for (name, tensor) in header {
        let dtype = tensor.get("dtype").filter(|dtype| dtype.is_string());
        if let Some(dtype) = dtype
            && name != "__metadata__"
            && serde_json::from_value::<Dtype>(dtype.clone()).is_err()
        {
            let dtype = excerpt(&dtype.to_string());
            return anyhow!("tensor {:?} has the unknown dtype {dtype}", excerpt(&name));
        }
    }
    error.into()
}
