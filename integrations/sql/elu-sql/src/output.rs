//! Where the result of a query goes: to the terminal, or to Parquet files that appear complete or not at all.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use datafusion::{
    arrow::{
        array::RecordBatch, datatypes::SchemaRef, error::ArrowError,
        util::pretty::pretty_format_batches_with_schema,
    },
    parquet::arrow::ArrowWriter,
};
use tempfile::{NamedTempFile, TempDir};

/// The number of rows in a file of a directory, rounded up to whole batches.
const ROWS_OF_A_PART: u64 = if cfg!(test) { 3 } else { 1 << 24 };

/// Where the result goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Prints this number of rows.
    Print(usize),
    /// Writes a Parquet file.
    File(PathBuf),
    /// Writes a directory of Parquet files.
    Directory(PathBuf),
}

impl Target {
    /// Fails if nothing can be written to `path`.
    pub(crate) fn new(path: Option<&Path>, rows: usize) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Print(rows));
        };
        let name = path.display();
        if path.symlink_metadata().is_ok() {
            bail!("{name} exists: remove it, or write to another name");
        }
        let directory = parent(path);
        if !directory.is_dir() {
            bail!("{name}: there is no directory {}", directory.display());
        }
        if path.to_string_lossy().ends_with('/') {
            return Ok(Self::Directory(path.into()));
        }
        match path.extension() {
            Some(extension) if extension == "parquet" => Ok(Self::File(path.into())),
            _ => bail!("{name}: needed a name that ends in .parquet, or in / for a directory"),
        }
    }

    /// Opens the target. Nothing is visible there until [`Sink::finish`].
    pub(crate) fn open(&self, schema: SchemaRef) -> Result<Sink> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".elu-sql-").suffix(".tmp");
        // The permissions of any new file or directory. Without this, only its owner may read it.
        let is_directory = matches!(self, Self::Directory(_));
        let mode = if is_directory { 0o777 } else { 0o666 };
        let builder = builder.permissions(fs::Permissions::from_mode(mode));
        let in_directory = |path: &Path| format!("cannot write to {}", parent(path).display());
        let kind = match self {
            Self::Print(limit) => Kind::Print {
                limit: *limit,
                batches: vec![],
            },
            Self::File(path) => {
                let file = builder.tempfile_in(parent(path));
                let file = file.with_context(|| in_directory(path))?;
                let writer = ArrowWriter::try_new(file.reopen()?, schema.clone(), None)?;
                Kind::File {
                    file,
                    writer,
                    path: path.clone(),
                }
            }
            Self::Directory(path) => Kind::Directory {
                directory: builder
                    .tempdir_in(parent(path))
                    .with_context(|| in_directory(path))?,
                part: None,
                parts: 0,
                path: path.clone(),
            },
        };
        Ok(Sink {
            schema,
            rows: 0,
            kind,
        })
    }
}

/// An open target. If it is dropped before [`Sink::finish`], nothing is left.
pub(crate) struct Sink {
    schema: SchemaRef,
    rows: u64,
    kind: Kind,
}

impl Sink {
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let printed = usize::try_from(self.rows).unwrap_or(usize::MAX);
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Print { limit, batches } => {
                let rows = limit.saturating_sub(printed).min(batch.num_rows());
                if rows > 0 {
                    batches.push(batch.slice(0, rows));
                }
            }
            Kind::File { writer, path, .. } => {
                let written = writer.write(&batch);
                written.with_context(|| path.display().to_string())?;
            }
            Kind::Directory {
                directory,
                part,
                parts,
                path,
            } => {
                let mut open = match part.take() {
                    Some(open) => open,
                    None => {
                        let file = directory.path().join(format!("part-{parts:05}.parquet"));
                        *parts += 1;
                        (
                            ArrowWriter::try_new(File::create(file)?, self.schema.clone(), None)?,
                            0,
                        )
                    }
                };
                let written = open.0.write(&batch);
                written.with_context(|| path.display().to_string())?;
                open.1 += batch.num_rows() as u64;
                if open.1 < ROWS_OF_A_PART {
                    *part = Some(open);
                } else {
                    close(open.0)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the result visible. Syncs files to the disk before they get their name, so that a power cut cannot leave
    /// a name without its bytes.
    pub(crate) fn finish(mut self) -> Result<()> {
        if let Kind::Directory { parts: 0, .. } = self.kind {
            self.write(RecordBatch::new_empty(self.schema.clone()))?; // a file that has the names of the columns
        }
        match self.kind {
            Kind::Print { batches, .. } => print(self.schema, &batches, self.rows),
            Kind::File { file, writer, path } => {
                let name = || path.display().to_string();
                close(writer).with_context(name)?;
                let file = file.into_temp_path();
                file.persist_noclobber(&path).with_context(name)?;
                sync_directory(&path).with_context(name)
            }
            Kind::Directory {
                directory,
                part,
                path,
                ..
            } => {
                let name = || path.display().to_string();
                if let Some((writer, _)) = part {
                    close(writer).with_context(name)?;
                }
                File::open(directory.path()).and_then(|directory| directory.sync_all())?;
                if path.symlink_metadata().is_ok() {
                    bail!(
                        "{} exists now: another program created it during the query",
                        name()
                    );
                }
                fs::rename(directory.path(), &path).with_context(name)?;
                let _ = directory.keep(); // has another name now
                sync_directory(&path).with_context(name)
            }
        }
    }
}

// ---- Internals ----

enum Kind {
    Print {
        limit: usize,
        batches: Vec<RecordBatch>,
    },
    File {
        file: NamedTempFile,
        writer: ArrowWriter<File>,
        path: PathBuf,
    },
    Directory {
        directory: TempDir,
        /// The file that is being written, and its rows.
        part: Option<(ArrowWriter<File>, u64)>,
        parts: usize,
        path: PathBuf,
    },
}

fn close(writer: ArrowWriter<File>) -> Result<()> {
    writer.into_inner()?.sync_all()?;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Prints rows as a table. The reader of a pipe may stop early.
fn print(schema: SchemaRef, batches: &[RecordBatch], rows: u64) -> Result<()> {
    let shown: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let table = table(schema, batches)?;
    let more = match rows.saturating_sub(shown as u64) {
        0 => String::new(),
        more => {
            format!("... and {more} more rows: --rows N prints more, -o y.parquet writes all\n")
        }
    };
    match write!(io::stdout(), "{table}\n{more}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn table(schema: SchemaRef, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    Ok(pretty_format_batches_with_schema(schema, batches)?.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::{
        arrow::{
            array::Int32Array,
            datatypes::{DataType, Field, Schema},
        },
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    };

    use super::*;

    fn batch(values: Vec<i32>) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int32Array::from(values))]).unwrap()
    }

    fn files(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn rows(file: &Path) -> usize {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        reader
            .build()
            .unwrap()
            .map(|batch| batch.unwrap().num_rows())
            .sum()
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("y.parquet");
        let target = Target::new(Some(&path), 0).unwrap();
        let mut sink = target.open(batch(vec![]).schema()).unwrap();
        sink.write(batch(vec![1, 2, 3])).unwrap();
        assert!(!path.exists());
        drop(sink);
        assert_eq!(files(directory.path()), [""; 0]);

        let mut sink = target.open(batch(vec![]).schema()).unwrap();
        sink.write(batch(vec![1, 2, 3])).unwrap();
        sink.finish().unwrap();
        assert_eq!(files(directory.path()), ["y.parquet"]);
        assert_eq!(rows(&path), 3);
        assert_eq!(
            Target::new(Some(&path), 0).unwrap_err().to_string(),
            format!(
                "{} exists: remove it, or write to another name",
                path.display()
            )
        );
    }

    #[test]
    fn results_have_the_permissions_of_new_files() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("directory")).unwrap();
        for (result, like) in [("y.parquet", "file"), ("y/", "directory")] {
            let target = Target::new(Some(&at(result)), 0).unwrap();
            let sink = target.open(batch(vec![]).schema()).unwrap();
            sink.finish().unwrap();
            let mode = |name| at(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode(result), mode(like));
        }
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("y.parquet");
        let target = Target::new(Some(&path), 0).unwrap();
        let sink = target.open(batch(vec![]).schema()).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(sink.finish().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(files(directory.path()), ["y.parquet"]);
    }

    #[test]
    fn a_directory_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("y/");
        let target = Target::new(Some(&path), 0).unwrap();
        for (batches, rows_of_parts) in [(0, vec![0]), (1, vec![2]), (3, vec![4, 2])] {
            let mut sink = target.open(batch(vec![]).schema()).unwrap();
            for _ in 0..batches {
                sink.write(batch(vec![1, 2])).unwrap();
            }
            assert!(!path.exists());
            sink.finish().unwrap();
            let parts = files(&path);
            let names = ["part-00000.parquet", "part-00001.parquet"];
            assert_eq!(parts, names[..rows_of_parts.len()]);
            let found: Vec<_> = parts.iter().map(|part| rows(&path.join(part))).collect();
            assert_eq!(found, rows_of_parts);
            fs::remove_dir_all(&path).unwrap();
        }
        assert_eq!(files(directory.path()), [""; 0]);
    }

    #[test]
    fn names_that_cannot_be_written() {
        let error = |path: &str| {
            Target::new(Some(Path::new(path)), 0)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("y.csv"),
            "y.csv: needed a name that ends in .parquet, or in / for a directory"
        );
        assert_eq!(
            error("/no/such/y.parquet"),
            "/no/such/y.parquet: there is no directory /no/such"
        );
    }
}
