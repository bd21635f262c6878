//! Recognizes the format of a file by its first bytes, because names can be wrong, and the blobs of download caches
//! have no extension.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use wgpu_elu::DType;

/// A file format that `elu run` reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Npy,
    Npz,
    Safetensors,
    /// Elements without a header. No content is recognized as this format: only `--raw` selects it.
    Raw(DType),
}

/// The number of bytes that [`format`] needs from the start of a file, or all bytes if the file is shorter. It is
/// smaller than the header that NumPy writes, so that a pipe need not deliver data before the header is read.
pub(crate) const START_LEN: usize = 64;

/// The formats, for error messages.
pub(crate) const NEEDED: &str = "a .npy, .npz or .safetensors file";

impl Format {
    /// Returns the identifier of the format in JSON.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
            Self::Raw(_) => "raw",
        }
    }

    /// Returns the extension without its dot, or `None` if files of this format may have any name.
    pub(crate) fn extension(self) -> Option<&'static str> {
        match self {
            Self::Raw(_) => None,
            _ => Some(self.id()),
        }
    }
}

/// Returns the format of the file that starts with `start`. The path matters only if no format is recognized: its
/// extension then selects the reader, whose error says what is wrong.
///
/// # Errors
///
/// Returns an error if the file is empty, if it has a known format that `elu run` does not read, or if neither the
/// content nor the extension is known.
pub(crate) fn format(start: &[u8], path: &Path) -> Result<Format> {
    ensure!(!start.is_empty(), "found no data, needed {NEEDED}");
    // A safetensors header may have a length whose bytes are the signature of another format.
    if is_safetensors(start) {
        return Ok(Format::Safetensors);
    }
    if start.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    }
    if is_zip(start) {
        return Ok(Format::Npz);
    }
    if let Some((found, advice)) = foreign(start) {
        return Err(unreadable(found, advice));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(name) if name.eq_ignore_ascii_case("npy") => Ok(Format::Npy),
        Some(name) if name.eq_ignore_ascii_case("npz") => Ok(Format::Npz),
        Some(name) if name.eq_ignore_ascii_case("safetensors") => Ok(Format::Safetensors),
        _ => {
            bail!("found an unknown format, needed {NEEDED}, or --raw for numbers without a header")
        }
    }
}

/// Returns whether a file that starts with `start` is a ZIP archive. The second signature starts an archive without
/// members.
pub(crate) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")
}

/// Returns the error for a file of a known format that `elu run` does not read.
pub(crate) fn unreadable(found: &str, advice: &str) -> anyhow::Error {
    anyhow::anyhow!("found {found}, needed {NEEDED}: {advice}")
}

/// Returns the name of a format that `elu run` does not read, and what to do with such a file.
pub(crate) fn foreign(start: &[u8]) -> Option<(&'static str, &'static str)> {
    // The number 0x1950a86a20f9469cfc6c as a pickle: files of PyTorch before version 1.6.
    const OLD_PYTORCH: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const SIGNATURES: [(&[u8], (&str, &str)); 8] = [
        (
            b"\x1f\x8b",
            ("a gzip file", "decompress it with gunzip first"),
        ),
        (b"\x89HDF\r\n\x1a\n", ("an HDF5 file", READ_HDF5)),
        (
            b"version https://git-lfs.github.com/spec/",
            ("a Git LFS pointer", "run `git lfs pull` to get the file"),
        ),
        (OLD_PYTORCH, PYTORCH),
        (b"\x80\x02", PICKLE),
        (b"\x80\x03", PICKLE),
        (b"\x80\x04", PICKLE),
        (b"\x80\x05", PICKLE),
    ];
    let known = SIGNATURES
        .iter()
        .find(|(signature, _)| start.starts_with(signature));
    known.map(|&(_, texts)| texts).or_else(|| {
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let text = text.trim_ascii_start().to_ascii_lowercase();
        let is_html = text.starts_with(b"<!doctype html") || text.starts_with(b"<html");
        is_html.then_some((
            "a web page",
            "download the file again and check the address, which may need a login",
        ))
    })
}

/// The name of PyTorch's format and what to do with such a file.
pub(crate) const PYTORCH: (&str, &str) = (
    "a PyTorch file",
    "load it with torch.load and save its tensors with safetensors.torch.save_file",
);

/// What to do with an HDF5 file.
pub(crate) const READ_HDF5: &str = "read it with h5py and save each array with numpy.save";

// ---- Internals ----

/// Returns whether the bytes are the length of a header, at most that of the crate `safetensors`, and its first brace.
fn is_safetensors(start: &[u8]) -> bool {
    start.split_first_chunk().is_some_and(|(length, header)| {
        u64::from_le_bytes(*length) <= crate::safetensors::MAX_HEADER && header.starts_with(b"{")
    })
}

/// The name of the format of Python's pickle module and what to do with such a file.
const PICKLE: (&str, &str) = (
    "a pickle file",
    "load it in Python and save each array with numpy.save",
);
