//! Data and comparison for `scripts/cluster`, without a query engine.
//!
//! `cluster_data generate DIR NUMBERS VECTORS` writes `DIR/numbers` and `DIR/vectors`, 16 Parquet files each. They have
//! a column `id` and a column `x` of float32, or of vectors of 64 float32, with NULL, NaN, infinities, -0 and
//! subnormal numbers. `cluster_data compare A B` compares the columns `id` and `y` of two files to the bit, whatever
//! the order of their rows is.

use std::{fs, fs::File, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch,
        },
        buffer::NullBuffer,
        datatypes::{DataType, Field, Float32Type, Int64Type, Schema},
    },
    parquet::{
        arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        basic::Compression,
        file::properties::WriterProperties,
    },
};

const FILES: u64 = 16;
const DIM: u64 = 64;
const BATCH: u64 = 1 << 16;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", directory, numbers, vectors] => {
            generate(Path::new(directory), "numbers", numbers.parse()?, |ids| {
                Ok(Arc::new(numbers_of(ids)))
            })?;
            generate(
                Path::new(directory),
                "vectors",
                vectors.parse()?,
                vectors_of,
            )
        }
        ["compare", a, b] => compare(Path::new(a), Path::new(b)),
        _ => bail!("needed generate DIR NUMBERS VECTORS, or compare A B"),
    }
}

/// Writes files with the rows that `x` returns for each range of ids.
fn generate(
    directory: &Path,
    name: &str,
    rows: u64,
    x: impl Fn(&[i64]) -> Result<ArrayRef>,
) -> Result<()> {
    let directory = directory.join(name);
    fs::create_dir_all(&directory)?;
    let none = x(&[])?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("x", none.data_type().clone(), true),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    for file in 0..FILES {
        let path = directory.join(format!("{file:02}.parquet"));
        let mut writer = ArrowWriter::try_new(
            File::create(path)?,
            schema.clone(),
            Some(properties.clone()),
        )?;
        let (mut row, end) = (rows * file / FILES, rows * (file + 1) / FILES);
        while row < end {
            let next = (row + BATCH).min(end);
            let ids = (row..next)
                .map(i64::try_from)
                .collect::<Result<Vec<_>, _>>()?;
            let x = x(&ids)?;
            let ids = Arc::new(Int64Array::from(ids));
            writer.write(&RecordBatch::try_new(schema.clone(), vec![ids, x])?)?;
            row = next;
        }
        writer.close()?;
    }
    Ok(())
}

fn numbers_of(ids: &[i64]) -> Float32Array {
    const SPECIAL: [f32; 8] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        0.0,
        -1e-40,
        f32::MIN,
        88.0,
    ];
    let number = |&id: &i64| match usize::try_from(id % 1000) {
        Ok(0) => None,
        Ok(k @ 1..=8) => Some(SPECIAL[k - 1]),
        _ => Some(noise(id)),
    };
    ids.iter().map(number).collect()
}

fn vectors_of(ids: &[i64]) -> Result<ArrayRef> {
    let dim = i64::try_from(DIM)?;
    let elements: Vec<_> = ids.iter().flat_map(|id| id * dim..(id + 1) * dim).collect();
    let nulls: Vec<_> = ids.iter().map(|id| id % 101 != 7).collect();
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    Ok(Arc::new(FixedSizeListArray::try_new(
        item,
        i32::try_from(DIM)?,
        Arc::new(numbers_of(&elements)),
        Some(NullBuffer::from(nulls)),
    )?))
}

/// Returns a number between -6 and 6 that depends on every bit of `id`.
fn noise(id: i64) -> f32 {
    let mut z = id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = u16::try_from(z >> 48).unwrap_or(0);
    let low = u8::try_from(z >> 32 & 0xff).unwrap_or(0);
    (f32::from(bits) + f32::from(low) / 256.0) / 65536.0 * 12.0 - 6.0
}

/// The bits of column `y` by id. Each element has its kind above its bits: 0 missing, 1 a number, 2 NULL.
struct Column {
    width: usize,
    bits: Vec<u64>,
    rows: usize,
}

const NUMBER: u64 = 1 << 32;
const NULL: u64 = 2 << 32;

fn read(path: &Path) -> Result<Column> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = usize::try_from(reader.metadata().file_metadata().num_rows())?;
    let mut column = Column {
        width: 1,
        bits: vec![],
        rows: 0,
    };
    for batch in reader.with_batch_size(1 << 16).build()? {
        let batch = batch?;
        let y = batch.column_by_name("y").context("no column y")?;
        let (values, lists) = match y.data_type() {
            DataType::FixedSizeList(_, width) => {
                column.width = usize::try_from(*width)?;
                (y.as_fixed_size_list().values(), y.nulls())
            }
            _ => (y, None),
        };
        column.bits.resize(rows * column.width, 0);
        let ids = batch.column_by_name("id").context("no column id")?;
        let ids = ids.as_primitive::<Int64Type>().values();
        let values = values.as_primitive::<Float32Type>();
        for (row, &id) in ids.iter().enumerate() {
            let start = usize::try_from(id)? * column.width;
            for element in 0..column.width {
                let (from, to) = (row * column.width + element, start + element);
                let is_null = lists.is_some_and(|lists| lists.is_null(row)) || values.is_null(from);
                let bits = match is_null {
                    true => NULL,
                    false => NUMBER | u64::from(values.value(from).to_bits()),
                };
                let place = column
                    .bits
                    .get_mut(to)
                    .context("an id beyond the number of rows")?;
                ensure!(*place == 0, "id {id} occurs twice in {}", path.display());
                *place = bits;
            }
        }
        column.rows += batch.num_rows();
    }
    Ok(column)
}

fn compare(a: &Path, b: &Path) -> Result<()> {
    let start = Instant::now();
    let (a, b) = (read(a)?, read(b)?);
    let differing = a.bits.iter().zip(&b.bits).filter(|(a, b)| a != b).count();
    let nulls = a.bits.iter().filter(|bits| **bits == NULL).count();
    println!(
        "{} and {} rows of {}, {} values of which {nulls} are NULL: {differing} differ ({:.1} s)",
        a.rows,
        b.rows,
        a.width,
        a.bits.len(),
        start.elapsed().as_secs_f64()
    );
    ensure!(
        differing == 0 && a.rows == b.rows && a.width == b.width && a.rows > 0,
        "the results differ"
    );
    Ok(())
}
