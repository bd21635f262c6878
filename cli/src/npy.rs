//! Reads `.npy` files of floating-point numbers, and writes files with the same header.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use ndarray_npy::npy::header::{Header, ParseHeaderError, ReadHeaderError};
use wgpu_elu::DType;

use crate::bytes::{Exact, Ordered, fill};

/// The format of a file's array: its shape, axis order, dtype and byte order. The output has the same format.
#[derive(Debug)]
pub struct Form {
    header: Header,
    dtype: DType,
    big_endian: bool,
    len: usize,
}

/// A reader of a file's elements, which it returns in this machine's byte order.
pub type Elements<R> = Ordered<Exact<R>>;

/// Opens a file and reads its header. The path `-` is standard input.
///
/// # Errors
///
/// Returns the errors of [`read`] and of opening the file, with the file's path.
pub fn open(path: &Path) -> Result<(Form, Elements<Box<dyn Read>>)> {
    let open = || {
        if path == Path::new("-") {
            return read(Box::new(io::stdin().lock()) as _, None);
        }
        ensure!(!path.is_dir(), "needed a .npy file, found a directory");
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let size = metadata.is_file().then_some(metadata.len());
        read(Box::new(file) as _, size)
    };
    open().with_context(|| name(path))
}

/// Returns the name of an input for error messages.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

/// Reads the header, and returns it with a reader of the elements. `size` is the size of the whole file in bytes, if it
/// is known.
///
/// # Errors
///
/// Returns an error if reading fails, if the header is invalid or longer than 10,000 bytes, if the dtype is not
/// float16, float32 or float64, if the array has more than 64 dimensions or more elements than this machine can
/// address, or if `size` does not match the shape. If `size` is unknown and the data is too short or too long, reading
/// the elements fails.
pub fn read<R: Read>(reader: R, size: Option<u64>) -> Result<(Form, Elements<R>)> {
    let mut reader = Counted { reader, count: 0 };
    let header = read_header(&mut reader)?;
    let (dtype, big_endian) = format(&header)?;
    let shape = &header.shape;
    let dimensions = shape.len();
    ensure!(
        dimensions <= MAX_DIMENSIONS,
        "shape of {dimensions} dimensions, needed at most {MAX_DIMENSIONS}"
    );
    let len = if shape.contains(&0) {
        Some(0)
    } else {
        shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d))
    };
    let bytes = len
        .and_then(|len| len.checked_mul(dtype.size()))
        .filter(|&n| isize::try_from(n).is_ok());
    let (Some(len), Some(bytes)) = (len, bytes) else {
        bail!("shape {shape:?} has more elements than this machine can address");
    };
    let Counted { reader, count } = reader;
    let data = Exact::new(reader, bytes as u64, format!("shape {shape:?} of {dtype}"));
    if let Some(size) = size {
        let found = size.saturating_sub(count);
        ensure!(found == bytes as u64, data.wrong_size(found));
    }
    let form = Form {
        dtype,
        big_endian,
        len,
        header,
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
        &self.header.shape
    }

    /// Returns whether the array has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the header, and returns a writer that takes elements in this machine's byte order and writes them in the
    /// file's byte order.
    ///
    /// # Errors
    ///
    /// Returns the errors of `writer`.
    pub fn write<W: Write>(&self, mut writer: W) -> io::Result<Ordered<W>> {
        let mut header = Vec::new();
        self.header.write(&mut header).map_err(io::Error::other)?;
        writer.write_all(&header)?;
        Ok(Ordered::new(writer, self.dtype.size(), self.big_endian))
    }
}

// ---- Internals ----

/// The longest header in bytes. It is also NumPy's default limit (`numpy.lib.format`, `_MAX_HEADER_SIZE`).
const MAX_HEADER: usize = 10_000;

/// A bound on the number of bytes that the parser reads, repetitions included: the header's length, times 2 for each
/// doubling that [`read_header`] counts. It is enough for the longest header of a supported array, which has one brace
/// and one parenthesis.
const MAX_WORK: usize = 1 << 17;

/// The largest number of dimensions, as in NumPy 2 (`NPY_MAXDIMS`). With many more dimensions, the written header could
/// exceed [`MAX_HEADER`] although the header that was read did not.
const MAX_DIMENSIONS: usize = 64;

/// Reads and parses everything before the data.
fn read_header(reader: &mut impl Read) -> Result<Header> {
    let mut start = [0; 12];
    let start_len = fill(reader, &mut start)?;
    ensure!(
        start.starts_with(b"\x93NUMPY"),
        "not a .npy file: it does not start with \\x93NUMPY"
    );
    // For an unknown version, reads only the start. The parser below rejects the version.
    let (prefix, length) = match start[6] {
        1 => (10, usize::from(u16::from_le_bytes([start[8], start[9]]))),
        2 | 3 => {
            let length = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
            (12, usize::try_from(length)?)
        }
        _ => (start.len(), 0),
    };
    ensure!(
        length <= MAX_HEADER,
        "header of {length} bytes, needed at most {MAX_HEADER}"
    );
    let mut bytes = start[..start_len].to_vec();
    bytes.resize(start_len.max(prefix + length), 0);
    let count = start_len + fill(reader, &mut bytes[start_len..])?;
    bytes.truncate(count);
    // The parser backtracks. If no comma follows the last element in parentheses or square brackets, it reads that
    // element twice. It reads braces as a dictionary, and again as a set if that fails, so it may read a part of them
    // up to four times. The work multiplies with nesting: each parenthesis or square bracket may double it, and each
    // brace may double it twice. A few dozen nested brackets would take practically forever.
    let doublings = |byte: &u8| match byte {
        b'(' | b'[' => 1,
        b'{' => 2,
        _ => 0,
    };
    let all_doublings: u32 = bytes.iter().skip(prefix).map(doublings).sum();
    ensure!(
        all_doublings <= (MAX_WORK / bytes.len()).ilog2(),
        "bad .npy header: too many brackets; structured dtypes are not supported"
    );
    Header::from_reader(&mut &*bytes).map_err(|error| match error {
        ReadHeaderError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            anyhow::anyhow!("truncated .npy header")
        }
        ReadHeaderError::Parse(ParseHeaderError::Version { major, minor }) => {
            anyhow::anyhow!(".npy version {major}.{minor}, needed 1.0, 2.0 or 3.0")
        }
        ReadHeaderError::Parse(error) => match one_line(&error.to_string()) {
            // The parser checks before each step whether the stack suffices.
            message if message.contains("stack limit reached") => {
                anyhow::anyhow!("the thread's stack is too small to parse the header")
            }
            message => anyhow::anyhow!("bad .npy header: {message}"),
        },
        error => error.into(),
    })
}

/// Returns the dtype, and whether the elements are big-endian.
fn format(header: &Header) -> Result<(DType, bool)> {
    const NEEDED: &str = "float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')";
    let descriptor = &header.type_descriptor;
    let Some(name) = descriptor.as_string() else {
        bail!("structured dtype {descriptor} is not supported, needed {NEEDED}");
    };
    let dtype = match name.get(1..) {
        Some("f2") => DType::F16,
        Some("f4") => DType::F32,
        Some("f8") => DType::F64,
        _ => bail!("dtype {} is not supported, needed {NEEDED}", describe(name)),
    };
    match name.as_bytes()[0] {
        b'<' => Ok((dtype, false)),
        b'>' => Ok((dtype, true)),
        _ => bail!("dtype {} is not supported, needed {NEEDED}", describe(name)),
    }
}

/// Returns NumPy's name for a type string, followed by the string, such as `int64 ('<i8')`.
fn describe(type_string: &str) -> String {
    let name = match type_string.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => "float16",
        "f4" => "float32",
        "f8" => "float64",
        "f16" => "longdouble",
        "i1" => "int8",
        "i2" => "int16",
        "i4" => "int32",
        "i8" => "int64",
        "u1" => "uint8",
        "u2" => "uint16",
        "u4" => "uint32",
        "u8" => "uint64",
        "b1" => "bool",
        "c8" => "complex64",
        "c16" => "complex128",
        "O" => "object",
        _ => return format!("'{type_string}'"),
    };
    format!("{name} ('{type_string}')")
}

/// Replaces line breaks and repeated spaces with one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A reader that counts the bytes that were read from it.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(bytes)?;
        self.count += count as u64;
        Ok(count)
    }
}
