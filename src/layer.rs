//! The Keras layer, with every member of `tf.keras.layers.ELU`. It keeps the configuration and the symbolic nodes;
//! [`Elu`] does the computation.

mod config;
#[cfg(feature = "serde")]
mod json;
#[cfg(feature = "serde")]
mod model;
mod nodes;
mod symbolic;

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    dtype::DType,
    elu::Elu,
    error::{LayerError, Result},
    regularizer::Regularizer,
    rounding::Rounding,
    tensor::Tensor,
};
#[cfg(feature = "serde")]
pub use config::ModelEntry;
pub use config::{Config, LayerBuilder};
#[cfg(feature = "serde")]
pub use model::{Found, find};
use nodes::Node;
pub use symbolic::{Input, Mask, SymbolicTensor};

/// Keras' ELU layer, with the members of `tf.keras.layers.ELU` under their names.
///
/// As in Keras, the layer can be called in two ways. [`Layer::call`] takes data, computes on the device of the data,
/// and creates no node. [`Layer::connect`] takes a symbolic tensor, computes nothing, and creates an inbound node.
/// [`input`](Layer::input), [`output`](Layer::output), their shapes and masks, and the `get_…_at` methods describe
/// these nodes.
///
/// ```
/// use wgpu_elu::{DType, Device, Tensor, layer::{Input, Layer}};
///
/// let layer = Layer::new(0.5)?;
///
/// let x = Tensor::from_slice(&Device::Cpu, &[-1.0f32, 0.0, 2.0], &[1, 3])?;
/// assert_eq!(layer.call(&x)?.to_vec_blocking::<f32>()?, [-0.31606027, 0.0, 2.0]);
///
/// let y = layer.connect(&Input::new(&[None, Some(3)], DType::F32))?;
/// assert_eq!(layer.output()?, y);
/// assert_eq!(layer.output_shape()?, [None, Some(3)]);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
///
/// Where versions of Keras differ, each member's documentation names the version that it follows: "1.x" is TensorFlow
/// 1.13.1, and `tf_keras` is Keras 2. `docs/keras.md` in the repository has a table of all members.
///
/// All members take `&self`, except for the setters, so many threads can call the same layer. To apply several
/// layers in sequence, use `try_fold`: `layers.iter().try_fold(x, |x, layer| layer.call(&x))`.
///
/// # Errors
///
/// Every call returns [`LayerError::DType`] if the dtype of the data differs from the dtype of the layer, which the
/// constructor or the first call sets. (TensorFlow 1.x computes in the dtype of the data; `tf_keras` and Keras 3
/// silently cast the data.)
///
/// Every member that describes nodes returns [`LayerError::NeverConnected`] if the layer has no nodes. Calls on data
/// create none.
#[derive(Debug)]
pub struct Layer {
    elu: Elu,
    name: String,
    trainable: bool,
    mixed_precision: bool,
    autocast: bool,
    batch_input_shape: Option<Vec<Option<usize>>>,
    activity_regularizer: Option<Regularizer>,
    /// Empty until the first call, unless the constructor sets the dtype.
    dtype: OnceLock<DType>,
    built: AtomicBool,
    calls: Mutex<Calls>,
}

/// An entry of [`Layer::losses`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The loss of a call on data: a scalar on the device of the data, float64 for float64 data and float32 for all
    /// other data.
    Data(Tensor),
    /// The loss of a node: a symbolic scalar.
    Symbolic(SymbolicTensor),
}

/// Constructors.
impl Layer {
    /// Creates a layer with this alpha and default values for all other arguments.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Alpha`] if alpha is NaN, which is what TensorFlow 1.x makes of `None`.
    pub fn new(alpha: impl Into<f64>) -> Result<Self> {
        Self::builder().alpha(alpha).build()
    }

    /// Returns a builder with a method for each keyword argument of Keras' constructor: `alpha`, `name`, `trainable`,
    /// `dtype`, `input_shape`, `batch_input_shape`, `batch_size` and `activity_regularizer`.
    ///
    /// ```
    /// use wgpu_elu::{DType, Regularizer, layer::Layer};
    ///
    /// let layer = Layer::builder()
    ///     .alpha(0.3)
    ///     .dtype(DType::F16)
    ///     .activity_regularizer(Regularizer::L2(0.1))
    ///     .build()?;
    /// # Ok::<(), wgpu_elu::Error>(())
    /// ```
    pub fn builder() -> LayerBuilder {
        LayerBuilder::default()
    }

    /// Creates a layer from a configuration, which [`Layer::get_config`] returned or which was read from JSON.
    ///
    /// If the name is missing or empty, the layer is named `elu`, `elu_1` and so on; the number is unique in the
    /// process. Names that you choose need not be unique.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Alpha`] if alpha is NaN; [`LayerError::Name`] if the name contains `/`, which Keras 3 does
    /// not allow either; [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) if a factor is negative,
    /// infinite or NaN; [`LayerError::ConfigValue`] if `mixed_precision` is set without a 16-bit dtype.
    pub fn from_config(config: &Config) -> Result<Self> {
        config.check()?;
        let layer = Self {
            elu: Elu::new(config.alpha),
            name: match &config.name {
                Some(name) if !name.is_empty() => name.clone(),
                _ => automatic_name(),
            },
            trainable: config.trainable,
            mixed_precision: config.mixed_precision,
            autocast: config.autocast,
            batch_input_shape: config.batch_input_shape.clone(),
            activity_regularizer: config.activity_regularizer,
            dtype: config.dtype.map_or_else(OnceLock::new, OnceLock::from),
            built: AtomicBool::new(false),
            calls: Mutex::default(),
        };
        if let Some(shape) = &config.build_input_shape {
            layer.build(shape);
        }
        Ok(layer)
    }

    /// Returns the configuration of the layer, including its name. The dtype is `None` as long as neither the
    /// constructor nor a call has set it.
    ///
    /// As in Keras 3, alpha is the number that was passed (1.x rounds it to float32), and the regularizer is included
    /// (1.x omits it).
    pub fn get_config(&self) -> Config {
        Config {
            alpha: self.alpha(),
            name: Some(self.name.clone()),
            trainable: self.trainable,
            dtype: self.dtype(),
            mixed_precision: self.mixed_precision,
            autocast: self.autocast,
            batch_input_shape: self.batch_input_shape.clone(),
            activity_regularizer: self.activity_regularizer,
            ..Config::default()
        }
    }
}

/// Calls.
impl Layer {
    /// Computes ELU of `inputs` on their device: Keras' `__call__` on data.
    ///
    /// Creates no node. If the layer has an activity regularizer, the call also computes its loss on the same device.
    /// This loss replaces the loss of the previous call in [`Layer::losses`].
    ///
    /// Keras also accepts a list of tensors. Call this method for each of them instead.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every call](Self#errors) and of [`Elu::forward`].
    pub fn call(&self, inputs: &Tensor) -> Result<Tensor> {
        self.check_dtype(inputs.dtype())?;
        let outputs = self.elu.forward(inputs)?;
        let loss = match self.activity_regularizer {
            Some(regularizer) => Some(regularizer.activity_loss(&outputs)?),
            None => None,
        };
        self.record_call(inputs.dtype())?;
        // Keeps the previous loss until the end of the function, so that it is dropped after the lock is released.
        let _previous = std::mem::replace(&mut self.calls().last_loss, loss);
        Ok(outputs)
    }

    /// Does the same as [`Layer::call`], under the name that TensorFlow 1.x also has for it.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Layer::call`].
    pub fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        self.call(inputs)
    }

    /// Creates an inbound node for a symbolic input and returns the node's symbolic output: Keras' `__call__` on
    /// `Input(…)`.
    ///
    /// The output has the shape, the dtype and the mask of the input. Nothing is computed.
    ///
    /// Keras also accepts a list of symbolic tensors, and creates one node for it. Call this method for each of them
    /// instead: every call creates a node, whose output [`Layer::get_output_at`] returns.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every call](Self#errors).
    pub fn connect(&self, input: &SymbolicTensor) -> Result<SymbolicTensor> {
        self.record_call(input.dtype())?;
        let mut calls = self.calls();
        // As in TensorFlow, the names of the first node's tensors have no number.
        let name = |suffix: &str| match calls.nodes.len() {
            0 => format!("{}/{suffix}", self.name),
            index => format!("{}/{suffix}_{index}", self.name),
        };
        let output = input.derive_output(name("output"));
        let loss = self.activity_regularizer.map(|_| {
            output.derive_scalar(
                name("activity_regularizer"),
                input.dtype().arithmetic_dtype(),
            )
        });
        calls.nodes.push(Node {
            input: input.clone(),
            output: output.clone(),
            loss,
        });
        Ok(output)
    }

    /// Computes the gradient with respect to `inputs` from `grad`, the gradient with respect to the outputs. See
    /// [`Elu::backward`] for the formula.
    ///
    /// Keras has no such method, because its backend computes gradients. The result does not include the gradient of an
    /// activity regularizer's loss. This is not a call: it does not set the dtype of the layer.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every call](Self#errors) and of [`Elu::backward`].
    pub fn backward(&self, inputs: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.check_dtype(inputs.dtype())?;
        self.elu.backward(inputs, grad)
    }

    /// Marks the layer as built. ELU has no weights to create, so it accepts any shape, and can be called repeatedly.
    ///
    /// As in Keras, this sets neither [`Layer::input_shape`] nor [`Layer::dtype`]. Every call also marks the layer as
    /// built.
    pub fn build(&self, _input_shape: &[Option<usize>]) {
        self.built.store(true, Ordering::Relaxed);
    }

    /// Returns the mask of the outputs, which is `mask` unchanged. It can be a [`Mask`] or a value of any other type.
    pub fn compute_mask<I: ?Sized, M>(&self, _inputs: &I, mask: Option<M>) -> Option<M> {
        mask
    }

    /// Returns the shape of the outputs for inputs of `input_shape`, which is `input_shape` itself.
    pub fn compute_output_shape(&self, input_shape: &[Option<usize>]) -> Vec<Option<usize>> {
        input_shape.to_vec()
    }
}

/// Properties.
impl Layer {
    /// Returns alpha. For inputs that tend to negative infinity, the output tends to `-alpha`.
    pub fn alpha(&self) -> f64 {
        self.elu.factors().alpha()
    }

    /// Returns how results are rounded.
    pub fn rounding(&self) -> Rounding {
        self.elu.rounding()
    }

    /// Sets how results are rounded, which is [`Rounding::Faithful`] by default. Keras has no such setting, so the
    /// configuration does not contain it.
    pub fn set_rounding(&mut self, rounding: Rounding) {
        self.elu = self.elu.with_rounding(rounding);
    }

    /// Returns the regularizer of the outputs, or `None`.
    pub fn activity_regularizer(&self) -> Option<Regularizer> {
        self.activity_regularizer
    }

    /// Sets or removes the regularizer. The change applies to later calls.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) if a factor is negative, infinite or NaN;
    /// the layer then keeps its regularizer.
    pub fn set_activity_regularizer(&mut self, regularizer: Option<Regularizer>) -> Result<()> {
        if let Some(regularizer) = regularizer {
            regularizer.check()?;
        }
        self.activity_regularizer = regularizer;
        Ok(())
    }

    /// Returns whether [`Layer::build`] or a call has marked the layer as built. (In Keras 3, an ELU layer is always
    /// built.)
    pub fn built(&self) -> bool {
        self.built.load(Ordering::Relaxed)
    }

    /// Returns the number of weights, which is 0.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NotBuilt`] if the layer is not built, as Keras' documentation says. (Keras 3 returns 0.)
    pub fn count_params(&self) -> Result<usize> {
        if self.built() {
            Ok(0)
        } else {
            Err(LayerError::NotBuilt {
                layer: self.name.clone(),
            }
            .into())
        }
    }

    /// Returns the dtype that the layer computes in. The constructor sets it, or else the first call; before that, it
    /// is `None`. (In `tf_keras` and Keras 3 it is float32 unless the constructor sets another one.)
    pub fn dtype(&self) -> Option<DType> {
        self.dtype.get().copied()
    }

    /// Returns the layer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns Keras' `trainable` flag. It affects neither ELU nor its losses.
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    /// Sets Keras' `trainable` flag. It affects neither ELU nor its losses.
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }
}

/// Losses.
impl Layer {
    /// Returns the losses of the activity regularizer: first the loss of the last call on data, if it had one, then the
    /// losses of all nodes.
    ///
    /// As in `tf_keras` and Keras 3, only the last call on data counts; 1.x keeps the losses of all calls. For the
    /// formula, see [`Regularizer::activity_loss`].
    pub fn losses(&self) -> Vec<Loss> {
        let calls = self.calls();
        let data = calls.last_loss.iter().cloned().map(Loss::Data);
        let nodes = calls.nodes.iter().filter_map(|node| node.loss.clone());
        data.chain(nodes.map(Loss::Symbolic)).collect()
    }

    /// Returns the losses of the nodes that depend on any of `inputs`, directly or through other layers.
    ///
    /// If `inputs` is empty, the result is empty: for that case Keras returns the losses that depend on no input, and
    /// every loss of ELU depends on one. Losses of calls on data are not included.
    pub fn get_losses_for(&self, inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        let calls = self.calls();
        let losses = calls.nodes.iter().filter_map(|node| node.loss.as_ref());
        losses
            .filter(|loss| inputs.iter().any(|input| loss.depends_on(input)))
            .cloned()
            .collect()
    }

    /// Returns the updates that a training step runs. ELU has none, so the list is empty.
    pub fn updates(&self) -> Vec<SymbolicTensor> {
        Vec::new()
    }

    /// Returns the updates that depend on `inputs`. ELU has none, so the list is empty.
    pub fn get_updates_for(&self, _inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        Vec::new()
    }
}

/// Weights. ELU has none, so all lists are empty.
impl Layer {
    /// Returns all weights.
    pub fn weights(&self) -> &[Tensor] {
        &[]
    }

    /// Returns the same as [`Layer::weights`]. Keras has both names.
    pub fn variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the weights that training changes.
    pub fn trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the same as [`Layer::trainable_weights`]. Keras has both names.
    pub fn trainable_variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the weights that training does not change.
    pub fn non_trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the same as [`Layer::non_trainable_weights`]. Keras has both names.
    pub fn non_trainable_variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the values of the weights.
    pub fn get_weights(&self) -> Vec<Tensor> {
        self.weights().to_vec()
    }

    /// Accepts an empty list of weights, and does nothing.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::UnexpectedWeights`] if the list is not empty.
    pub fn set_weights(&self, weights: &[Tensor]) -> Result<()> {
        if weights.is_empty() {
            return Ok(());
        }
        Err(LayerError::UnexpectedWeights {
            layer: self.name.clone(),
            shapes: weights
                .iter()
                .map(|weight| weight.shape().to_vec())
                .collect(),
        }
        .into())
    }
}

// ---- Internals ----

/// The state that calls of the layer change.
#[derive(Debug, Default)]
struct Calls {
    nodes: Vec<Node>,
    /// The loss of the last call on data, if it had one.
    last_loss: Option<Tensor>,
}

impl Layer {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // No code that holds the lock leaves the state half changed, so it is valid even if the mutex is poisoned.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that data of dtype `found` fits the layer. Any dtype fits before the first call.
    fn check_dtype(&self, found: DType) -> Result<()> {
        match self.dtype() {
            Some(needed) if needed != found => Err(LayerError::DType {
                layer: self.name.clone(),
                needed,
                found,
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Sets the dtype at the first call, and marks the layer as built.
    fn record_call(&self, dtype: DType) -> Result<()> {
        self.dtype.get_or_init(|| dtype);
        self.check_dtype(dtype)?; // another thread may have set a different dtype first
        self.built.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns `elu`, `elu_1`, `elu_2` and so on, as Keras names its layers.
fn automatic_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    match NEXT.fetch_add(1, Ordering::Relaxed) {
        0 => "elu".into(),
        number => format!("elu_{number}"),
    }
}
