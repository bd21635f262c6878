//! What `elu run` prints about each input: a line on standard error, and JSON.

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Error, Result, anyhow};
use serde_json::{Value, json};
use wgpu_elu::{DType, Device};

use super::Task;
use crate::{
    content::Format,
    device_args::SelectedDevice,
    entries::{Entry, counted},
    input,
    json::{self, number},
    output::Output,
};

/// The results in an output that was written.
pub(super) struct Done {
    /// A description, such as `1797 x 128 float32`.
    what: String,
    /// A description of the devices.
    device_text: String,
    devices: Vec<Device>,
    arrays: Vec<Array>,
    /// The names and the dtypes of the arrays that are unchanged.
    unchanged: Vec<(String, String)>,
    /// The time without reading and writing.
    took: Duration,
}

/// An array of results.
pub(super) struct Array {
    /// The name, if the file contains several arrays.
    pub(super) name: Option<String>,
    pub(super) dtype: DType,
    /// The shape, or `None` if the file has no header.
    pub(super) shape: Option<Vec<usize>>,
    /// The number of elements.
    pub(super) len: u64,
}

impl Done {
    /// Describes a file of one array.
    pub(super) fn one(
        what: String,
        array: Array,
        selected: &SelectedDevice,
        took: Duration,
    ) -> Self {
        Self::new(what, vec![array], vec![], selected, took)
    }

    /// Describes a file of several arrays. Those without a dtype in `dtypes` are unchanged.
    pub(super) fn several(
        what: String,
        entries: &[Entry],
        dtypes: &[Option<DType>],
        selected: &SelectedDevice,
        took: Duration,
    ) -> Self {
        let (mut arrays, mut unchanged) = (Vec::new(), Vec::new());
        for (entry, dtype) in entries.iter().zip(dtypes) {
            match *dtype {
                Some(dtype) => arrays.push(Array {
                    name: Some(entry.name.clone()),
                    dtype,
                    shape: Some(entry.shape.clone()),
                    len: entry.len(),
                }),
                None => unchanged.push((entry.name.clone(), entry.stored.clone())),
            }
        }
        Self::new(what, arrays, unchanged, selected, took)
    }

    fn new(
        what: String,
        arrays: Vec<Array>,
        unchanged: Vec<(String, String)>,
        selected: &SelectedDevice,
        took: Duration,
    ) -> Self {
        let dtypes: Vec<DType> = arrays.iter().map(|array| array.dtype).collect();
        let mut devices = Vec::new();
        for device in dtypes.iter().flat_map(|dtype| selected.for_dtype(*dtype)) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        Self {
            what,
            device_text: selected.describe(&dtypes),
            devices,
            arrays,
            unchanged,
            took,
        }
    }

    /// Returns the number of elements of all results.
    fn len(&self) -> u64 {
        self.arrays.iter().map(|array| array.len).sum()
    }
}

/// Prints a line for each input, and collects the results for the last lines and for the JSON.
pub(super) struct Report<'a> {
    task: &'a Task<'a>,
    /// The number of inputs that are not skipped.
    count: usize,
    failed: usize,
    /// The error, if there is only one input.
    error: Option<Error>,
    /// The number of outputs that were written, of their elements, and the time that they took.
    written: (usize, u64, Duration),
    /// The inputs as JSON.
    files: Vec<Value>,
}

impl<'a> Report<'a> {
    /// Creates a report about `count` inputs, without those that are skipped.
    pub(super) fn new(task: &'a Task<'a>, count: usize) -> Self {
        Self {
            task,
            count,
            failed: 0,
            error: None,
            written: (0, 0, Duration::ZERO),
            files: Vec::new(),
        }
    }

    /// Reports the inputs that are skipped.
    pub(super) fn skipped(&mut self, inputs: &[&Path]) {
        match inputs {
            [] => {}
            [input] => self.print(&format!(
                "skipped {}, which is named like a result: to apply ELU to it, give it as the only INPUT",
                input.display()
            )),
            [first, ..] => self.print(&format!(
                "skipped {} files that are named like results, such as {}: to apply ELU to one of them, give it as \
                 the only INPUT",
                inputs.len(),
                first.display()
            )),
        }
        for input in inputs {
            self.add(input, "skipped", json!({}));
        }
    }

    /// Reports an input that could not be read, or whose output could not be written.
    pub(super) fn failed(&mut self, input: &Path, error: Error) {
        let text = format!("{error:#}");
        self.failed += 1;
        if self.count == 1 {
            self.error = Some(error);
        } else {
            crate::report(&text);
        }
        self.add(input, "failed", json!({ "error": text }));
    }

    /// Reports an output that was written.
    pub(super) fn written(&mut self, input: &Path, format: Format, output: &Path, done: &Done) {
        let Done {
            what, device_text, ..
        } = done;
        let function = self.task.function.describe(self.task.args.op.op);
        let took = milliseconds(done.took);
        let name = if output == Path::new("-") {
            "standard output".into()
        } else {
            output.display().to_string()
        };
        self.print(&format!(
            "{what} on {device_text}, {function}, {took} -> {name}"
        ));
        let (count, len, time) = self.written;
        self.written = (count + 1, len + done.len(), time + done.took);
        let arrays = done.arrays.iter().map(|array| {
            let mut fields = json!({
                "name": array.name,
                "dtype": array.dtype.name(),
                "elements": array.len,
            });
            if let Some(shape) = &array.shape {
                fields["shape"] = json!(shape);
            }
            fields
        });
        let unchanged = done.unchanged.iter();
        let unchanged = unchanged.map(|(name, stored)| json!({ "name": name, "dtype": stored }));
        let fields = json!({
            "output": output.display().to_string(),
            "format": format.id(),
            "arrays": arrays.collect::<Vec<_>>(),
            "unchanged": unchanged.collect::<Vec<_>>(),
            "milliseconds": done.took.as_nanos() as f64 / 1e6,
            "devices": done.devices.iter().map(json::device).collect::<Vec<_>>(),
            "device_text": device_text,
        });
        self.add(input, "written", fields);
    }

    /// Prints the total of several inputs, and the JSON.
    ///
    /// # Errors
    ///
    /// Returns the error of the only input, or the number of inputs that failed.
    pub(super) fn finish(mut self) -> Result<()> {
        let (count, len, time) = self.written;
        if self.count > 1 && count > 0 {
            let (files, elements) = (counted(count as u64, "file"), counted(len, "element"));
            let time = milliseconds(time);
            self.print(&format!("total: {files}, {elements}, {time}"));
        }
        let error = self.error.take().or_else(|| {
            let (failed, count) = (self.failed, self.count);
            (failed > 0).then(|| anyhow!("{failed} of {count} files failed"))
        });
        // With exit code 2, nothing is written to standard output.
        let is_usage_error = error.as_ref().is_some_and(crate::is_usage_error);
        let printed = if self.task.args.json && !is_usage_error {
            self.print_json()
        } else {
            Ok(())
        };
        match (error, printed) {
            (None, printed) => printed,
            (Some(error), Ok(())) => Err(error),
            (Some(error), Err(not_printed)) => {
                if !crate::is_broken_pipe(&not_printed) {
                    crate::report(&format!("{not_printed:#}"));
                }
                Err(error)
            }
        }
    }
}

// ---- Internals ----

impl Report<'_> {
    /// Prints a line on standard error, except with `--quiet`.
    fn print(&self, line: &str) {
        if !self.task.args.quiet {
            let line: String = line.chars().flat_map(crate::escape_control).collect();
            // The results are written, so the command succeeds even if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn add(&mut self, input: &Path, status: &str, fields: Value) {
        let mut file = json!({ "input": input::name(input), "status": status });
        json::merge(&mut file, fields);
        self.files.push(file);
    }

    /// Prints the JSON on standard output. docs/cli.md lists the fields.
    fn print_json(&self) -> Result<()> {
        let Task { args, function, .. } = self.task;
        let factors = function.elu().factors();
        let json = json!({
            "version": json::VERSION,
            "op": json::op(args.op.op),
            "alpha": number(factors.alpha()),
            "scale": factors.scale(),
            "input_scale": factors.input_scale(),
            "rounding": function.elu().rounding().name(),
            "layer": function.layer(),
            "grad": args.op.grad.as_deref().map(input::name),
            "files": self.files,
        });
        Output::stdout()?.write_text(&format!("{json:#}\n"))
    }
}

fn milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 1.0 {
        format!("{ms:.2} ms")
    } else {
        format!("{ms:.1} ms")
    }
}
