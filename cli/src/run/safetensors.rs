//! Computes the results of the tensors in a `.safetensors` file.

use std::{io::Read, time::Duration};

use anyhow::{Context, Result};

use super::{Done, Files, Task, gradient::SafetensorsGrads};
use crate::{
    bytes::{Ordered, copy},
    entries::{self, Words},
    safetensors,
};

pub(super) fn run(task: &Task, files: Files) -> Result<Done> {
    const WORDS: Words = Words {
        one: "tensor",
        dtypes: "F16, BF16, F32 or F64",
    };
    let names = files.names();
    let (reader, size) = files.x.into_reader()?;
    let in_x = || names.x.clone();
    let (tensors, mut data) = safetensors::read(reader, size).with_context(in_x)?;
    let entries = tensors.entries();
    let selected = task.select()?;
    let dtypes = entries::select(entries, &task.args.tensor, &WORDS).with_context(in_x)?;
    let streams = task.streams(selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(in_x)?;
    let grads = files
        .grad
        .map(|grad| SafetensorsGrads::open(grad, entries, &dtypes))
        .transpose()?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let bar = task.progress_bar(entries.iter().map(|entry| entry.size).sum())?;
    let mut pending = files.output.begin()?;
    let written = tensors.write(&mut pending);
    written.with_context(|| names.output.clone())?;
    let mut took = Duration::ZERO;
    for (index, (entry, stream)) in entries.iter().zip(streams).enumerate() {
        let source = (&mut data).take(entry.size);
        let sink = bar.wrap_write(&mut pending);
        let result = if let Some(mut stream) = stream {
            let size = stream.dtype().size();
            let source = Ordered::new(source, size, safetensors::BIG_ENDIAN);
            let sink = Ordered::new(sink, size, safetensors::BIG_ENDIAN);
            let grad = grads.as_ref().map(|grads| grads.reader(index));
            let grad = grad.transpose().with_context(|| names.grad.clone())?;
            let done = task.apply(&mut stream, source, grad, sink);
            done.map(|(_, time)| took += time)
        } else {
            copy(source, sink)
        };
        result.map_err(|error| names.add_to(error))?;
    }
    // If every tensor is empty, still drain the input to detect trailing bytes.
    copy(data, &mut pending).map_err(|error| names.add_to(error))?;
    bar.finish_and_clear();
    pending.finish()?;
    Ok(Done::several(what, entries, &dtypes, selected, took))
}
