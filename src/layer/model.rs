//! Finds the ELUs in the JSON of a Keras model.
//!
//! Keras writes every model, layer, wrapper and function as an object with the keys `class_name` and `config`, and each
//! object contains others at different places: `layers` of a model, `layer` of a wrapper such as `TimeDistributed`,
//! `backward_layer` of `Bidirectional`. The search therefore visits every value:
//!
//! 1. An object of Keras' class `ELU` is read as a [`Config`].
//! 2. In the `config` of any other class, a key whose name ends in `activation`, such as `recurrent_activation`, may
//!    have the value `elu`, `selu` or `celu`. A class `ELU` of another project may be another function, so it is not read
//!    as Keras'.
//! 3. The names of the objects on the way form the path. A long name that contains many ELUs is in all their paths, so
//!    the length of all paths is limited.

use serde_json::{Map, Value};

use super::{
    config::Config,
    json::{MAX_JSON, is_keras, json_error, parse},
};
use crate::{elu::Elu, error::Result};

/// An ELU, SELU or CELU that [`find`] found in a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The names of the models, wrappers and layers that contain it, from the outermost to the layer itself, separated
    /// by `/`. An object without a name has that of its class.
    pub path: String,
    /// The class of the layer, such as `ELU`, `Activation` or `Dense`.
    pub class: String,
    /// The layer's argument that names the function, such as `activation`; `None` for the class `ELU`.
    pub argument: Option<String>,
    /// The function, or why a layer of the class `ELU` is not valid: for example, it has an alpha for each channel.
    pub elu: Result<Elu>,
    /// The configuration of a valid layer of the class `ELU`; `None` for other classes.
    pub config: Option<Config>,
}

/// Returns every ELU, SELU and CELU in the JSON of a Keras model, in the order of the JSON.
///
/// `json` can be the result of `model.to_json()`, the file `config.json` in a `.keras` file, or the attribute
/// `model_config` of an HDF5 file, of any version of Keras; or the JSON of a layer. Layers of the class `ELU`, layers with
/// an activation by name, such as `Activation("elu")` and `Dense(activation="selu")`, nested models and wrappers are
/// searched. ELUs in subclasses and functions of other projects do not appear in the JSON, so they are not found.
///
/// ```
/// use wgpu_elu::layer::find;
///
/// let model = r#"{"class_name": "Sequential", "config": {"name": "net", "layers": [
///     {"class_name": "Dense", "config": {"name": "hidden", "units": 8, "activation": "selu"}},
///     {"class_name": "ELU", "config": {"name": "last", "alpha": 0.5}}]}}"#;
/// let found = find(model)?;
/// assert_eq!(found[0].path, "net/hidden");
/// assert_eq!(found[0].elu.clone()?, wgpu_elu::Elu::selu());
/// assert_eq!(found[1].path, "net/last");
/// assert_eq!(found[1].elu.clone()?.alpha(), 0.5);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # Errors
///
/// Returns [`LayerError::Json`](crate::LayerError::Json) as [`Config::from_json`] does, and if the paths and
/// classes of all ELUs together are longer than 16 MiB.
pub fn find(json: &str) -> Result<Vec<Found>> {
    let mut search = Search::default();
    search.visit(&parse(json)?)?;
    Ok(search.found)
}

// ---- Internals ----

/// The largest length of the paths, classes and arguments of all ELUs together, in bytes. Without it, a model that
/// contains many ELUs within objects of long names would need far more memory than its JSON.
const MAX_NAMES: usize = MAX_JSON;

/// The state of the search. The recursion is at most as deep as the JSON, which the parser limits to 127 levels.
#[derive(Default)]
struct Search {
    /// The names of the objects that contain the current value.
    path: Vec<String>,
    found: Vec<Found>,
    /// The length of all names in `found`, in bytes.
    names_len: usize,
}

impl Search {
    fn visit(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.visit(value)),
            Value::Object(map) => match text(map, "class_name") {
                Some(class) => self.visit_object(class, map),
                None => map.values().try_for_each(|value| self.visit(value)),
            },
            _ => Ok(()),
        }
    }

    fn visit_object(&mut self, class: &str, object: &Map<String, Value>) -> Result<()> {
        let config = object.get("config");
        let name = config
            .and_then(Value::as_object)
            .and_then(|config| text(config, "name"));
        self.path.push(name.unwrap_or(class).to_owned());
        if class == "ELU" && is_of_keras(object) {
            let config = Config::try_from(object.clone());
            let elu = config.as_ref().map(|config| Elu::new(config.alpha));
            self.add(class, None, elu.map_err(Clone::clone), config.ok())?;
        } else {
            for (key, value) in config.and_then(Value::as_object).into_iter().flatten() {
                if key.ends_with("activation")
                    && let Some(elu) = function(value)
                {
                    self.add(class, Some(key.clone()), Ok(elu), None)?;
                }
            }
            // The other keys contain no layers.
            config.map_or(Ok(()), |config| self.visit(config))?;
        }
        self.path.pop();
        Ok(())
    }

    fn add(
        &mut self,
        class: &str,
        argument: Option<String>,
        elu: Result<Elu>,
        config: Option<Config>,
    ) -> Result<()> {
        let separators = self.path.len() - 1;
        let path_len = self.path.iter().map(String::len).sum::<usize>() + separators;
        let argument_len = argument.as_ref().map_or(0, String::len);
        self.names_len += path_len + class.len() + argument_len;
        if self.names_len > MAX_NAMES {
            return Err(json_error(format!(
                "needed at most {MAX_NAMES} bytes for the paths and classes of all ELUs, found more"
            )));
        }
        self.found.push(Found {
            path: self.path.join("/"),
            class: class.to_owned(),
            argument,
            elu,
            config,
        });
        Ok(())
    }
}

/// Returns the text of a key.
fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// Returns whether the class can be Keras' own. The class of another project has its own module or a registered name.
fn is_of_keras(object: &Map<String, Value>) -> bool {
    object.get("module").is_none_or(is_keras)
        && object.get("registered_name").is_none_or(Value::is_null)
}

/// Returns the function of an activation, which is a name, or an object with the name as its `config`.
fn function(value: &Value) -> Option<Elu> {
    let name = match value {
        Value::Object(object) if text(object, "class_name") == Some("function") => {
            text(object, "config")?
        }
        name => name.as_str()?,
    };
    match name {
        "elu" => Some(Elu::new(1.0)),
        "selu" => Some(Elu::selu()),
        "celu" => Elu::celu(1.0).ok(),
        _ => None,
    }
}
