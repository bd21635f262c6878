//! `.npy` files of float32: in, and out again with the same header.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use ndarray_npy::npy::header::{Header, ParseHeaderError, ReadHeaderError};

/// An array as its file has it: shape, order of axes and byte order are kept.
pub(crate) struct Array {
    header: Header,
    big_endian: bool,
    pub(crate) values: Vec<f32>,
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
    fn from_reader(reader: &mut impl Read, size: Option<u64>) -> Result<Self> {
        let mut reader = Counted { reader, count: 0 };
        let header = read_header(&mut reader)?;
        let big_endian = is_big_endian(&header)?;
        let shape = &header.shape;
        let len = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d))
        };
        let needed = len
            .and_then(|len| len.checked_mul(size_of::<f32>()))
            .filter(|&n| isize::try_from(n).is_ok());
        let (Some(len), Some(needed)) = (len, needed) else {
            bail!("shape {shape:?} has more elements than this machine can address");
        };
        let wrong_size = |found: &str| {
            format!("shape {shape:?} of float32 needs {needed} bytes of data, found {found}")
        };

        let mut values = Vec::new();
        if let Some(size) = size {
            let found = size.saturating_sub(reader.count);
            ensure!(found == needed as u64, wrong_size(&found.to_string()));
            values
                .try_reserve_exact(len)
                .with_context(|| format!("out of memory for {needed} bytes"))?;
        }
        // What comes through a pipe is believed piece by piece, so that a false header cannot ask for all memory.
        const PIECE: usize = 1 << 20;
        while values.len() < len {
            let start = values.len();
            let piece = PIECE.min(len - start);
            values
                .try_reserve(piece)
                .with_context(|| format!("out of memory for {needed} bytes"))?;
            values.resize(start + piece, 0.0);
            let bytes = bytemuck::cast_slice_mut(&mut values[start..]);
            let found = fill(&mut reader, bytes)?;
            ensure!(
                found == bytes.len(),
                wrong_size(&(start * size_of::<f32>() + found).to_string())
            );
        }
        ensure!(fill(&mut reader, &mut [0])? == 0, wrong_size("more"));
        swap_bytes(big_endian, &mut values);
        Ok(Self {
            header,
            big_endian,
            values,
        })
    }

    /// Its dimensions, in the file's order.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Writes it as it was read, but for the values.
    pub(crate) fn write(mut self, writer: &mut impl Write) -> Result<()> {
        self.header.write(&mut *writer)?;
        swap_bytes(self.big_endian, &mut self.values);
        writer.write_all(bytemuck::cast_slice(&self.values))?;
        Ok(())
    }
}

// ---- Internals ----

/// NumPy refuses longer headers too, by default (`numpy.lib.format`, `_MAX_HEADER_SIZE`).
const MAX_HEADER: usize = 10_000;

fn read_header(reader: &mut impl Read) -> Result<Header> {
    let mut start = [0; 12];
    let found = fill(reader, &mut start)?;
    ensure!(
        start.starts_with(b"\x93NUMPY"),
        "not a .npy file: it does not start with \\x93NUMPY"
    );
    // Other versions are refused by what follows, whatever these bytes mean there.
    let length = match start[6] {
        1 => usize::from(u16::from_le_bytes([start[8], start[9]])),
        2 | 3 => usize::try_from(u32::from_le_bytes([
            start[8], start[9], start[10], start[11],
        ]))?,
        _ => 0,
    };
    ensure!(
        length <= MAX_HEADER,
        "header of {length} bytes, needed at most {MAX_HEADER}"
    );
    Header::from_reader(&mut start[..found].chain(reader)).map_err(|error| match error {
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

fn is_big_endian(header: &Header) -> Result<bool> {
    let descriptor = &header.type_descriptor;
    match descriptor.as_string().map(String::as_str) {
        Some("<f4") => Ok(false),
        Some(">f4") => Ok(true),
        Some(name) => bail!(
            "dtype {} is not supported, needed float32 ('<f4' or '>f4')",
            describe(name)
        ),
        None => {
            bail!("structured dtype {descriptor} is not supported, needed float32 ('<f4' or '>f4')")
        }
    }
}

/// NumPy's name for a type string, with the string itself.
fn describe(type_string: &str) -> String {
    let name = match type_string.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => "float16",
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

fn swap_bytes(big_endian: bool, values: &mut [f32]) {
    if big_endian != cfg!(target_endian = "big") {
        for value in values {
            *value = f32::from_bits(value.to_bits().swap_bytes());
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
