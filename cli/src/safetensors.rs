//! `.safetensors` files: in, and out again with the same header and other values.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, SafeTensorError, tensor::Metadata};
use wgpu_elu::DType;

use crate::bytes::Exact;

/// What a file says of its tensors, which come one after the other.
#[derive(Debug)]
pub struct Tensors {
    /// All that stands before them.
    header: Vec<u8>,
    /// By their order in the data.
    entries: Vec<Entry>,
}

/// A tensor of a file.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The file's name for its dtype.
    pub stored: String,
    /// Its dtype, if it is one that ELU is made for.
    pub dtype: Option<DType>,
    /// How many bytes it takes.
    pub size: u64,
}

/// The byte order of these files, everywhere.
pub const BIG_ENDIAN: bool = false;

impl Entry {
    /// Whether it has no elements, or no dtype.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of its elements; 0 without a dtype.
    pub fn len(&self) -> u64 {
        self.dtype
            .map_or(0, |dtype| self.size / dtype.size() as u64)
    }
}

/// Opens a file.
///
/// # Errors
///
/// Those of [`read`], and those of opening the file, with its path.
pub fn open(path: &Path) -> Result<(Tensors, Exact<File>)> {
    let open = || {
        ensure!(!path.is_dir(), "needed a .safetensors file, found a folder");
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let size = metadata.is_file().then_some(metadata.len());
        read(file, size)
    };
    open().with_context(|| path.display().to_string())
}

/// Reads what stands before the tensors. `size` is that of the whole file, where it is known.
///
/// Of more or fewer bytes than there should be, the tensors' reader tells at the end, or here if the size is known.
pub fn read<R: Read>(reader: R, size: Option<u64>) -> Result<(Tensors, Exact<R>)> {
    let mut reader = reader;
    let (header, metadata) = read_header(&mut reader).context(NO_SAFETENSORS)?;
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
            return Err(SafeTensorError::MetadataIncompleteBuffer).context(NO_SAFETENSORS);
        }
    }
    let data = Exact::new(reader, needed, "the header".into());
    Ok((Tensors { header, entries }, data))
}

impl Tensors {
    /// The tensors, in the order of their data.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes all that stands before the tensors as it was read.
    pub fn write(&self, writer: &mut impl Write) -> std::io::Result<()> {
        writer.write_all(&self.header)
    }
}

// ---- Internals ----

const NO_SAFETENSORS: &str = "not a .safetensors file";

/// As the crate's own reader, which wants the whole file in memory.
const MAX_HEADER: u64 = 100_000_000;

/// All bytes before the data, and what they say.
fn read_header(reader: &mut impl Read) -> Result<(Vec<u8>, Metadata)> {
    const LENGTH: usize = size_of::<u64>();
    let mut bytes = Vec::new();
    reader.take(LENGTH as u64).read_to_end(&mut bytes)?;
    let length: [u8; LENGTH] = bytes[..]
        .try_into()
        .map_err(|_| SafeTensorError::HeaderTooSmall)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= MAX_HEADER, SafeTensorError::HeaderTooLarge);
    // Believed only as far as there are bytes.
    let found = reader.take(length).read_to_end(&mut bytes)?;
    ensure!(found as u64 == length, SafeTensorError::InvalidHeaderLength);
    let metadata = serde_json::from_slice(&bytes[LENGTH..])?;
    Ok((bytes, metadata))
}
