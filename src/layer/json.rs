//! [`Config`] as JSON. It is written in a form that Keras 3 and `tf_keras` read, and read in the forms of all versions
//! of Keras.

use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{Config, LayerBuilder, ModelEntry};
use crate::{
    dtype::DType,
    error::{Error, LayerError, Result},
    factors::serialize_finite,
    regularizer::Regularizer,
};

/// The JSON of a layer in the form of Keras 3's `serialize_keras_object`.
#[derive(Serialize)]
pub(super) struct Keras3 {
    #[serde(flatten)]
    layer: Object<Arguments>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_config: Option<BuildConfig>,
    #[serde(flatten)]
    model_entry: Option<ModelEntry>,
}

/// A class and its configuration, as Keras 3 writes layers, regularizers and policies.
#[derive(Serialize)]
struct Object<C> {
    module: &'static str,
    class_name: &'static str,
    config: C,
    /// Null for Keras' own classes.
    registered_name: (),
}

/// The keyword arguments of the layer's constructor: its `get_config` dictionary.
#[derive(Serialize)]
struct Arguments {
    name: Option<String>,
    #[serde(serialize_with = "serialize_finite")]
    alpha: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_regularizer: Option<Object<RegularizerFactors>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autocast: Option<bool>,
    trainable: bool,
    dtype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_shape: Option<Vec<Option<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_input_shape: Option<Vec<Option<usize>>>,
}

#[derive(Serialize)]
struct RegularizerFactors {
    #[serde(skip_serializing_if = "Option::is_none")]
    l1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l2: Option<f64>,
}

#[derive(Serialize)]
struct BuildConfig {
    input_shape: Vec<Option<usize>>,
}

impl From<Config> for Keras3 {
    fn from(config: Config) -> Self {
        let (input_shape, batch_input_shape) = match config.batch_input_shape {
            // Keras 3 reads a shape only from `input_shape`, which does not include the batch size.
            Some(shape) if shape.first() == Some(&None) => (Some(shape[1..].to_vec()), None),
            other => (None, other),
        };
        // Keras 3 and tf_keras write policies in different forms, but both read a name.
        let mixed = if config.mixed_precision { "mixed_" } else { "" };
        let dtype = config.dtype.map(|dtype| format!("{mixed}{dtype}"));
        Self {
            layer: Object {
                module: "keras.layers",
                class_name: "ELU",
                config: Arguments {
                    name: config.name,
                    alpha: config.alpha,
                    activity_regularizer: config.activity_regularizer.map(regularizer_object),
                    autocast: (!config.autocast).then_some(false),
                    trainable: config.trainable,
                    dtype,
                    input_shape,
                    batch_input_shape,
                },
                registered_name: (),
            },
            build_config: config
                .build_input_shape
                .map(|input_shape| BuildConfig { input_shape }),
            model_entry: config.model_entry,
        }
    }
}

impl TryFrom<Map<String, Value>> for Config {
    type Error = Error;

    /// Reads a layer in any of the forms. A map without `class_name` and `config` is a bare `get_config` dictionary.
    fn try_from(map: Map<String, Value>) -> Result<Self> {
        let mut object = Keys::new(map, "");
        if !["class_name", "config"]
            .iter()
            .any(|key| object.map.contains_key(*key))
        {
            return arguments(object);
        }
        let config = Keys::of_class(&mut object, &["ELU"])?.1;
        let build_config = object.take("build_config", "an object", |value| {
            Some(Keys::new(value.as_object()?.clone(), "build_config."))
        })?;
        let model_entry = ModelEntry {
            name: object.take("name", "a string", string)?,
            inbound_nodes: object.take("inbound_nodes", "a list", |value| {
                value.is_array().then(|| value.clone())
            })?,
        };
        let is_entry = model_entry.name.is_some() || model_entry.inbound_nodes.is_some();
        object.finish("deserialize_keras_object")?;
        let build_input_shape = match build_config {
            Some(mut keys) => {
                let input_shape = keys.take("input_shape", SHAPE, shape)?;
                keys.finish("build_from_config")?;
                input_shape
            }
            None => None,
        };
        Ok(Self {
            build_input_shape,
            model_entry: is_entry.then_some(model_entry),
            ..arguments(config)?
        })
    }
}

/// The largest JSON that is read, in bytes. The JSON of a model with 10,000 layers has about 10 MB. Parsed values need
/// up to 40 times the memory of their text.
pub(super) const MAX_JSON: usize = 16 << 20;

impl Config {
    /// Reads a layer from [JSON](Self#json). It gives the same result as `serde_json::from_str`, but a better error for
    /// text that is not JSON.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Json`] if `json` is longer than 16 MiB, nested more than 127 levels deep, or not JSON,
    /// such as Python's `Infinity`; and the other variants of [`LayerError`] if a key or a value is not one of a layer.
    pub fn from_json(json: &str) -> Result<Self> {
        match parse(json)? {
            Value::Object(map) => map.try_into(),
            other => {
                let found = excerpt(&other);
                Err(json_error(format!("needed an object, found {found}")))
            }
        }
    }

    /// Returns the layer as [JSON](Self#json).
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Json`] if alpha is infinite, and the errors of
    /// [`Layer::from_config`](super::Layer::from_config) for settings that no layer can have.
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        serde_json::to_string(self).map_err(|error| json_error(error.to_string()))
    }
}

// ---- Internals ----

/// Parses JSON. The error names Python's numbers that JSON does not have.
pub(super) fn parse(json: &str) -> Result<Value> {
    if json.len() > MAX_JSON {
        return Err(json_error(format!(
            "needed at most {MAX_JSON} bytes, found {}",
            json.len()
        )));
    }
    serde_json::from_str(json).map_err(|error| {
        json_error(match python_number(json) {
            Some(number) => format!("found Python's {number}, needed a number that JSON has"),
            None => error.to_string(),
        })
    })
}

/// Returns whether a class in this module is one of Keras' own.
pub(super) fn is_keras(module: &Value) -> bool {
    let top = module.as_str().and_then(|name| name.split('.').next());
    top.is_some_and(|top| ["keras", "tf_keras"].contains(&top))
}

pub(super) fn json_error(reason: String) -> Error {
    LayerError::Json { reason }.into()
}

/// Returns the first of Python's numbers outside of strings that JSON does not have.
fn python_number(json: &str) -> Option<&'static str> {
    let mut is_in_string = false;
    let mut is_escaped = false;
    for (position, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            b'I' | b'N' | b'-' if !is_in_string => {
                let rest = &json[position..];
                let numbers = ["Infinity", "NaN", "-Infinity"];
                let found = numbers.into_iter().find(|number| rest.starts_with(number));
                if found.is_some() {
                    return found;
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the form in which a regularizer is written.
fn regularizer_object(regularizer: Regularizer) -> Object<RegularizerFactors> {
    let (class_name, l1, l2) = match regularizer {
        Regularizer::L1(l1) => ("L1", Some(l1), None),
        Regularizer::L2(l2) => ("L2", None, Some(l2)),
        Regularizer::L1L2 { l1, l2 } => ("L1L2", Some(l1), Some(l2)),
    };
    Object {
        module: "keras.regularizers",
        class_name,
        config: RegularizerFactors { l1, l2 },
        registered_name: (),
    }
}

/// Reads a `get_config` dictionary, in which every key may be missing.
fn arguments(mut keys: Keys) -> Result<Config> {
    let mut layer = LayerBuilder::default();
    if let Some(value) = keys.map.remove("alpha") {
        layer = layer.alpha(alpha(&value)?);
    }
    if let Some(name) = keys.take("name", "a string", string)? {
        layer = layer.name(name);
    }
    if let Some(trainable) = keys.take("trainable", "a boolean", |value| value.as_bool())? {
        layer = layer.trainable(trainable);
    }
    let autocast = keys.take("autocast", "a boolean", Value::as_bool)?;
    let mut mixed_precision = false;
    match keys.map.remove("dtype") {
        None | Some(Value::Null) => {}
        Some(value) => {
            let (dtype, is_mixed) = dtype(value)?;
            mixed_precision = is_mixed;
            layer = layer.dtype(dtype);
        }
    }
    // TensorFlow 1.x and tf_keras read this number as a shape of one dimension.
    if let Some(size) = keys.take("input_dim", "a size", size)? {
        layer = layer.input_shape(&[Some(size)]);
    }
    if let Some(shape) = keys.take("input_shape", SHAPE, shape)? {
        layer = layer.input_shape(&shape);
    }
    if let Some(shape) = keys.take("batch_input_shape", SHAPE, shape)? {
        layer = layer.batch_input_shape(&shape);
    }
    if let Some(size) = keys.take("batch_size", "a size", size)? {
        layer = layer.batch_size(size);
    }
    match keys.map.remove("activity_regularizer") {
        None | Some(Value::Null) => {}
        Some(value) => layer = layer.activity_regularizer(read_regularizer(value)?),
    }
    keys.finish("ELU")?;
    Ok(Config {
        mixed_precision,
        autocast: autocast.unwrap_or(true),
        ..layer.into_config()
    })
}

// The `expected` part of error messages.
const SHAPE: &str = "a list of sizes, with null for each unknown size";
const REGULARIZER: &str = "L1, L2 or L1L2";

/// The keys of a JSON object that have not been read yet.
struct Keys {
    map: Map<String, Value>,
    /// What errors write before a key: nothing for the layer, else a key of the layer, such as `dtype.`.
    prefix: &'static str,
}

impl Keys {
    fn new(map: Map<String, Value>, prefix: &'static str) -> Self {
        Self { map, prefix }
    }

    /// Returns the error for a key whose value has the wrong type or is not one of the allowed values.
    fn unexpected(&self, key: &str, expected: &str, value: &Value) -> Error {
        unexpected(&format!("{}{key}", self.prefix), expected, value)
    }

    /// Reads a Keras object, whose class must be one of `classes`. Returns the class and the keys of its `config`.
    fn of_class(
        object: &mut Self,
        classes: &'static [&'static str],
    ) -> Result<(&'static str, Self)> {
        let expected = classes.join(" or ");
        let known = |value: &Value| classes.iter().find(|&&class| value.as_str() == Some(class));
        let class = object.take_required("class_name", &expected, |value| known(value).copied())?;
        // Keras' own classes are in modules of Keras and have no registered name. Another project's class of the same
        // name has another module or a registered name. (TensorFlow 1.x writes neither key.)
        if let Some(module) = object.map.remove("module")
            && !is_keras(&module)
        {
            return Err(object.unexpected("module", "a module of keras or tf_keras", &module));
        }
        object.take("registered_name", "null", |_| None::<()>)?;
        // This number identifies the object within a larger file, so it has no meaning here.
        object.take("shared_object_id", "a number", |value| {
            value.as_u64().map(drop)
        })?;
        let prefix = object.prefix;
        let config = object.take_required("config", "an object", |value| {
            Some(Self::new(value.as_object()?.clone(), prefix))
        })?;
        Ok((class, config))
    }

    /// Removes `key` and returns its value, which `read` converts. Returns `None` if the key is missing or null, and an
    /// error if `read` returns `None`.
    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.map.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(result) => Ok(Some(result)),
                None => Err(self.unexpected(key, expected, &value)),
            },
        }
    }

    /// Does the same as [`Keys::take`], but returns an error if the key is missing or null.
    fn take_required<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T> {
        self.take(key, expected, read)?
            .ok_or_else(|| self.unexpected(key, expected, &Value::Null))
    }

    /// Returns an error if there are keys that were not read. `to` is the class or function of Keras that would receive
    /// them.
    fn finish(self, to: &'static str) -> Result<()> {
        let mut keys: Vec<String> = self.map.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable(); // the order of a map's keys depends on the features of serde_json
        if keys.is_empty() {
            Ok(())
        } else {
            Err(LayerError::UnknownKeywords { to, keys }.into())
        }
    }
}

/// Returns the error for a key whose value has the wrong type or is not one of the allowed values.
fn unexpected(key: &str, expected: &str, value: &Value) -> Error {
    LayerError::ConfigValue {
        key: key.into(),
        expected: expected.into(),
        found: excerpt(value),
    }
    .into()
}

/// Returns the text of a value for a message, which ends with `…` after 100 characters.
fn excerpt(value: &Value) -> String {
    const MAX: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads alpha. As in Python, `true` is 1 and `false` is 0.
fn alpha(value: &Value) -> Result<f64> {
    let number = match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        value => value.as_f64(),
    };
    number.ok_or_else(|| {
        LayerError::Alpha {
            found: match value {
                Value::Null => "None".into(),
                value => excerpt(value),
            },
        }
        .into()
    })
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(String::from)
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|size| usize::try_from(size).ok())
}

/// Reads a shape, which is a list, or a tuple in the form of Keras 3: an object with the list in `items`.
fn shape(value: &Value) -> Option<Vec<Option<usize>>> {
    let items = match value {
        Value::Object(tuple) if tuple.get("class_name")? == "__tuple__" => tuple.get("items")?,
        list => list,
    };
    let dimension = |value: &Value| match value {
        Value::Null => Some(None),
        value => size(value).map(Some),
    };
    items.as_array()?.iter().map(dimension).collect()
}

/// Reads a dtype, which is a name or a policy with a name. Returns the dtype of the computation, and whether the policy
/// keeps variables in float32.
fn dtype(value: Value) -> Result<(DType, bool)> {
    const EXPECTED: &str = "float32, float16, bfloat16, float64, mixed_float16, mixed_bfloat16 or a policy with one of these names";
    let name = match value {
        Value::Object(map) => {
            let mut object = Keys::new(map, "dtype.");
            let policies = &["DTypePolicy", "Policy", "PolicyV1", "FloatDTypePolicy"];
            let mut config = Keys::of_class(&mut object, policies)?.1;
            object.finish("deserialize_keras_object")?;
            let name = config.take_required("name", EXPECTED, |value| Some(value.clone()))?;
            config.map.remove("loss_scale"); // old versions of tf_keras write it for the optimizer
            config.finish("DTypePolicy")?;
            name
        }
        name => name,
    };
    let text = name.as_str().unwrap_or_default();
    let mixed = text.strip_prefix("mixed_");
    let dtype = DType::ALL
        .into_iter()
        .find(|dtype| dtype.name() == mixed.unwrap_or(text));
    match dtype {
        Some(dtype) if mixed.is_none() || dtype.size() == 2 => Ok((dtype, mixed.is_some())),
        _ => Err(unexpected("dtype", EXPECTED, &name)),
    }
}

/// Reads a regularizer, which is a name or an object.
fn read_regularizer(value: Value) -> Result<Regularizer> {
    const KEY: &str = "activity_regularizer";
    const DEFAULT: f64 = Regularizer::DEFAULT_FACTOR;
    let mut object = match value {
        Value::Object(map) => Keys::new(map, "activity_regularizer."),
        Value::String(name) => {
            return match name.as_str() {
                "l1" | "L1" => Ok(Regularizer::L1(DEFAULT)),
                "l2" | "L2" => Ok(Regularizer::L2(DEFAULT)),
                // In TensorFlow 1.x and tf_keras, this is a function with these default factors.
                "l1_l2" => Ok(Regularizer::L1L2 {
                    l1: DEFAULT,
                    l2: DEFAULT,
                }),
                // In Keras 3, this is a class with these default factors.
                "l1l2" | "L1L2" => Ok(Regularizer::L1L2 { l1: 0.0, l2: 0.0 }),
                _ => Err(unexpected(KEY, REGULARIZER, &Value::String(name))),
            };
        }
        other => return Err(unexpected(KEY, REGULARIZER, &other)),
    };
    let (class, mut config) = Keys::of_class(&mut object, &["L1", "L2", "L1L2"])?;
    object.finish("deserialize_keras_object")?;
    let mut factor = |key: &str, default: f64| {
        let value = config.take(key, "a number", Value::as_f64)?;
        Ok::<_, Error>(value.unwrap_or(default))
    };
    let regularizer = match class {
        "L1" => Regularizer::L1(factor("l1", DEFAULT)?),
        "L2" => Regularizer::L2(factor("l2", DEFAULT)?),
        _ => Regularizer::L1L2 {
            l1: factor("l1", 0.0)?,
            l2: factor("l2", 0.0)?,
        },
    };
    config.finish(class)?;
    Ok(regularizer)
}
