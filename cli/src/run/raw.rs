//! Applies ELU to elements without a header.

use anyhow::{Context, Result};
use wgpu_elu::{DType, Error};

use super::{Args, Array, Done, forward, progress_bar, stream, with_path};
use crate::{bytes::Ordered, input::Input, output::Output};

/// Applies ELU to all bytes of the input.
pub(super) fn run(args: &Args, dtype: DType, input: Input, output: Output) -> Result<Done> {
    let file = input.name().to_owned();
    let (reader, size) = input.into_reader()?;
    let needed = dtype.size() as u64;
    if let Some(found) = size.filter(|size| !size.is_multiple_of(needed)) {
        return Err(Error::PartialElement { needed, found }).with_context(|| file.clone());
    }
    let selected = args.select()?;
    let mut stream = stream(args, selected, dtype).with_context(|| file.clone())?;
    if let Some(size) = size {
        stream = stream.with_expected_len(size / needed);
    }
    let bar = progress_bar(args, size.unwrap_or(0))?;
    let mut pending = output.begin()?;
    let name = pending.name();
    let source = Ordered::new(reader, dtype.size(), BIG_ENDIAN);
    let sink = Ordered::new(bar.wrap_write(&mut pending), dtype.size(), BIG_ENDIAN);
    let done = forward(&mut stream, source, sink);
    let (len, took) = done.map_err(|error| with_path(error, &file, &name))?;
    bar.finish_and_clear();
    pending.finish()?;
    let array = Array {
        name: None,
        dtype,
        shape: None,
        len,
    };
    Ok(Done::one(format!("{len} {dtype}"), array, selected, took))
}

// ---- Internals ----

/// Whether the elements are big-endian. They have the same order on every machine, so that files can be exchanged.
const BIG_ENDIAN: bool = false;
