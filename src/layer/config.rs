//! The configuration of a layer: Keras' `get_config` dictionary.

use super::Layer;
use crate::{
    dtype::DType,
    error::{LayerError, Result},
    regularizer::Regularizer,
};

/// Everything that an ELU layer is constructed from, as in Keras' `get_config`.
///
/// With the feature `serde` it can be written and read as JSON: see [below](#json).
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
/// Configurations are written in the form of Keras 3's `serialize_keras_object`. They can be read in that form, in the
/// forms of `tf_keras` and TensorFlow 1.x, and as a bare `get_config` dictionary, of which any key may be missing.
/// `dtype` may be a name, null, or a policy, whose compute dtype is used. `activity_regularizer` may be an object of
/// any of those forms, or a name: `l1`, `l2`, `l1_l2`. `alpha` keeps its `f64` value. Anything else is an error that
/// names it.
///
/// - Keras 3 has no `batch_input_shape` and rejects the key. If the batch size is unknown, `input_shape` is written
///   instead, which Keras 3 accepts (with a warning); else `batch_input_shape`, and `dtype` by its name, for
///   `tf_keras`.
/// - A class of another project with the same name is rejected if the JSON contains its module. The forms without
///   modules cannot be distinguished.
/// - An infinite `alpha` is an error, because JSON has no infinity, although Python writes one.
/// - Keys that have a meaning only within a larger file are ignored: `shared_object_id`, and a model's `name` and
///   `inbound_nodes` next to `config`.
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
    /// The factor of the negative side, which tends to `-alpha`. Any number except NaN; 1 by default.
    pub alpha: f64,
    /// The layer's name; by default `elu`, `elu_1` and so on, numbered over the process.
    pub name: Option<String>,
    /// Keras' flag, which has no effect, because ELU has nothing to train. True by default.
    pub trainable: bool,
    /// The dtype that the layer computes in; by default that of the first call.
    pub dtype: Option<DType>,
    /// The shape of the input; `None` stands for an unknown dimension. Kept for Keras, and not used for checks.
    pub batch_input_shape: Option<Vec<Option<usize>>>,
    /// The regularizer of the output, for [`Layer::losses`].
    pub activity_regularizer: Option<Regularizer>,
    /// The shape that the layer was built with, which Keras writes as `build_config` next to the other keys. A layer
    /// made from it is built. [`Layer::get_config`] never sets it, as in Keras.
    pub build_input_shape: Option<Vec<Option<usize>>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            name: None,
            trainable: true,
            dtype: None,
            batch_input_shape: None,
            activity_regularizer: None,
            build_input_shape: None,
        }
    }
}

/// Keras' constructor, with a method for each keyword: see [`Layer::builder`].
#[must_use = "a builder makes nothing until `build`"]
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    config: Config,
    input_shape: Option<Vec<Option<usize>>>,
    batch_size: Option<usize>,
}

impl LayerBuilder {
    /// Sets alpha, which is 1 by default. The negative side tends to `-alpha`.
    pub fn alpha(mut self, alpha: impl Into<f64>) -> Self {
        self.config.alpha = alpha.into();
        self
    }

    /// Sets the layer's name; by default `elu`, `elu_1` and so on, numbered over the process.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Sets Keras' flag, which has no effect, because ELU has nothing to train. True by default.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.config.trainable = trainable;
        self
    }

    /// Sets the dtype that the layer computes in; by default that of the first call. Data of another dtype is an error.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.config.dtype = Some(dtype);
        self
    }

    /// Sets the input's shape without the batch size.
    pub fn input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.input_shape = Some(shape.to_vec());
        self
    }

    /// Sets the input's shape including the batch size, which comes first. `input_shape` and `batch_size` are then
    /// ignored.
    pub fn batch_input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.config.batch_input_shape = Some(shape.to_vec());
        self
    }

    /// Sets the batch size for `input_shape`, without which it is ignored.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = Some(size);
        self
    }

    /// Sets the regularizer of the output, for [`Layer::losses`].
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.config.activity_regularizer = Some(regularizer);
        self
    }

    /// Creates the layer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Layer::from_config`].
    pub fn build(self) -> Result<Layer> {
        Layer::from_config(&self.into_config())
    }
}

// ---- Internals ----

impl LayerBuilder {
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
        self.activity_regularizer
            .map_or(Ok(()), |regularizer| regularizer.check())
    }
}
