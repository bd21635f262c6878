//! Computes the results of elements without a header.

use std::io::Read;

use anyhow::{Context, Result};
use wgpu_elu::{DType, Error, Role};

use super::{Array, Done, Files, Task, gradient};
use crate::{bytes::Ordered, input::Input};

/// Computes the results of all bytes of the input.
pub(super) fn run(task: &Task, dtype: DType, files: Files) -> Result<Done> {
    let names = files.names();
    let (source, len) = read(files.x, dtype, Role::Input)?;
    let grad = files
        .grad
        .map(|grad| read(grad, dtype, Role::Gradient))
        .transpose()?;
    let grad_len = grad.as_ref().and_then(|(_, len)| *len);
    if let (Some(needed), Some(found)) = (len, grad_len) {
        let elements = |len| format!("{len} elements");
        let checked = gradient::check_same(&elements(needed), &elements(found));
        checked.with_context(|| names.grad.clone())?;
    }
    // The lengths of pipes are not known.
    let expected_len = len.or(grad_len).unwrap_or(u64::MAX);
    let selected = task.select()?;
    let stream = task.stream(selected, dtype, expected_len);
    let mut stream = stream.with_context(|| names.x.clone())?;
    let bar = task.progress_bar(len.unwrap_or(0) * dtype.size() as u64)?;
    let mut pending = files.output.begin()?;
    let sink = Ordered::new(bar.wrap_write(&mut pending), dtype.size(), BIG_ENDIAN);
    let grad = grad.map(|(grad, _)| grad);
    let done = task.apply(&mut stream, source, grad, sink);
    let (len, took) = done.map_err(|error| names.add_to(error))?;
    bar.finish_and_clear();
    pending.finish()?;
    let array = Array {
        name: None,
        dtype,
        shape: None,
        len,
    };
    let what = format!("{len} {dtype}");
    Ok(Done::one(what, array, selected, took))
}

// ---- Internals ----

/// Whether the elements are big-endian. They have the same order on every machine, so that files can be exchanged.
const BIG_ENDIAN: bool = false;

/// Returns a reader of the elements, and their number if it is known.
fn read(input: Input, dtype: DType, role: Role) -> Result<(Ordered<impl Read>, Option<u64>)> {
    let (name, needed) = (input.name().to_owned(), dtype.size() as u64);
    let (reader, size) = input.into_reader()?;
    if let Some(found) = size.filter(|size| !size.is_multiple_of(needed)) {
        let error = Error::PartialElement {
            role,
            needed,
            found,
        };
        return Err(error).context(name);
    }
    let reader = Ordered::new(reader, dtype.size(), BIG_ENDIAN);
    Ok((reader, size.map(|size| size / needed)))
}
