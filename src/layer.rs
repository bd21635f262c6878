//! `tf.keras.layers.ELU`, member by member. The layer manages configuration and nodes; [`Elu`] computes.

mod config;
#[cfg(feature = "serde")]
mod json;
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
    tensor::Tensor,
};
pub use config::{Config, LayerBuilder};
use nodes::Node;
pub use symbolic::{Input, Mask, SymbolicTensor};

/// Keras' ELU layer, with the members of `tf.keras.layers.ELU` under their names.
///
/// As in Keras, there are two kinds of calls. [`Layer::call`] takes data, computes on the device of the data, and
/// creates no node. [`Layer::connect`] takes a symbolic tensor, computes nothing, and creates an inbound node.
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
/// If Keras' versions differ, each member names the version that it follows; `docs/keras.md` in the repository has the
/// table. All members take `&self`, except for the two that change the layer, so one layer can be called from many
/// threads. A chain of layers is a `try_fold`: `layers.iter().try_fold(x, |x, layer| layer.call(&x))`.
///
/// # Errors
///
/// Every call returns [`LayerError::DType`] if the dtype of the data is not that of the layer, which the constructor or
/// the first call fixed. (1.x computes in the dtype of the data; Keras 2 and 3 silently cast the data.)
///
/// Every member that describes nodes returns [`LayerError::NeverConnected`] if there are no nodes. Calls on data do not
/// create nodes.
#[derive(Debug)]
pub struct Layer {
    elu: Elu,
    name: String,
    trainable: bool,
    batch_input_shape: Option<Vec<Option<usize>>>,
    activity_regularizer: Option<Regularizer>,
    /// Empty until the first call, unless the constructor fixed the dtype.
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
    /// Creates a layer with this alpha and the default of every other keyword.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Alpha`] if alpha is NaN, which TensorFlow 1.x uses for `None`.
    pub fn new(alpha: impl Into<f64>) -> Result<Self> {
        Self::builder().alpha(alpha).build()
    }

    /// Starts Keras' constructor, with a method for each keyword: `alpha`, `name`, `trainable`, `dtype`, `input_shape`,
    /// `batch_input_shape`, `batch_size`, `activity_regularizer`.
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

    /// Creates a layer from the result of [`Layer::get_config`], or from JSON.
    ///
    /// If the name is missing or empty, the layer is named `elu`, `elu_1` and so on, numbered over the process. Given
    /// names need not be unique.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::Alpha`] if alpha is NaN; [`LayerError::Name`] if the name contains `/`, which Keras 3 does
    /// not allow; [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) if a factor is negative, infinite or
    /// NaN.
    pub fn from_config(config: &Config) -> Result<Self> {
        config.check()?;
        let layer = Self {
            elu: Elu::new(config.alpha),
            name: match &config.name {
                Some(name) if !name.is_empty() => name.clone(),
                _ => automatic_name(),
            },
            trainable: config.trainable,
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

    /// Returns the configuration of the layer, with its name and the dtype that is fixed by now.
    ///
    /// As in Keras 3, alpha is the number that was passed (1.x rounds it to float32), and the regularizer is included
    /// (1.x omits it).
    pub fn get_config(&self) -> Config {
        Config {
            alpha: self.alpha(),
            name: Some(self.name.clone()),
            trainable: self.trainable,
            dtype: self.dtype(),
            batch_input_shape: self.batch_input_shape.clone(),
            activity_regularizer: self.activity_regularizer,
            build_input_shape: None,
        }
    }
}

/// Calls.
impl Layer {
    /// Computes ELU of `inputs` on their device: Keras' `__call__` on data.
    ///
    /// It creates no node. If the layer has an activity regularizer, its loss is computed on the same device, and
    /// replaces the loss of the last call in [`Layer::losses`].
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
        self.called(inputs.dtype())?;
        // The previous loss is dropped after the lock is released.
        let _before = std::mem::replace(&mut self.calls().last_loss, loss);
        Ok(outputs)
    }

    /// Does what [`Layer::call`] does, under its other name in TensorFlow 1.x.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Layer::call`].
    pub fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        self.call(inputs)
    }

    /// Returns the symbolic output for a symbolic input, which has the same shape, dtype and mask: Keras' `__call__` on
    /// `Input(…)`.
    ///
    /// It creates an inbound node and computes nothing.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every call](Self#errors).
    pub fn connect(&self, input: &SymbolicTensor) -> Result<SymbolicTensor> {
        self.called(input.dtype())?;
        let mut calls = self.calls();
        // As in TensorFlow, the first node has no number.
        let name = |what: &str| match calls.nodes.len() {
            0 => format!("{}/{what}", self.name),
            node => format!("{}/{what}_{node}", self.name),
        };
        let output = input.mapped(name("output"));
        let loss = self
            .activity_regularizer
            .map(|_| output.reduced(name("activity_regularizer"), input.dtype().arithmetic()));
        calls.nodes.push(Node {
            input: input.clone(),
            output: output.clone(),
            loss,
        });
        Ok(output)
    }

    /// Returns the gradient with respect to `inputs`, from the gradient with respect to the outputs: see
    /// [`Elu::backward`]. In Keras this is the job of the backend.
    ///
    /// It is the gradient of the outputs only, without that of an activity regularizer's loss.
    ///
    /// # Errors
    ///
    /// Returns the [errors of every call](Self#errors) and of [`Elu::backward`].
    pub fn backward(&self, inputs: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.check_dtype(inputs.dtype())?;
        self.elu.backward(inputs, grad)
    }

    /// Marks the layer as built. ELU has nothing to build, so any shape is accepted, any number of times.
    ///
    /// As in Keras, this defines neither [`Layer::input_shape`] nor [`Layer::dtype`]. Every call also builds the layer.
    pub fn build(&self, _input_shape: &[Option<usize>]) {
        self.built.store(true, Ordering::Relaxed);
    }

    /// Returns the mask of the outputs, which is `mask`, a [`Mask`] or any other type.
    pub fn compute_mask<I: ?Sized, M>(&self, _inputs: &I, mask: Option<M>) -> Option<M> {
        mask
    }

    /// Returns the shape of the outputs for inputs of `input_shape`, which is the same.
    pub fn compute_output_shape(&self, input_shape: &[Option<usize>]) -> Vec<Option<usize>> {
        input_shape.to_vec()
    }
}

/// Properties.
impl Layer {
    /// Returns alpha: the negative side tends to `-alpha`.
    pub fn alpha(&self) -> f64 {
        self.elu.factors().alpha()
    }

    /// Returns the regularizer of the outputs, if any.
    pub fn activity_regularizer(&self) -> Option<Regularizer> {
        self.activity_regularizer
    }

    /// Sets or removes the regularizer for future calls.
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

    /// Returns whether the layer was built, by [`Layer::build`] or by a call. (In Keras 3 every layer of this kind is
    /// built.)
    pub fn built(&self) -> bool {
        self.built.load(Ordering::Relaxed)
    }

    /// Returns the number of weights, which is 0.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NotBuilt`] before the layer is built, as documented by Keras. (Keras 3 returns 0.)
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

    /// Returns the dtype that the layer computes in: that of the constructor, else that of the first call, else `None`.
    /// (In Keras 2 and 3 it is float32 unless the constructor sets it.)
    pub fn dtype(&self) -> Option<DType> {
        self.dtype.get().copied()
    }

    /// Returns the layer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the flag that Keras calls `trainable`. It has no effect on ELU or its losses.
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    /// Sets the flag that Keras calls `trainable`, see [`Layer::trainable`].
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }
}

/// Losses.
impl Layer {
    /// Returns the losses of the activity regularizer: first the loss of the last call on data, if any (as in Keras 2
    /// and 3; 1.x keeps the losses of all calls), then the losses of all nodes.
    ///
    /// [`Regularizer::activity_loss`] has the formula.
    pub fn losses(&self) -> Vec<Loss> {
        let calls = self.calls();
        let data = calls.last_loss.iter().cloned().map(Loss::Data);
        let nodes = calls.nodes.iter().filter_map(|node| node.loss.clone());
        data.chain(nodes.map(Loss::Symbolic)).collect()
    }

    /// Returns the losses of the nodes that depend on any of `inputs`, directly or through other layers.
    ///
    /// For no inputs the result is empty: Keras then returns the losses that depend on no input, and every loss of ELU
    /// depends on one. Losses of calls on data are not included.
    pub fn get_losses_for(&self, inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        let calls = self.calls();
        let losses = calls.nodes.iter().filter_map(|node| node.loss.as_ref());
        losses
            .filter(|loss| inputs.iter().any(|input| loss.comes_from(input)))
            .cloned()
            .collect()
    }

    /// Returns the updates that a training step runs, of which ELU has none.
    pub fn updates(&self) -> Vec<SymbolicTensor> {
        Vec::new()
    }

    /// Returns the updates that depend on `inputs`, of which ELU has none.
    pub fn get_updates_for(&self, _inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        Vec::new()
    }
}

/// Weights, of which ELU has none.
impl Layer {
    /// Returns all weights.
    pub fn weights(&self) -> &[Tensor] {
        &[]
    }

    /// Returns [`Layer::weights`], under its other name.
    pub fn variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the weights that training changes.
    pub fn trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns [`Layer::trainable_weights`], under its other name.
    pub fn trainable_variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns the weights that training does not change.
    pub fn non_trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// Returns [`Layer::non_trainable_weights`], under its other name.
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

/// The state that calls change.
#[derive(Debug, Default)]
struct Calls {
    nodes: Vec<Node>,
    last_loss: Option<Tensor>,
}

impl Layer {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing can panic while the lock is held, so the state is valid even after a poisoning.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

    /// Fixes the dtype at the first call, and marks the layer as built.
    fn called(&self, dtype: DType) -> Result<()> {
        self.dtype.get_or_init(|| dtype);
        self.check_dtype(dtype)?; // another thread may have fixed it first
        self.built.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn automatic_name() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    match MADE.fetch_add(1, Ordering::Relaxed) {
        0 => "elu".into(),
        n => format!("elu_{n}"),
    }
}
