//! Decides what happens to each input, and checks all outputs before the first result is computed.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Error, Result, ensure};
use wgpu_elu::DType;

use super::{Args, Files, names};
use crate::{
    conflict,
    content::Format,
    input::Input,
    output::{self, Output, directory},
    usage,
};

/// What happens to the inputs, in the order of the command line.
pub(super) struct Plan<'a> {
    /// The inputs that are skipped, because they are named like results and other inputs exist.
    pub(super) skipped: Vec<&'a Path>,
    /// The other inputs.
    pub(super) files: Vec<(&'a Path, Planned)>,
}

/// What happens to an input that is not skipped.
pub(super) enum Planned {
    /// The results of the input are computed. The path is that of the output.
    Run(Files, PathBuf),
    /// The input or its incoming gradient cannot be read.
    Failed(Error),
}

/// Finds out what happens to each input, and checks all outputs. Writes nothing, except that it creates the directory
/// of `--output-dir`.
///
/// # Errors
///
/// Returns an error if the command line is wrong, or if an output cannot be written. An input that cannot be read is no
/// error, but [`Planned::Failed`].
pub(super) fn plan(args: &Args) -> Result<Plan<'_>> {
    check(args)?;
    // Reports an unsuitable output before the command waits for data on standard input.
    let mut given = match &args.output {
        Some(path) => Some(open_output(args, path)?),
        None => None,
    };
    if args.json {
        Output::stdout()?;
    }
    let is_skipped =
        |path: &&Path| args.inputs.len() > 1 && names::is_result(path, args.raw.is_some());
    let paths = args.inputs.iter().map(PathBuf::as_path);
    let (skipped, paths): (Vec<&Path>, Vec<&Path>) = paths.partition(is_skipped);
    if paths.is_empty() {
        return Err(usage(format!(
            "every INPUT is named like a result, such as {}: to apply ELU to one of them, give it as the only INPUT",
            args.inputs[0].display()
        )));
    }
    let mut opened = Vec::with_capacity(paths.len());
    for path in paths {
        opened.push((path, open(args, path)?));
    }
    check_different(&opened)?;
    let (mut files, mut bad_outputs) = (Vec::with_capacity(opened.len()), Vec::new());
    for (path, opened) in opened {
        let (x, grad, output_path) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                files.push((path, Planned::Failed(error)));
                continue;
            }
        };
        if let Some(directory) = &args.output_dir {
            output::create_directory(directory)?;
        }
        match given
            .take()
            .map_or_else(|| open_output(args, &output_path), Ok)
        {
            Ok(output) => {
                let run = Planned::Run(Files { x, grad, output }, output_path);
                files.push((path, run));
            }
            Err(error) if error.is::<crate::Conflict>() => return Err(error),
            Err(error) => bad_outputs.push(error),
        }
    }
    fail_together(bad_outputs, &files)?;
    Ok(Plan { skipped, files })
}

// ---- Internals ----

/// An input whose format is known, with its incoming gradient, if any, and the path of its output; or why one of them
/// cannot be read.
type Opened = Result<(Input, Option<Input>, PathBuf)>;

/// Returns a usage error if the arguments contradict each other.
fn check(args: &Args) -> Result<()> {
    let count = args.inputs.len();
    let has_stdin = args.inputs.iter().any(|path| path == Path::new("-"));
    let error = if count > 1 && args.output.is_some() {
        format!("--output names one file, but INPUT is {count} files: use --output-dir")
    } else if count > 1 && has_stdin {
        "- is standard input, which must be the only INPUT".into()
    } else if has_stdin && args.output_dir.is_some() {
        "--output-dir needs files as INPUT, but - is standard input: use --output".into()
    } else if has_stdin && args.output.is_none() && args.json {
        JSON_AND_RESULT.into()
    } else {
        return Ok(());
    };
    Err(conflict(&error))
}

const JSON_AND_RESULT: &str =
    "--json and the result would both be written to standard output: name a file with --output";

/// Opens an input and its incoming gradient, and finds the path of its output. Returns an error if the command line is
/// wrong for its format.
fn open(args: &Args, path: &Path) -> Result<Opened> {
    let (input, grad) = match args.op.open(path, args.raw) {
        Ok(inputs) => inputs,
        Err(error) => return Ok(Err(error)),
    };
    let format = input.format();
    if format == Format::Npy && !args.tensor.is_empty() {
        return Err(conflict(
            "--tensor needs a .npz or .safetensors file as INPUT",
        ));
    }
    match (format, args.dtype) {
        (Format::Npy, _) | (_, None) | (Format::Npz, Some(DType::BF16)) => {}
        (Format::Npz, Some(_)) => {
            return Err(conflict("--dtype of a .npz file can only be bfloat16"));
        }
        _ => return Err(conflict("--dtype needs a .npy or .npz file as INPUT")),
    }
    let output = match (&args.output, &args.output_dir) {
        (Some(output), _) => {
            check_extension(output, format)?;
            output.clone()
        }
        (None, Some(directory)) => names::in_directory(directory, path, format),
        (None, None) if path == Path::new("-") => path.into(),
        (None, None) => names::beside(path, format),
    };
    Ok(Ok((input, grad, output)))
}

/// Returns a usage error if the extension is that of another format. Pipes, device files and directories may have any
/// name.
fn check_extension(output: &Path, format: Format) -> Result<()> {
    let is_file = fs::metadata(output).map_or(true, |found| found.is_file());
    match (output.extension(), format.extension()) {
        (Some(found), Some(needed)) if is_file && !found.eq_ignore_ascii_case(needed) => {
            Err(usage(format!(
                "{}: the result is a .{needed} file like INPUT: use the extension .{needed}",
                output.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Checks that the output can be written, and that it is not where the JSON goes.
fn open_output(args: &Args, path: &Path) -> Result<Output> {
    let output = Output::open(path, args.force)?;
    if args.json && matches!(output, Output::Stdout) {
        return Err(conflict(JSON_AND_RESULT));
    }
    Ok(output)
}

/// Returns a usage error if two inputs are the same file or have the same output, or if an output is another input.
fn check_different<'a>(files: &'a [(&'a Path, Opened)]) -> Result<()> {
    let mut inputs = HashMap::new();
    for (path, _) in files {
        if let Some(first) = inputs.insert(identity(path), *path) {
            return Err(usage(format!(
                "{} and {} are the same file: name it once",
                first.display(),
                path.display()
            )));
        }
    }
    let outputs = || {
        let with_output = |(path, opened): &'a (&'a Path, Opened)| {
            let (_, _, output) = opened.as_ref().ok()?;
            Some((*path, output))
        };
        files.iter().filter_map(with_output)
    };
    let mut first_inputs = HashMap::new();
    for (path, output) in outputs() {
        if let Some(first) = first_inputs.insert(identity(output), path) {
            return Err(usage(format!(
                "{} and {} have the same output {}: run them one by one, with different outputs",
                first.display(),
                path.display(),
                output.display()
            )));
        }
    }
    for (path, output) in outputs() {
        // Otherwise it would be replaced before it is read.
        if let Some(other) = inputs
            .get(&identity(output))
            .filter(|other| **other != path)
        {
            return Err(usage(format!(
                "the output of {} is {}, which is another INPUT: run them one by one, with different outputs",
                path.display(),
                other.display()
            )));
        }
    }
    Ok(())
}

/// Returns a path that is the same for all paths of a file, as far as its directory exists.
fn identity(path: &Path) -> PathBuf {
    let in_directory = || {
        Some(
            fs::canonicalize(directory(path))
                .ok()?
                .join(path.file_name()?),
        )
    };
    let found = fs::canonicalize(path).ok().or_else(in_directory);
    let found = found.unwrap_or_else(|| path.into());
    // The usual file systems of these platforms ignore the case of names.
    if cfg!(any(windows, target_vendor = "apple")) {
        found.to_string_lossy().to_lowercase().into()
    } else {
        found
    }
}

/// Returns an error if there are bad outputs. The error of the only output is returned as it is; of several outputs,
/// each error is reported, and the returned one contains their number.
fn fail_together(mut bad_outputs: Vec<Error>, files: &[(&Path, Planned)]) -> Result<()> {
    let is_good = |(_, planned): &&(&Path, Planned)| matches!(planned, Planned::Run(..));
    let (bad, good) = (bad_outputs.len(), files.iter().filter(is_good).count());
    if bad + good == 1 {
        return bad_outputs.pop().map_or(Ok(()), Err);
    }
    for error in &bad_outputs {
        crate::report(&format!("{error:#}"));
    }
    ensure!(
        bad == 0,
        "{bad} of {} outputs cannot be written, so nothing was written",
        bad + good
    );
    Ok(())
}
