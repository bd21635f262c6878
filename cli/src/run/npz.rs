//! Computes the results of the arrays in a `.npz` file.

use std::{
    fs::File,
    io::{Seek, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use wgpu_elu::Stream;

use super::{Done, Files, Names, Task, gradient::NpzGrads};
use crate::{
    bytes::write_error,
    entries::{self, Words},
    npz,
};

pub(super) fn run(task: &Task, files: Files) -> Result<Done> {
    const WORDS: Words = Words {
        one: "array",
        dtypes: "float16, float32 or float64, or bfloat16 with --dtype bfloat16",
    };
    let names = files.names();
    let in_x = || names.x.clone();
    let mut archive =
        npz::Archive::open(files.x.into_file()?, task.args.dtype).with_context(in_x)?;
    let entries = archive.entries();
    let selected = task.select()?;
    let dtypes = entries::select(entries, &task.args.tensor, &WORDS).with_context(in_x)?;
    let streams = task.streams(selected, entries, &dtypes, &WORDS);
    let streams = streams.with_context(in_x)?;
    let what = entries::summary(entries, &dtypes, &WORDS);
    let bar = task.progress_bar(entries.iter().map(|entry| entry.size).sum())?;
    let grads = files
        .grad
        .map(|grad| NpzGrads::open(grad, &mut archive, &dtypes, task.args.dtype))
        .transpose()?;
    let mut pending = files.output.begin()?;
    let took = if pending.is_seekable() {
        let writer = npz::Writer::new(&mut pending);
        write(task, &mut archive, grads, streams, writer, &bar, &names)
    } else {
        let writer = npz::Writer::new_stream(&mut pending);
        write(task, &mut archive, grads, streams, writer, &bar, &names)
    }?;
    bar.finish_and_clear();
    pending.finish()?;
    let entries = archive.entries();
    Ok(Done::several(what, entries, &dtypes, selected, took))
}

// ---- Internals ----

/// Writes the archive with the results of the streams. Returns the time without reading and writing.
fn write(
    task: &Task,
    archive: &mut npz::Archive<File>,
    mut grads: Option<NpzGrads>,
    streams: Vec<Option<Stream>>,
    mut writer: npz::Writer<impl Write + Seek>,
    bar: &ProgressBar,
    names: &Names,
) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for (index, stream) in streams.into_iter().enumerate() {
        let entry = &archive.entries()[index];
        let (size, names) = (entry.size, names.member(&entry.name));
        let result = if let Some(mut stream) = stream {
            let started = writer.start(archive, index);
            started.map_err(|error| names.add_to(error))?;
            let grad = grads.as_mut().map(|grads| grads.reader(index));
            let grad = grad.transpose().with_context(|| names.grad.clone())?;
            let array = archive.array(index);
            let (form, elements) = array.with_context(|| names.x.clone())?;
            let sink = form.write(&mut writer).map_err(write_error);
            sink.and_then(|sink| task.apply(&mut stream, bar.wrap_read(elements), grad, sink))
                .map(|(_, time)| took += time)
        } else {
            let copied = writer.copy(archive, index);
            copied.map(|()| bar.inc(size))
        };
        result.map_err(|error| names.add_to(error))?;
    }
    let finished = writer.finish(archive);
    finished.map_err(|error| names.add_to(error))?;
    Ok(took)
}
