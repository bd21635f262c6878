//! The configuration of a layer, which is Keras' `get_config` dictionary, and the builder of a layer.

use super::Layer;
use crate::{
    dtype::DType,
    error::{LayerError, Result},
    regularizer::Regularizer,
};

/// The arguments that an ELU layer is constructed from, as in Keras' `get_config`.
///
/// With the feature `serde`, a `Config` can be written to and read from JSON: see [below](#json).
///
/// ```
/// use wgpu_elu::layer::{Config, Layer};
///
/// let mut config = Config::default();
/// config.alpha = 0.3;
/// let layer = Layer::from_config(&config)?;
/// assert_eq!(layer.get_config().alpha, 0.3);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// # JSON
///
/// Configurations are written in the form of `serialize_keras_object`, which both Keras 3 and `tf_keras` read. They are
/// read in that form, in the form of TensorFlow 1.x, and as a bare `get_config` dictionary, in which any key may be
/// missing. `dtype` may be a name, null, or a policy. `activity_regularizer` may be an object in any of those forms,
/// null, or one of the names `l1`, `l2`, `l1_l2`, `l1l2`, `L1`, `L2` and `L1L2`. `alpha` keeps its `f64` value. Any
/// other key or value is an error, and the error message names it.
///
/// - Keras 3 has no key for a shape with a known batch size. Such a shape is written as `batch_input_shape`, which only
///   `tf_keras` reads. Other shapes are written as `input_shape`, which both read.
/// - A class of another project that is also named `ELU` is rejected if the JSON contains its module or its registered
///   name. A form with neither does not show whose class it is.
/// - Writing an infinite `alpha` is an error, because JSON has no infinity. (Python writes `Infinity`, which
///   [`Config::from_json`] names in its error.)
/// - A layer of a model's JSON has two more keys next to `config`: see [`Config::model_entry`]. Keys that have a
///   meaning only for training or within a larger file are ignored: `shared_object_id`, and a policy's `loss_scale`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(
        into = "super::json::Keras3",
        try_from = "serde_json::Map<String, serde_json::Value>"
    )
)]
#[non_exhaustive]
pub struct Config {
    /// The factor of the negative side: for inputs that tend to negative infinity, the output tends to `-alpha`. It can
    /// be any number except NaN, and is 1 by default.
    pub alpha: f64,
    /// The layer's name. By default the layer is named `elu`, `elu_1` and so on; the number is unique in the process.
    pub name: Option<String>,
    /// Keras' `trainable` flag, true by default. It has no effect, because ELU has no weights.
    pub trainable: bool,
    /// The dtype that the layer computes in. By default it is the dtype of the first call.
    pub dtype: Option<DType>,
    /// Whether `dtype` is that of one of Keras' policies `mixed_float16` and `mixed_bfloat16`, which keep variables in
    /// float32. Any other dtype is then an error. It only affects the JSON, because ELU has no variables.
    pub mixed_precision: bool,
    /// Keras' `autocast` flag, true by default: whether Keras casts inputs to the layer's dtype. It only affects the
    /// JSON, because this crate never casts.
    pub autocast: bool,
    /// The shape of the input, including the batch size. `None` is an unknown dimension. The layer only stores this
    /// shape, so that Keras can read it from the JSON. It does not check data against it.
    pub batch_input_shape: Option<Vec<Option<usize>>>,
    /// The regularizer of the output. [`Layer::losses`] returns its losses.
    pub activity_regularizer: Option<Regularizer>,
    /// The shape that the layer was built with, which Keras writes as `build_config` next to the other keys. If it is
    /// set, the new layer is marked as built. [`Layer::get_config`] never sets it; neither does Keras' `get_config`.
    pub build_input_shape: Option<Vec<Option<usize>>>,
    /// The layer's place in a model, if it was read from the JSON of a Functional model. A [`Layer`] does not keep it,
    /// so [`Layer::get_config`] never sets it.
    #[cfg(feature = "serde")]
    pub model_entry: Option<ModelEntry>,
}

/// The place of a layer in a Functional model: the keys that the model's JSON has next to the layer's `config`. They
/// are written unchanged, so that a layer that was read from a model can be put back.
#[cfg(feature = "serde")]
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ModelEntry {
    /// The name by which the model's other layers refer to this layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The connections to the layers before this one, whose form differs between the versions of Keras.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_nodes: Option<serde_json::Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            name: None,
            trainable: true,
            dtype: None,
            mixed_precision: false,
            autocast: true,
            batch_input_shape: None,
            activity_regularizer: None,
            build_input_shape: None,
            #[cfg(feature = "serde")]
            model_entry: None,
        }
    }
}

/// A builder of a [`Layer`], with a method for each keyword argument of Keras' constructor. [`Layer::builder`] returns
/// one.
#[must_use = "a builder creates no layer until `build` is called"]
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    config: Config,
    input_shape: Option<Vec<Option<usize>>>,
    batch_size: Option<usize>,
}

impl LayerBuilder {
    /// Sets alpha, which is 1 by default. For inputs that tend to negative infinity, the output tends to `-alpha`.
    pub fn alpha(mut self, alpha: impl Into<f64>) -> Self {
        self.config.alpha = alpha.into();
        self
    }

    /// Sets the layer's name. By default the layer is named `elu`, `elu_1` and so on; the number is unique in the
    /// process.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Sets Keras' `trainable` flag, which is true by default. It has no effect, because ELU has no weights.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.config.trainable = trainable;
        self
    }

    /// Sets the dtype that the layer computes in. By default it is the dtype of the first call. Data of another dtype
    /// is an error.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.config.dtype = Some(dtype);
        self
    }

    /// Sets the input's shape without the batch size.
    pub fn input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.input_shape = Some(shape.to_vec());
        self
    }

    /// Sets the input's shape including the batch size, which is the first dimension. It takes precedence over
    /// `input_shape` and `batch_size`.
    pub fn batch_input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.config.batch_input_shape = Some(shape.to_vec());
        self
    }

    /// Sets the batch size, which is put in front of `input_shape`. It is ignored if `input_shape` is not set.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = Some(size);
        self
    }

    /// Sets the regularizer of the output. [`Layer::losses`] returns its losses.
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.config.activity_regularizer = Some(regularizer);
        self
    }

    /// Creates the layer.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Layer::from_config`].
    pub fn build(self) -> Result<Layer> {
        Layer::from_config(&self.into_config())
    }
}

// ---- Internals ----

impl LayerBuilder {
    /// Returns the configuration, with `input_shape` and `batch_size` merged into `batch_input_shape`.
    pub(super) fn into_config(self) -> Config {
        let (input_shape, batch_size) = (self.input_shape, self.batch_size);
        let batch_input_shape = self
            .config
            .batch_input_shape
            .or_else(|| input_shape.map(|shape| [batch_size].into_iter().chain(shape).collect()));
        Config {
            batch_input_shape,
            ..self.config
        }
    }
}

impl Config {
    /// Checks alpha, the name, the mixed policy and the regularizer's factors.
    pub(super) fn check(&self) -> Result<()> {
        if self.alpha.is_nan() {
            return Err(LayerError::Alpha {
                found: "NaN".into(),
            }
            .into());
        }
        if let Some(name) = self.name.as_ref().filter(|name| name.contains('/')) {
            return Err(LayerError::Name {
                found: name.clone(),
            }
            .into());
        }
        if self.mixed_precision && !matches!(self.dtype, Some(DType::F16 | DType::BF16)) {
            let dtype = self.dtype.map_or("none", DType::name);
            return Err(LayerError::ConfigValue {
                key: "mixed_precision".into(),
                expected: "false unless the dtype is float16 or bfloat16".into(),
                found: format!("true with dtype {dtype}"),
            }
            .into());
        }
        self.activity_regularizer
            .map_or(Ok(()), |regularizer| regularizer.check())
    }
}
