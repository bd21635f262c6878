//! The function of a layer in a Keras model, for `elu run --keras`.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wgpu_elu::layer::{Config, Found, find};
use zip::{ZipArchive, result::ZipError};

use crate::{bytes::fill, content, entries::list, function::Function, npz};

/// Arguments that select a layer of a Keras model.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// Take the function from a Keras model
    ///
    /// FILE is a .keras file, or the JSON of a model or layer. The content decides the format, not the name. ELU, SELU
    /// and CELU are found as layers and as activations of other layers, also within nested models and wrappers.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["alpha", "selu", "celu", "scale", "input_scale"]
    )]
    keras: Option<PathBuf>,
    /// The layer of the Keras model; needed if the model has several with ELU, SELU or CELU
    ///
    /// NAME is the name of a layer, or its path in nested models, such as `net/block/elu`, or the end of the path, such
    /// as `block/elu`.
    #[arg(long, value_name = "NAME", requires = "keras", hide_short_help = true)]
    layer: Option<String>,
}

impl ModelArgs {
    /// Returns the function of the layer, or `None` if the arguments name no model.
    ///
    /// # Errors
    ///
    /// Returns an error with the path of the file if it cannot be read, is not a Keras model or does not have the
    /// layer.
    pub(super) fn function(&self) -> Result<Option<Function>> {
        let Some(path) = &self.keras else {
            return Ok(None);
        };
        if path == Path::new("-") {
            return Err(crate::usage(
                "--keras needs a file, found - for standard input: save the model to a file first",
            ));
        }
        let function = || -> Result<Function> {
            let json = read_json(path)?;
            let json = json.strip_prefix('\u{feff}').unwrap_or(&json);
            let found = find(json)?;
            ensure!(
                !found.is_empty() || !is_bare_config(json),
                "found a get_config dictionary, which does not name its class: use the JSON of the layer or of the model, \
                 or --alpha"
            );
            choose(&found, self.layer.as_deref(), path)
        };
        let function = function().with_context(|| path.display().to_string())?;
        Ok(Some(function))
    }
}

// ---- Internals ----

const NEEDED: &str = "a .keras file or the JSON of a Keras model or layer";

/// The largest number of characters of a list of layers.
const MAX_LIST: usize = 300;

/// The member of a `.keras` file that describes the model.
const CONFIG: &str = "config.json";

/// The size of the largest JSON in bytes: the limit of the library. A longer one is not read to its end.
const MAX_JSON: u64 = 16 << 20;

/// Reads the JSON of a model.
fn read_json(path: &Path) -> Result<String> {
    ensure!(!path.is_dir(), "needed {NEEDED}, found a directory");
    let mut file = File::open(path)?;
    let mut start = [0; content::START_LEN];
    let count = fill(&mut file, &mut start)?;
    let start = &start[..count];
    if content::is_zip(start) {
        ensure!(
            file.metadata()?.is_file(),
            "a .keras file cannot be read from a pipe, because its list of contents is at its end: save it to a file first"
        );
        file.rewind()?;
        return read_config(file);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    if !text.trim_ascii_start().starts_with(b"{") {
        let found = match content::foreign(start) {
            _ if start.is_empty() => "no data",
            Some(("an HDF5 file", _)) => bail!(
                "found an HDF5 file, needed {NEEDED}: load it in Keras and save it with model.save(\"model.keras\")"
            ),
            Some((found @ "a web page", advice)) => {
                bail!("found {found}, needed {NEEDED}: {advice}")
            }
            Some((found, _)) => found,
            None => "an unknown format",
        };
        bail!("found {found}, needed {NEEDED}");
    }
    read_text(start.chain(file), "the JSON")
}

/// Reads the JSON in a `.keras` file.
fn read_config(file: File) -> Result<String> {
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(npz::damaged)?;
    let member = match zip.by_name(CONFIG) {
        Ok(member) => member,
        Err(ZipError::FileNotFound) => {
            bail!("found a ZIP archive without {CONFIG}, needed {NEEDED}")
        }
        Err(error) => return Err(npz::damaged(error)),
    };
    read_text(npz::Checked::new(member), CONFIG)
}

/// Reads a text of at most [`MAX_JSON`] bytes.
fn read_text(reader: impl Read, what: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= MAX_JSON,
        "{what} is larger than 16 MiB"
    );
    String::from_utf8(bytes).map_err(|_| anyhow!("{what} is not UTF-8"))
}

/// Returns the function of the layer with this name, or of the only one. `file` is the path of the model.
fn choose(found: &[Found], name: Option<&str>, file: &Path) -> Result<Function> {
    ensure!(!found.is_empty(), "found no layer with ELU, SELU or CELU");
    let labels = labels(found);
    let listed = |indices: &[usize]| {
        let labels = indices.iter().map(|&index| labels[index].clone());
        list(labels, "layer", MAX_LIST)
    };
    let all: Vec<usize> = (0..found.len()).collect();
    let matches = match name {
        None => all.clone(),
        Some(name) => matching(found, &labels, name),
    };
    match (&matches[..], name) {
        (&[index], _) => {
            let label = &labels[index];
            let elu = found[index].elu.clone();
            let elu = elu.with_context(|| format!("layer {label:?}"))?;
            Ok(Function::of_layer(elu, label, file))
        }
        (_, None) => bail!(
            "found {} layers with ELU, SELU or CELU, needed one: use --layer with one of {}",
            matches.len(),
            listed(&matches)
        ),
        ([], Some(name)) => bail!(
            "no layer named {name:?} with ELU, SELU or CELU; those with one are {}",
            listed(&all)
        ),
        (_, Some(name)) => bail!(
            "--layer {name:?} names {} layers, needed one: use one of {}",
            matches.len(),
            listed(&matches)
        ),
    }
}

/// Returns the indices of the layers that `name` names: by the label, else by the path, else by the end of one of them
/// that follows a `/`.
fn matching(found: &[Found], labels: &[String], name: &str) -> Vec<usize> {
    let select = |is_named: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..found.len()).filter(|&index| is_named(index)).collect()
    };
    let is_end = |path: &str| {
        let start = path.strip_suffix(name);
        start.is_some_and(|start| start.ends_with('/'))
    };
    let by_label = select(&|index| labels[index] == name);
    let by_path = select(&|index| found[index].path == name);
    match (by_label.len(), by_path.len()) {
        (1.., _) => by_label,
        (_, 1..) => by_path,
        _ => select(&|index| is_end(&found[index].path) || is_end(&labels[index])),
    }
}

/// Returns a different label for each layer: its path. If several have the same path, adds the argument of the layer,
/// as in `net/lstm:recurrent_activation`, and if that is not enough a number, as in `net/elu#2`.
fn labels(found: &[Found]) -> Vec<String> {
    let paths = counts(found.iter().map(|layer| layer.path.as_str()));
    let mut labels: Vec<String> = found
        .iter()
        .map(|layer| match &layer.argument {
            Some(argument) if paths[layer.path.as_str()] > 1 => {
                format!("{}:{argument}", layer.path)
            }
            _ => layer.path.clone(),
        })
        .collect();
    let all = labels.clone();
    let counts = counts(all.iter().map(String::as_str));
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (label, old) in labels.iter_mut().zip(&all) {
        if counts[old.as_str()] > 1 {
            let number = numbers.entry(old).or_default();
            // A layer can be named like a label.
            while label == old || counts.contains_key(label.as_str()) {
                *number += 1;
                *label = format!("{old}#{number}");
            }
        }
    }
    labels
}

/// Returns how often each text occurs.
fn counts<'a>(texts: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}

/// Returns whether the JSON is a `get_config` dictionary: the arguments of a layer without its class.
fn is_bare_config(json: &str) -> bool {
    let keys: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).unwrap_or_default();
    !keys.is_empty() && Config::from_json(json).is_ok()
}
