//! `.safetensors` files: in, and out again with the same header and other values.

use std::{fs, io::Write, ops::Range, path::Path};

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, SafeTensors};
use wgpu_elu::DType;

/// A whole file, whose tensors can be replaced by others of the same shape and dtype. All else is kept as it is.
pub(crate) struct Tensors {
    bytes: Vec<u8>,
    /// By their order in the data.
    entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// The file's name for its dtype.
    pub(crate) stored: String,
    /// Its dtype, if it is one that ELU is made for.
    pub(crate) dtype: Option<DType>,
    range: Range<usize>,
}

impl Tensors {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || {
            ensure!(!path.is_dir(), "needed a .safetensors file, found a folder");
            Self::from_bytes(fs::read(path)?)
        };
        read().with_context(|| path.display().to_string())
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).context("not a .safetensors file")?;
        // Eight bytes for the header's length come first.
        let data = size_of::<u64>() + header;
        let entry = |name: String| {
            let info = metadata.info(&name)?;
            let (start, end) = info.data_offsets;
            Some(Entry {
                shape: info.shape.clone(),
                stored: info.dtype.to_string(),
                dtype: match info.dtype {
                    Dtype::F16 => Some(DType::F16),
                    Dtype::BF16 => Some(DType::BF16),
                    Dtype::F32 => Some(DType::F32),
                    Dtype::F64 => Some(DType::F64),
                    _ => None,
                },
                range: data + start..data + end,
                name,
            })
        };
        let entries = metadata
            .offset_keys()
            .into_iter()
            .filter_map(entry)
            .collect();
        Ok(Self { bytes, entries })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry's elements in this machine's byte order.
    pub(crate) fn get(&self, entry: &Entry) -> Vec<u8> {
        swapped(entry, self.bytes[entry.range.clone()].to_vec())
    }

    /// Replaces the elements of the entry at `index` by as many others.
    pub(crate) fn set(&mut self, index: usize, elements: Vec<u8>) {
        let entry = &self.entries[index];
        let elements = swapped(entry, elements);
        self.bytes[entry.range.clone()].copy_from_slice(&elements);
    }

    pub(crate) fn write(self, writer: &mut impl Write) -> Result<()> {
        writer.write_all(&self.bytes)?;
        Ok(())
    }
}

// ---- Internals ----

/// The file's byte order is little-endian everywhere.
fn swapped(entry: &Entry, mut bytes: Vec<u8>) -> Vec<u8> {
    if let (true, Some(dtype)) = (cfg!(target_endian = "big"), entry.dtype) {
        bytes
            .chunks_exact_mut(dtype.size())
            .for_each(<[u8]>::reverse);
    }
    bytes
}
