//! Reads `.npy` files of floating-point numbers, and writes files of the same format.

mod descr;
mod header;

use std::io::{self, Read, Write};

use anyhow::{Error, Result, anyhow, bail, ensure};
use wgpu_elu::DType;

use crate::bytes::{Exact, Ordered, fill};
use header::Header;
pub(crate) use header::excerpt;

/// The format of a file's array: its shape, axis order, dtype and byte order. The output has the same format.
#[derive(Debug)]
pub struct Form {
    dtype: DType,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
    len: usize,
}

/// A reader of a file's elements, which it returns in this machine's byte order.
pub type Elements<R> = Ordered<Exact<R>>;

pub use descr::UnsupportedDtype;

/// Reads the header, and returns it with a reader of the elements. `size` is the size of the whole file in bytes, if it
/// is known. `dtype` is bfloat16 if elements of 2 bytes without a type are of this dtype, because a `.npy` file
/// contains only the size of bfloat16.
///
/// # Errors
///
/// Returns an error if reading fails, if the header is invalid or longer than 10,000 bytes, if the dtype is not
/// float16, float32, float64 or `dtype`, if the array has more than 64 dimensions or more elements than this
/// machine can address, or if `size` does not match the shape. If `size` is unknown and the data is too short or too
/// long, reading the elements fails.
pub fn read<R: Read>(
    mut reader: R,
    size: Option<u64>,
    dtype: Option<DType>,
) -> Result<(Form, Elements<R>)> {
    let (header, header_len) = read_header(&mut reader)?;
    let (dtype, big_endian) = descr::parse(&header.descr, dtype)?;
    let shape = header.shape;
    let dimensions = shape.len();
    ensure!(
        dimensions <= MAX_DIMENSIONS,
        "shape of {dimensions} dimensions, needed at most {MAX_DIMENSIONS}"
    );
    let shape_text = excerpt(&format!("{shape:?}"));
    // As in NumPy, the product of the dimensions other than 0 is limited, too.
    let mut factors = shape.iter().filter(|&&dimension| dimension > 0);
    let most = factors
        .try_fold(dtype.size(), |bytes, &dimension| {
            bytes.checked_mul(dimension)
        })
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| too_large(&shape_text))?;
    let bytes = if shape.contains(&0) { 0 } else { most };
    let data = Exact::new(
        reader,
        bytes as u64,
        format!("shape {shape_text} of {dtype} needs"),
    );
    if let Some(size) = size {
        let found = size.saturating_sub(header_len);
        ensure!(found == bytes as u64, data.wrong_size(found));
    }
    let form = Form {
        dtype,
        big_endian,
        fortran_order: header.fortran_order,
        shape,
        len: bytes / dtype.size(),
    };
    Ok((form, Ordered::new(data, dtype.size(), big_endian)))
}

impl Form {
    /// Returns the dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the dimensions as the header lists them.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns whether the elements are in Fortran order: the first index varies fastest.
    pub fn is_fortran_order(&self) -> bool {
        self.fortran_order
    }

    /// Returns whether the array has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the header as NumPy does. Returns a writer that takes elements in this machine's byte order and writes
    /// them in the file's byte order.
    ///
    /// # Errors
    ///
    /// Returns the errors of `writer`.
    pub fn write<W: Write>(&self, mut writer: W) -> io::Result<Ordered<W>> {
        writer.write_all(&self.header()?)?;
        Ok(Ordered::new(writer, self.dtype.size(), self.big_endian))
    }

    /// Returns the bytes before the elements.
    fn header(&self) -> io::Result<Vec<u8>> {
        let dimensions: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let shape = match &dimensions[..] {
            [one] => format!("({one},)"),
            many => format!("({})", many.join(", ")),
        };
        let mut header = format!(
            "{{'descr': '{}', 'fortran_order': {}, 'shape': {shape}, }}",
            descr::format(self.dtype, self.big_endian),
            if self.fortran_order { "True" } else { "False" },
        );
        // NumPy leaves space for the dimension that grows when a program appends to the file.
        let growing = match self.fortran_order {
            true => dimensions.last(),
            false => dimensions.first(),
        };
        let space = growing.map_or(0, |digits| GROWTH_DIGITS.saturating_sub(digits.len()));
        header.extend(std::iter::repeat_n(' ', space));
        let used = (PREFIX + header.len() + 1) % ALIGNMENT;
        header.extend(std::iter::repeat_n(' ', ALIGNMENT - used));
        header.push('\n');
        // With at most `MAX_DIMENSIONS` dimensions, the header always fits into version 1.0.
        let length = u16::try_from(header.len()).map_err(io::Error::other)?;
        Ok([MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat())
    }
}

// ---- Internals ----

/// The first bytes of every file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header in bytes. It is also NumPy's default limit (`numpy.lib.format`, `_MAX_HEADER_SIZE`).
const MAX_HEADER: usize = 10_000;

/// The largest number of dimensions, as in NumPy 2 (`NPY_MAXDIMS`).
const MAX_DIMENSIONS: usize = 64;

/// The number of bytes before the header in version 1.0: [`MAGIC`], the version, and the header's length.
const PREFIX: usize = 10;

/// The alignment of the first element in bytes, as in NumPy (`ARRAY_ALIGN`).
const ALIGNMENT: usize = 64;

/// The space in digits that NumPy leaves for a dimension (`GROWTH_AXIS_MAX_DIGITS`).
const GROWTH_DIGITS: usize = 21;

/// Reads and parses everything before the data. Returns it, and its length in bytes.
fn read_header(reader: &mut impl Read) -> Result<(Header, u64)> {
    let mut prefix = [0; 12];
    let mut needed = |bytes: &mut [u8]| -> Result<bool> { Ok(fill(reader, bytes)? == bytes.len()) };
    let is_complete = needed(&mut prefix[..PREFIX])?;
    ensure!(
        prefix.starts_with(MAGIC),
        "not a .npy file: it does not start with \\x93NUMPY"
    );
    ensure!(is_complete, TRUNCATED);
    let (prefix_len, length) = match prefix[6..8] {
        [1, 0] => (
            PREFIX,
            u32::from(u16::from_le_bytes([prefix[8], prefix[9]])),
        ),
        [2 | 3, 0] => {
            ensure!(needed(&mut prefix[PREFIX..])?, TRUNCATED);
            (
                prefix.len(),
                u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]),
            )
        }
        _ => bail!(
            ".npy version {}.{}, needed 1.0, 2.0 or 3.0",
            prefix[6],
            prefix[7]
        ),
    };
    let length = usize::try_from(length)?;
    ensure!(
        length <= MAX_HEADER,
        "header of {length} bytes, needed at most {MAX_HEADER}"
    );
    let mut bytes = vec![0; length];
    ensure!(needed(&mut bytes)?, TRUNCATED);
    let is_version_3 = prefix[6] == 3;
    let text = if is_version_3 {
        String::from_utf8(bytes).map_err(|_| anyhow!("bad .npy header: it is not UTF-8"))?
    } else {
        bytes.into_iter().map(char::from).collect() // Latin-1
    };
    // Only NumPy on Python 3 writes version 3.
    let header = Header::parse(&text, !is_version_3)?;
    Ok((header, (prefix_len + length) as u64))
}

const TRUNCATED: &str = "truncated .npy header";

/// Builds the error for a shape of too many elements. `shape` is a part of a header.
fn too_large(shape: &str) -> Error {
    anyhow!("shape {} is too large for this machine", excerpt(shape))
}
