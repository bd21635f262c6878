//! What a layer is made of, as a value: Keras' `get_config` dictionary.

use super::Layer;
use crate::{
    dtype::DType,
    error::{LayerError, Result},
    regularizer::Regularizer,
};

/// Everything that an ELU layer is constructed from, as in Keras' `get_config`.
///
/// With the feature `serde` it is written and read as JSON: see [below](#json).
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
/// It is written in the form of Keras 3's `serialize_keras_object`. Read are that form, those of `tf_keras` and TensorFlow
/// 1.x, and a bare `get_config` dictionary, of which any key may be missing. `dtype` may be a name, null or a policy, of
/// which the type it computes in is taken, and `activity_regularizer` an object of any of those forms or a name: `l1`, `l2`,
/// `l1_l2`. `alpha` keeps its `f64` value. Whatever else is there is an error that names it.
///
/// - Keras 3 has no word for `batch_input_shape`, and refuses the key. If the batch size is unknown, `input_shape` is written
///   instead, which it does know (and warns of); else `batch_input_shape`, and `dtype` by its name, for `tf_keras`.
/// - A class of somebody else's that has the same name is refused where the JSON tells, by its module; the forms without
///   modules do not tell.
/// - An infinite `alpha` is an error: JSON has no infinity, whatever Python writes.
/// - What means something only within a larger file is not kept: `shared_object_id`, and a model's `name` and `inbound_nodes`
///   beside `config`.
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
    /// What the negative side tends to, with its sign changed. Any number but NaN; 1 by default.
    pub alpha: f64,
    /// The layer's name; by default `elu`, `elu_1` and so on, over the process.
    pub name: Option<String>,
    /// Kept for Keras' sake: ELU has nothing to train. True by default.
    pub trainable: bool,
    /// The type that it computes in; by default that of the first call.
    pub dtype: Option<DType>,
    /// Its input's shape; `None` within is a dimension that is not known. Kept for Keras' sake: nothing is checked by it.
    pub batch_input_shape: Option<Vec<Option<usize>>>,
    /// What becomes of its output for [`Layer::losses`].
    pub activity_regularizer: Option<Regularizer>,
    /// The shape that the layer was built with, which Keras writes as `build_config` beside the rest: a layer made from
    /// this is built. Never set by [`Layer::get_config`], as in Keras.
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

/// Keras' constructor, keyword by keyword: see [`Layer::builder`].
#[must_use = "a builder makes nothing until `build`"]
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    config: Config,
    input_shape: Option<Vec<Option<usize>>>,
    batch_size: Option<usize>,
}

impl LayerBuilder {
    /// What the negative side tends to, with its sign changed; 1 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.config.alpha = alpha;
        self
    }

    /// The layer's name; by default `elu`, `elu_1` and so on, over the process.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Kept for Keras' sake: ELU has nothing to train. True by default.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.config.trainable = trainable;
        self
    }

    /// The type that it computes in; by default that of the first call. Data of another type is an error.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.config.dtype = Some(dtype);
        self
    }

    /// Its input's shape without the batch size.
    pub fn input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.input_shape = Some(shape.to_vec());
        self
    }

    /// Its input's shape with the batch size, which comes first. `input_shape` and `batch_size` then count for nothing.
    pub fn batch_input_shape(mut self, shape: &[Option<usize>]) -> Self {
        self.config.batch_input_shape = Some(shape.to_vec());
        self
    }

    /// The batch size that goes with `input_shape`; without that it counts for nothing.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = Some(size);
        self
    }

    /// What becomes of its output for [`Layer::losses`].
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.config.activity_regularizer = Some(regularizer);
        self
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// As [`Layer::from_config`].
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
