//! The Rust half of `scripts/differential-fuzz`, which compares what this program reads with what NumPy and the
//! safetensors package read.
//!
//! Reads paths of files from standard input, one on each line. Prints one line for each file: `accepted` and a
//! description of what was read, or `refused` and the error as a JSON string.

use std::{
    fs,
    io::{self, Read, Write},
};

use elu_cli::{entries::Entry, npy, safetensors};
use serde_json::{Value, json};
use wgpu_elu::DType;

fn main() -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    for path in io::stdin().lines() {
        let path = path?;
        let file = fs::read(&path)?;
        let read = if path.ends_with(".safetensors") {
            read_safetensors(&file)
        } else {
            read_npy(&file)
        };
        let line = match read {
            Ok(description) => format!("accepted {description}"),
            Err(error) => format!("refused {}", json!(format!("{error:#}"))),
        };
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

/// Returns the dtype and the shape, and as hexadecimal digits the elements in this machine's byte order and the header
/// that is written.
fn read_npy(file: &[u8]) -> anyhow::Result<String> {
    let size = Some(file.len() as u64);
    let (form, mut elements) = npy::read(file, size, None)
        .or_else(|error| npy::read(file, size, Some(DType::BF16)).map_err(|_| error))?;
    let mut bytes = Vec::new();
    elements.read_to_end(&mut bytes)?;
    let mut written = Vec::new();
    form.write(&mut written)?;
    Ok(format!(
        "{} {:?} {} {}",
        form.dtype(),
        form.shape(),
        hex(&bytes),
        hex(&written)
    ))
}

/// Returns the name, the dtype and the size of each tensor, in the order of their data.
fn read_safetensors(file: &[u8]) -> anyhow::Result<String> {
    let (tensors, mut data) = safetensors::read(file, Some(file.len() as u64))?;
    io::copy(&mut data, &mut io::sink())?;
    let entry = |entry: &Entry| json!([entry.name, entry.stored, entry.size]);
    Ok(tensors
        .entries()
        .iter()
        .map(entry)
        .collect::<Value>()
        .to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
