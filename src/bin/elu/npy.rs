//! `.npy` files of floats: in, and out again with the same header.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use ndarray_npy::npy::header::{Header, ParseHeaderError, ReadHeaderError};
use wgpu_elu::DType;

/// An array as its file has it: shape, order of axes and byte order are kept.
pub(crate) struct Array {
    header: Header,
    dtype: DType,
    big_endian: bool,
    /// The elements in this machine's byte order.
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    /// Reads a whole file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::from_reader(&mut io::stdin().lock(), None).context("standard input");
        }
        let read = || {
            ensure!(!path.is_dir(), "needed a .npy file, found a folder");
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let size = metadata.is_file().then_some(metadata.len());
            Self::from_reader(&mut BufReader::new(file), size)
        };
        read().with_context(|| path.display().to_string())
    }

    /// `size` is that of the whole file, where it is known.
    pub(crate) fn from_reader(reader: &mut impl Read, size: Option<u64>) -> Result<Self> {
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
        let needed = len
            .and_then(|len| len.checked_mul(dtype.size()))
            .filter(|&n| isize::try_from(n).is_ok());
        let Some(needed) = needed else {
            bail!("shape {shape:?} has more elements than this machine can address");
        };
        let wrong_size = |found: &str| {
            format!("shape {shape:?} of {dtype} needs {needed} bytes of data, found {found}")
        };

        let mut bytes = Vec::new();
        if let Some(size) = size {
            let found = size.saturating_sub(reader.count);
            ensure!(found == needed as u64, wrong_size(&found.to_string()));
            bytes
                .try_reserve_exact(needed)
                .with_context(|| format!("out of memory for {needed} bytes"))?;
        }
        // What comes through a pipe is believed piece by piece, so that a false header cannot ask for all memory.
        const PIECE: usize = 1 << 22;
        while bytes.len() < needed {
            let start = bytes.len();
            let piece = PIECE.min(needed - start);
            bytes
                .try_reserve(piece)
                .with_context(|| format!("out of memory for {needed} bytes"))?;
            bytes.resize(start + piece, 0);
            let found = fill(&mut reader, &mut bytes[start..])?;
            ensure!(found == piece, wrong_size(&(start + found).to_string()));
        }
        ensure!(fill(&mut reader, &mut [0])? == 0, wrong_size("more"));
        swap_bytes(dtype, big_endian, &mut bytes);
        Ok(Self {
            header,
            dtype,
            big_endian,
            bytes,
        })
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its dimensions, in the file's order.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Writes it as it was read, but for the values.
    pub(crate) fn write(mut self, writer: &mut impl Write) -> Result<()> {
        self.header.write(&mut *writer)?;
        swap_bytes(self.dtype, self.big_endian, &mut self.bytes);
        writer.write_all(&self.bytes)?;
        Ok(())
    }
}

// ---- Internals ----

/// NumPy refuses longer headers too, by default (`numpy.lib.format`, `_MAX_HEADER_SIZE`).
const MAX_HEADER: usize = 10_000;

/// Enough for the longest header of an array that is supported, which has a brace and a parenthesis.
const MAX_WORK: usize = 1 << 17;

/// NumPy's (`NPY_MAXDIMS`). With many more, the header that is written could be longer than the one that was read, and
/// longer than what can be read.
const MAX_DIMENSIONS: usize = 64;

fn read_header(reader: &mut impl Read) -> Result<Header> {
    let mut start = [0; 12];
    let found = fill(reader, &mut start)?;
    ensure!(
        start.starts_with(b"\x93NUMPY"),
        "not a .npy file: it does not start with \\x93NUMPY"
    );
    // Other versions are refused by what follows, whatever these bytes mean there.
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
    let mut bytes = start[..found].to_vec();
    bytes.resize(found.max(prefix + length), 0);
    let found = found + fill(reader, &mut bytes[found..])?;
    bytes.truncate(found);
    // The parser goes twice through what stands in a bracket, up to four times in a brace, and brackets stand within
    // brackets: a few dozen of them would take it forever.
    let doublings = |byte: &u8| match byte {
        b'(' | b'[' => 1,
        b'{' => 2,
        _ => 0,
    };
    let doubled: u32 = bytes.iter().skip(prefix).map(doublings).sum();
    ensure!(
        doubled <= (MAX_WORK / bytes.len()).ilog2(),
        "bad .npy header: too many brackets; structured dtypes are not supported"
    );
    Header::from_reader(&mut &*bytes).map_err(|error| match error {
        ReadHeaderError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            anyhow::anyhow!("truncated .npy header")
        }
        ReadHeaderError::Parse(ParseHeaderError::Version { major, minor }) => {
            anyhow::anyhow!(".npy version {major}.{minor}, needed 1.0, 2.0 or 3.0")
        }
        ReadHeaderError::Parse(error) => {
            anyhow::anyhow!("bad .npy header: {}", one_line(&error.to_string()))
        }
        error => error.into(),
    })
}

/// The dtype, and whether it is big-endian.
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

/// NumPy's name for a type string, with the string itself.
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

fn swap_bytes(dtype: DType, big_endian: bool, bytes: &mut [u8]) {
    if big_endian != cfg!(target_endian = "big") {
        for element in bytes.chunks_exact_mut(dtype.size()) {
            element.reverse();
        }
    }
}

/// Reads until `bytes` is full or the end is reached; how many were read.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while found < bytes.len() {
        match reader.read(&mut bytes[found..]) {
            Ok(0) => break,
            Ok(count) => found += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A reader that knows how much was read.
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
