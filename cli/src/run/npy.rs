//! Computes the results of a `.npy` file.

use anyhow::{Context, Result, ensure};

use super::{Array, Done, Files, Task, gradient};
use crate::{bytes::write_error, npy};

pub(super) fn run(task: &Task, files: Files) -> Result<Done> {
    let names = files.names();
    let (reader, size) = files.x.into_reader()?;
    let in_x = || names.x.clone();
    let (form, elements) = npy::read(reader, size, task.args.dtype).with_context(in_x)?;
    let (dtype, len) = (form.dtype(), form.len() as u64);
    if let Some(given) = task.args.dtype {
        ensure!(
            dtype == given,
            "{}: --dtype {given} contradicts the file, which has dtype {dtype}",
            names.x
        );
    }
    let selected = task.select()?;
    let stream = task.stream(selected, dtype, len);
    let mut stream = stream.with_context(in_x)?;
    let grad = files
        .grad
        .map(|grad| gradient::from_npy(grad, &form, task.args.dtype))
        .transpose()?;
    let bar = task.progress_bar(len * dtype.size() as u64)?;
    let mut pending = files.output.begin()?;
    let sink = form.write(bar.wrap_write(&mut pending));
    let done = sink
        .map_err(write_error)
        .and_then(|sink| task.apply(&mut stream, elements, grad, sink));
    let (_, took) = done.map_err(|error| names.add_to(error))?;
    bar.finish_and_clear();
    pending.finish()?;
    let what = format!("{} {dtype}", Shape(form.shape()));
    let array = Array {
        name: None,
        dtype,
        shape: Some(form.shape().to_owned()),
        len,
    };
    Ok(Done::one(what, array, selected, took))
}

// ---- Internals ----

/// Displays a shape, such as `1797 x 128`, or `one` for an array without dimensions.
struct Shape<'a>(&'a [usize]);

impl std::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("one"),
            shape => f.write_str(
                &shape
                    .iter()
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join(" x "),
            ),
        }
    }
}
