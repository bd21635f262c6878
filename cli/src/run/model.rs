//! The function of a layer in a Keras model, for `elu run --keras`.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wgpu_elu::layer::{Found, find};
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
    /// NAME is the name of a layer, or its path in nested models, such as `net/block/elu`.
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
        let function = || -> Result<Function> {
            let json = read_json(path)?;
            let found = find(json.strip_prefix('\u{feff}').unwrap_or(&json))?;
            choose(&found, self.layer.as_deref(), path)
        };
        let function = function().with_context(|| path.display().to_string())?;
        Ok(Some(function))
    }
}

// ---- Internals ----

const NEEDED: &str = "a .keras file or the JSON of a Keras model or layer";

/// The member of a `.keras` file that describes the model.
const CONFIG: &str = "config.json";

/// The size of the largest JSON in bytes: the limit of the library. A longer one is not read to its end.
const MAX_JSON: u64 = 64 << 20;

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
        "{what} needs at most {MAX_JSON} bytes, found more"
    );
    String::from_utf8(bytes).map_err(|_| anyhow!("{what} is not UTF-8"))
}

/// Returns the function of the layer with this name, or of the only one. `file` is the path of the model.
fn choose(found: &[Found], name: Option<&str>, file: &Path) -> Result<Function> {
    ensure!(!found.is_empty(), "found no layer with ELU, SELU or CELU");
    let names = || list(found.iter().map(|layer| label(found, layer)));
    let matches: Vec<&Found> = match name {
        None => found.iter().collect(),
        Some(name) => matching(found, name),
    };
    match (&matches[..], name) {
        ([layer], _) => Ok(Function::of_layer(layer.elu, &label(found, layer), file)),
        ([], name) => bail!(
            "no layer named {:?} has ELU, SELU or CELU, the layers are {}",
            name.unwrap_or_default(),
            names()
        ),
        (_, None) => bail!(
            "found {} layers with ELU, SELU or CELU, needed one: use --layer with one of {}",
            matches.len(),
            names()
        ),
        (_, Some(name)) => bail!(
            "--layer {name:?} names {} layers, needed one: use one of {}",
            matches.len(),
            list(matches.iter().map(|layer| label(found, layer)))
        ),
    }
}

/// Returns the layers whose path, or the last part of it, is `name`. If a whole path matches, the last parts do not
/// count.
fn matching<'a>(found: &'a [Found], name: &str) -> Vec<&'a Found> {
    let whole = |layer: &&Found| layer.path == name || label(found, layer) == name;
    let last = |layer: &&Found| {
        let end = |path: &str| path.rsplit('/').next() == Some(name);
        end(&layer.path) || end(&label(found, layer))
    };
    let exact: Vec<_> = found.iter().filter(whole).collect();
    if exact.is_empty() {
        found.iter().filter(last).collect()
    } else {
        exact
    }
}

/// Returns the path of a layer. If several functions have the path, such as those of an LSTM, adds the argument of the
/// layer, as in `net/lstm:recurrent_activation`.
fn label(found: &[Found], layer: &Found) -> String {
    let same = found.iter().filter(|other| other.path == layer.path);
    match &layer.argument {
        Some(argument) if same.count() > 1 => format!("{}:{argument}", layer.path),
        _ => layer.path.clone(),
    }
}
