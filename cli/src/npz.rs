//! Reads `.npz` files, which are ZIP archives of `.npy` files, and writes archives in which some arrays have other
//! elements.
//!
//! Nothing is unpacked to the disk or held in memory as a whole: the name of a member is never used as a path, and
//! arrays pass through in chunks. The work is bounded by the size of the file, because no byte belongs to two members
//! and DEFLATE cannot compress more than 1,032 to 1.

mod directory;

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write},
    rc::Rc,
};

use anyhow::{Context, Result, bail, ensure};
use wgpu_elu::{DType, Error};
use zip::{
    CompressionMethod, ZipArchive, ZipWriter,
    read::ZipFile,
    result::ZipError,
    write::{SimpleFileOptions, StreamWriter},
};

use crate::{
    bytes::{fill, read_error, write_error},
    content,
    entries::Entry,
    npy::{self, Elements, Form, UnsupportedDtype},
};

/// A file whose members have been looked at.
#[derive(Debug)]
pub struct Archive<R> {
    zip: ZipArchive<BufReader<R>>,
    entries: Vec<Entry>,
}

/// A reader of the bytes of a member.
pub type Member<'a, R> = Checked<ZipFile<'a, BufReader<R>>>;

impl<R: Read + Seek> Archive<R> {
    /// Reads the list of members, and the header of every array. `dtype` is as in [`npy::read`].
    ///
    /// # Errors
    ///
    /// Returns an error if reading fails, if the archive is damaged, if it contains no arrays, if its comment contains
    /// the end of an archive, if its end contradicts its list of members, if two members have the same name or share
    /// bytes, or if a member is encrypted, has a compression method other than those of NumPy, claims to be larger than
    /// its compressed bytes can be, or has an invalid `.npy` header.
    pub fn open(reader: R, dtype: Option<DType>) -> Result<Self> {
        let mut zip = ZipArchive::new(BufReader::new(reader)).map_err(damaged)?;
        // Readers would disagree about which archive this is.
        ensure!(
            !zip.comment().windows(4).any(|bytes| bytes == b"PK\x05\x06"),
            "the archive is damaged: its comment contains the end of an archive"
        );
        ensure!(
            !zip.has_duplicate_names(),
            "two members of the archive have the same name"
        );
        ensure!(
            !zip.has_overlapping_entries().map_err(damaged)?,
            "the archive is damaged: its members overlap"
        );
        let mut zip = ZipArchive::new(directory::check(zip)?).map_err(damaged)?;
        for name in zip.file_names_raw() {
            if name.ends_with(b"/data.pkl") {
                let (found, advice) = content::PYTORCH;
                return Err(content::unreadable(found, advice));
            }
            if name == b"model.weights.h5" {
                let advice = format!("extract model.weights.h5, {}", content::READ_HDF5);
                return Err(content::unreadable("a Keras model", &advice));
            }
        }
        if zip.is_empty() {
            return Err(content::unreadable("an empty ZIP archive", "save it again"));
        }
        let mut names = Vec::with_capacity(zip.len());
        for index in 0..zip.len() {
            let member = zip.by_index_data(index).map_err(damaged)?;
            names.push(String::from_utf8_lossy(member.name_raw()).into_owned());
        }
        let mut has_arrays = false;
        let mut entries = Vec::with_capacity(zip.len());
        for (index, name) in shortened(names)?.into_iter().enumerate() {
            let entry = look_at(&mut zip, index, dtype);
            let entry = entry.with_context(|| format!("member {name:?}"))?;
            has_arrays |= entry.stored != NOT_AN_ARRAY;
            entries.push(Entry { name, ..entry });
        }
        if !has_arrays {
            let advice = "extract it first";
            return Err(content::unreadable("a ZIP archive without arrays", advice));
        }
        Ok(Self { zip, entries })
    }

    /// Returns the members in the order of the archive. Their names do not have the extension `.npy`, unless another
    /// member has the same name without it.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the format and the elements of an array.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`npy::read`], and an error if no member has this index.
    pub fn array(&mut self, index: usize) -> Result<(Form, Elements<Member<'_, R>>)> {
        let member = Checked(self.zip.by_index(index).map_err(damaged)?);
        let size = member.0.size();
        let dtype = self.entries.get(index).and_then(|entry| entry.dtype);
        npy::read(member, Some(size), dtype)
    }
}

/// Writes an archive. If it is dropped before [`Writer::finish`], the archive stays incomplete.
#[derive(Debug)]
pub struct Writer<W: Write + Seek> {
    // Dropped before `zip`, which then cannot write anything.
    failure: DiscardOnDrop,
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> Writer<Sink<W>> {
    /// Writes to a file.
    pub fn new(writer: W) -> Self {
        let (failure, sink) = Sink::new(writer);
        let zip = ZipWriter::new(sink);
        Self { failure, zip }
    }
}

impl<W: Write> Writer<StreamWriter<Sink<W>>> {
    /// Writes to a pipe. The sizes follow the data, because they are not known earlier.
    pub fn new_stream(writer: W) -> Self {
        let (failure, sink) = Sink::new(writer);
        let zip = ZipWriter::new_stream(sink);
        Self { failure, zip }
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Copies a member without decompressing it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Read`] if reading fails, and [`Error::Write`] if writing fails.
    pub fn copy<R: Read + Seek>(
        &mut self,
        archive: &mut Archive<R>,
        index: usize,
    ) -> Result<(), Error> {
        let copied = archive
            .zip
            .by_index_raw(index)
            .and_then(|member| self.zip.raw_copy_file(member));
        self.failure.check().map_err(write_error)?;
        copied.map_err(|error| read_error(error.into()))
    }

    /// Starts a member with the name, the compression method, the time and the permissions of a member of `archive`.
    /// What is written until the next call is its content.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Read`] if no member has this index, and [`Error::Write`] if writing fails.
    pub fn start<R: Read + Seek>(
        &mut self,
        archive: &mut Archive<R>,
        index: usize,
    ) -> Result<(), Error> {
        let member = archive.zip.by_index_raw(index);
        let member = member.map_err(|error| read_error(error.into()))?;
        let mut options = SimpleFileOptions::default()
            .compression_method(member.compression())
            // As NumPy does. Otherwise the size would be needed before the data is compressed.
            .large_file(true);
        if let Some(time) = member.last_modified() {
            options = options.last_modified_time(time);
        }
        // Without a mode, the crate would try to seek in a pipe.
        if let Some(mode) = member.unix_mode() {
            options = options.unix_permissions(mode);
        }
        let started = self
            .zip
            .start_file_with_options(options.name(member.name_raw()));
        self.failure.check().map_err(write_error)?;
        started.map_err(|error| write_error(error.into()))
    }

    /// Writes the list of members. `archive` is the archive that was read, whose comment is kept.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Write`] if writing fails.
    pub fn finish<R: Read + Seek>(self, archive: &Archive<R>) -> Result<(), Error> {
        let Self { failure, mut zip } = self;
        let finished = zip
            .set_raw_comment(archive.zip.comment().into())
            .and_then(|()| zip.finish().map(drop));
        failure.check().map_err(write_error)?;
        finished.map_err(|error| write_error(error.into()))
    }
}

impl<W: Write + Seek> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.zip.write(bytes);
        self.failure.check()?;
        written
    }

    /// Does nothing: a member is written completely when the next one starts, and flushing its compression earlier
    /// would make it larger.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that explains the errors of damaged data.
#[derive(Debug)]
pub struct Checked<R>(R);

impl<R> Checked<R> {
    /// Wraps a reader of a member.
    pub(crate) fn new(reader: R) -> Self {
        Self(reader)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).map_err(|error| {
            if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let text = lower(&error.to_string());
            io::Error::new(error.kind(), format!("the data is damaged: {text}"))
        })
    }
}

/// The sink of a [`ZipWriter`], which writes the end of its archive when it is dropped, and prints an error if that
/// fails. So this sink reports no error. It keeps the first one, and discards everything that follows.
#[derive(Debug)]
pub struct Sink<W> {
    writer: W,
    failure: Rc<Failure>,
    /// The position and the size of the archive, as if nothing had failed.
    position: u64,
    size: u64,
}

// ---- Internals ----

/// What [`Entry::stored`] is for a member that is not a `.npy` file.
const NOT_AN_ARRAY: &str = "other data";

/// The largest ratio of DEFLATE: 2 bits can stand for 258 bytes.
const MAX_RATIO: u64 = 258 * 8 / 2;

/// Checks a member, and reads its header if it is an array. Like NumPy, decides by the content, not by the name.
/// Returns an entry without its name.
fn look_at<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    index: usize,
    dtype: Option<DType>,
) -> Result<Entry> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let member = zip.by_index_data(index).map_err(damaged)?;
    ensure!(
        !member.encrypted(),
        "is encrypted, needed an archive without a password"
    );
    let (method, compressed) = (member.compression(), member.compressed_size());
    let largest = match method {
        CompressionMethod::Stored => compressed,
        CompressionMethod::Deflated => compressed.saturating_mul(MAX_RATIO),
        _ => bail!(
            "is compressed with {method}, needed DEFLATE or no compression: save it again with numpy.savez_compressed"
        ),
    };
    let size = member.size();
    ensure!(
        size <= largest,
        "claims {size} bytes, but its {compressed} compressed bytes can contain at most {largest}"
    );
    let mut member = Checked(zip.by_index(index).map_err(damaged)?);
    let mut start = [0; MAGIC.len()];
    let count = fill(&mut member, &mut start)?;
    let mut entry = Entry {
        name: String::new(),
        stored: NOT_AN_ARRAY.into(),
        dtype: None,
        shape: Vec::new(),
        size,
    };
    if start[..count] != *MAGIC {
        return Ok(entry);
    }
    match npy::read(Cursor::new(start).chain(member), Some(size), dtype) {
        Ok((form, _)) => {
            let dtype = form.dtype();
            entry.stored = dtype.to_string();
            entry.dtype = Some(dtype);
            entry.shape = form.shape().to_owned();
            entry.size = (form.len() * dtype.size()) as u64;
        }
        Err(error) => match error.downcast::<UnsupportedDtype>() {
            Ok(unsupported) => entry.stored = unsupported.name,
            Err(error) => return Err(error),
        },
    }
    Ok(entry)
}

/// Removes `.npy` from every name, except where the rest is the name of another member. Fails if two names are the
/// same, because bytes that are not UTF-8 were replaced.
fn shortened(names: Vec<String>) -> Result<Vec<String>> {
    let all: HashSet<String> = names.iter().cloned().collect();
    ensure!(
        all.len() == names.len(),
        "two members have names that differ only in bytes that are not UTF-8"
    );
    let shorten = |name: String| match name.strip_suffix(".npy") {
        Some(short) if !all.contains(short) => short.to_owned(),
        _ => name,
    };
    Ok(names.into_iter().map(shorten).collect())
}

/// Explains an error of the crate `zip`.
pub(crate) fn damaged(error: ZipError) -> anyhow::Error {
    let text = match &error {
        ZipError::Io(io) if io.raw_os_error().is_none() => io.to_string(),
        ZipError::InvalidArchive(text) => text.to_string(),
        _ => return error.into(),
    };
    anyhow::anyhow!("the archive is damaged or cut off: {}", lower(&text))
}

/// Returns the text with its first letter in lower case.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Whether writing failed, and the error until it is reported.
#[derive(Debug, Default)]
struct Failure {
    has_failed: Cell<bool>,
    error: RefCell<Option<io::Error>>,
}

/// When this is dropped, the [`Sink`] discards everything that is written after that.
#[derive(Debug)]
struct DiscardOnDrop(Rc<Failure>);

impl DiscardOnDrop {
    fn check(&self) -> io::Result<()> {
        self.0.error.take().map_or(Ok(()), Err)
    }
}

impl Drop for DiscardOnDrop {
    fn drop(&mut self) {
        self.0.has_failed.set(true);
    }
}

impl<W> Sink<W> {
    fn new(writer: W) -> (DiscardOnDrop, Self) {
        let failure = Rc::new(Failure::default());
        let sink = Self {
            writer,
            failure: failure.clone(),
            position: 0,
            size: 0,
        };
        (DiscardOnDrop(failure), sink)
    }

    /// Calls `work` unless something failed before. Keeps its error.
    fn attempt(&mut self, work: impl FnOnce(&mut W) -> io::Result<()>) {
        if !self.failure.has_failed.get()
            && let Err(error) = work(&mut self.writer)
        {
            self.failure.has_failed.set(true);
            self.failure.error.replace(Some(error));
        }
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|writer| writer.write_all(bytes));
        self.position += bytes.len() as u64;
        self.size = self.size.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(W::flush);
        Ok(())
    }
}

impl<W: Write + Seek> Seek for Sink<W> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let target = match position {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        let target = target.ok_or(io::ErrorKind::InvalidInput)?;
        // A seek empties the buffer of the writer, so a seek to the same position is left out.
        if target != self.position {
            self.attempt(|writer| writer.seek(SeekFrom::Start(target)).map(drop));
            self.position = target;
        }
        Ok(target)
    }
}
