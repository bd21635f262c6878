//! Reads `.safetensors` files, and writes files with the same header and other values.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, SafeTensorError, tensor::Metadata};
use wgpu_elu::DType;

use crate::bytes::Exact;

/// The header of a file. In the file, the data of all tensors follow it without gaps.
#[derive(Debug)]
pub struct Tensors {
    /// All bytes before the data.
    header: Vec<u8>,
    /// The tensors, in the order of their data.
    entries: Vec<Entry>,
}

/// A tensor of a file.
#[derive(Debug)]
pub struct Entry {
    /// The tensor's name.
    pub name: String,
    /// The name of the dtype in the file, such as `BF16`.
    pub stored: String,
    /// The dtype, or `None` if ELU does not support it.
    pub dtype: Option<DType>,
    /// The size in bytes.
    pub size: u64,
}

/// Whether the elements are big-endian: `.safetensors` files are always little-endian.
pub const BIG_ENDIAN: bool = false;

impl Entry {
    /// Returns whether the tensor has no elements, or an unsupported dtype.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements, or 0 for an unsupported dtype.
    pub fn len(&self) -> u64 {
        self.dtype
            .map_or(0, |dtype| self.size / dtype.size() as u64)
    }
}

/// Opens a file and reads its header.
///
/// # Errors
///
/// Returns the errors of [`read`] and of opening the file, with the file's path.
pub fn open(path: &Path) -> Result<(Tensors, Exact<File>)> {
    let open = || {
        ensure!(
            !path.is_dir(),
            "needed a .safetensors file, found a directory"
        );
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let size = metadata.is_file().then_some(metadata.len());
        read(file, size)
    };
    open().with_context(|| path.display().to_string())
}

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
    if let Some(size) = size {
        let found = size.saturating_sub(header.len() as u64);
        if found != needed {
            return Err(SafeTensorError::MetadataIncompleteBuffer).context(NOT_SAFETENSORS);
        }
    }
    let data = Exact::new(reader, needed, "the header".into());
    Ok((Tensors { header, entries }, data))
}

impl Tensors {
    /// Returns the tensors in the order of their data.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
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
const MAX_HEADER: u64 = 100_000_000;

/// Reads all bytes before the data. Returns them, and the parsed header.
fn read_header(reader: &mut impl Read) -> Result<(Vec<u8>, Metadata)> {
    const LENGTH: usize = size_of::<u64>();
    let mut bytes = Vec::new();
    reader.take(LENGTH as u64).read_to_end(&mut bytes)?;
    let length: [u8; LENGTH] = bytes[..]
        .try_into()
        .map_err(|_| SafeTensorError::HeaderTooSmall)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= MAX_HEADER, SafeTensorError::HeaderTooLarge);
    // Allocates only as many bytes as the file contains, even if the header claims a much larger length.
    let found = reader.take(length).read_to_end(&mut bytes)?;
    ensure!(found as u64 == length, SafeTensorError::InvalidHeaderLength);
    let metadata = serde_json::from_slice(&bytes[LENGTH..])?;
    Ok((bytes, metadata))
}
