//! `tf.keras.layers.ELU`, member by member: policy and bookkeeping around [`Elu`], and no arithmetic.

mod config;
#[cfg(feature = "serde")]
mod json;
mod node;
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
use node::Node;
pub use symbolic::{Input, Mask, SymbolicTensor};

/// Keras' ELU layer, with the members of `tf.keras.layers.ELU` under their names.
///
/// There are two kinds of call, as in Keras. On data, [`Layer::call`] computes on the device that the data is on, and leaves
/// no node. On a symbolic tensor, [`Layer::connect`] computes nothing and makes an inbound node, which
/// [`input`](Layer::input), [`output`](Layer::output), their shapes and masks, and the `get_…_at` family read.
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
/// Where Keras' versions differ, each member says which one is followed; `docs/keras.md` in the repository has the table. All
/// members take `&self`, but for the two that change what the layer is, so that one layer may be called from many
/// threads. A chain of layers is a `try_fold`: `layers.iter().try_fold(x, |x, layer| layer.call(&x))`.
///
/// # Errors
///
/// Those of every call: [`LayerError::DType`] if the type is not the layer's, which the constructor fixed, or else the first
/// call. (1.x computes in the data's type whatever the layer's is; Keras 2 and 3 cast the data in silence.)
///
/// Those of every member that reads nodes: [`LayerError::NeverConnected`] where there are none, however often the layer was
/// called on data.
#[derive(Debug)]
pub struct Layer {
    elu: Elu,
    name: String,
    trainable: bool,
    batch_input_shape: Option<Vec<Option<usize>>>,
    activity_regularizer: Option<Regularizer>,
    /// Empty until the first call, unless the constructor was given one.
    dtype: OnceLock<DType>,
    built: AtomicBool,
    calls: Mutex<Calls>,
}

/// An entry of [`Layer::losses`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// Of a call on data: a scalar on the data's device, float64 for float64 data and float32 for all other.
    Data(Tensor),
    /// Of a node: a scalar that is computed when data goes through.
    Symbolic(SymbolicTensor),
}

/// Construction.
impl Layer {
    /// A layer with this alpha, and all else by default.
    ///
    /// # Errors
    ///
    /// [`LayerError::Alpha`] if it is NaN, which is what TensorFlow 1.x makes of `None`.
    pub fn new(alpha: f64) -> Result<Self> {
        Self::builder().alpha(alpha).build()
    }

    /// Keras' constructor, keyword by keyword: `alpha`, `name`, `trainable`, `dtype`, `input_shape`, `batch_input_shape`,
    /// `batch_size`, `activity_regularizer`.
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

    /// A layer from what [`Layer::get_config`] gave, or from JSON.
    ///
    /// Without a name, and with an empty one, it is named `elu`, `elu_1` and so on, over the process. Names that are given
    /// need not be unique.
    ///
    /// # Errors
    ///
    /// [`LayerError::Alpha`] if alpha is NaN; [`LayerError::Name`] if the name contains `/`, which Keras 3 does not allow;
    /// [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) for a negative, infinite or NaN one.
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

    /// What it was constructed from, with the name that it got and the type that it has by now.
    ///
    /// As in Keras 3, alpha is what was passed (1.x rounds it to float32), and the regularizer is there (1.x leaves it out).
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
    /// ELU of `inputs`, on their device. Keras' `__call__` on data.
    ///
    /// It makes no node. With an activity regularizer, its loss is computed on the same device, and replaces that of the
    /// last call in [`Layer::losses`].
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors), and as [`Elu::forward`].
    pub fn call(&self, inputs: &Tensor) -> Result<Tensor> {
        self.check_dtype(inputs.dtype())?;
        let outputs = self.elu.forward(inputs)?;
        let loss = match self.activity_regularizer {
            Some(regularizer) => Some(regularizer.activity_loss(&outputs)?),
            None => None,
        };
        self.called(inputs.dtype())?;
        // The one before is let go of once the lock is.
        let _before = std::mem::replace(&mut self.calls().last_loss, loss);
        Ok(outputs)
    }

    /// [`Layer::call`] under its other name in TensorFlow 1.x.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        self.call(inputs)
    }

    /// The symbolic output for a symbolic input: the same shape, type and mask. Keras' `__call__` on `Input(…)`.
    ///
    /// It makes an inbound node and computes nothing.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors).
    pub fn connect(&self, input: &SymbolicTensor) -> Result<SymbolicTensor> {
        self.called(input.dtype())?;
        let mut calls = self.calls();
        // As TensorFlow's: the first has no number.
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

    /// The gradient with respect to `inputs`, from the gradient with respect to the outputs: see [`Elu::backward`]. Keras
    /// leaves this to its framework.
    ///
    /// It is the gradient of the outputs alone, without that of an activity regularizer's loss.
    ///
    /// # Errors
    ///
    /// [As listed above](Self#errors), and as [`Elu::backward`].
    pub fn backward(&self, inputs: &Tensor, grad: &Tensor) -> Result<Tensor> {
        self.check_dtype(inputs.dtype())?;
        self.elu.backward(inputs, grad)
    }

    /// Marks the layer as built. ELU has nothing to build: any shape will do, any number of times.
    ///
    /// As in Keras, that defines neither [`Layer::input_shape`] nor [`Layer::dtype`]. Every call builds, too.
    pub fn build(&self, _input_shape: &[Option<usize>]) {
        self.built.store(true, Ordering::Relaxed);
    }

    /// The mask of the outputs: `mask` itself, be it a [`Mask`] or anything else.
    pub fn compute_mask<I: ?Sized, M>(&self, _inputs: &I, mask: Option<M>) -> Option<M> {
        mask
    }

    /// The shape of the outputs for inputs of `input_shape`: the same.
    pub fn compute_output_shape(&self, input_shape: &[Option<usize>]) -> Vec<Option<usize>> {
        input_shape.to_vec()
    }
}

/// What it is.
impl Layer {
    /// What the negative side tends to, with its sign changed.
    pub fn alpha(&self) -> f64 {
        self.elu.factors().alpha()
    }

    /// The regularizer of its outputs, if there is one.
    pub fn activity_regularizer(&self) -> Option<Regularizer> {
        self.activity_regularizer
    }

    /// Another regularizer, or none, for the calls to come.
    ///
    /// # Errors
    ///
    /// [`Error::RegularizerFactor`](crate::Error::RegularizerFactor) for a negative, infinite or NaN factor; the layer then keeps what it had.
    pub fn set_activity_regularizer(&mut self, regularizer: Option<Regularizer>) -> Result<()> {
        if let Some(regularizer) = regularizer {
            regularizer.check()?;
        }
        self.activity_regularizer = regularizer;
        Ok(())
    }

    /// Whether it was built, by [`Layer::build`] or by a call. (In Keras 3 it always is.)
    pub fn built(&self) -> bool {
        self.built.load(Ordering::Relaxed)
    }

    /// The number of its weights: 0.
    ///
    /// # Errors
    ///
    /// [`LayerError::NotBuilt`], as Keras' page says. (Keras 3 gives 0 there too.)
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

    /// The type that it computes in: the constructor's, else that of the first call, else none yet. (In Keras 2 and 3 it is
    /// float32 unless the constructor is told otherwise.)
    pub fn dtype(&self) -> Option<DType> {
        self.dtype.get().copied()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kept for Keras' sake: it makes no difference, for the losses neither.
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    /// Kept for Keras' sake, see [`Layer::trainable`].
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }
}

/// Losses.
impl Layer {
    /// The losses of its activity regularizer: that of the last call on data, if there was one (as in Keras 2 and 3, where
    /// 1.x keeps them all), and then those of all nodes.
    ///
    /// For the formula see [`Regularizer::activity_loss`].
    pub fn losses(&self) -> Vec<Loss> {
        let calls = self.calls();
        let data = calls.last_loss.iter().cloned().map(Loss::Data);
        let nodes = calls.nodes.iter().filter_map(|node| node.loss.clone());
        data.chain(nodes.map(Loss::Symbolic)).collect()
    }

    /// The losses of the nodes that come from any of `inputs`, through whatever layers.
    ///
    /// Of no inputs there are none: Keras then gives the losses that depend on none, and ELU's all do. Losses of data are
    /// not among them.
    pub fn get_losses_for(&self, inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        let calls = self.calls();
        let losses = calls.nodes.iter().filter_map(|node| node.loss.as_ref());
        losses
            .filter(|loss| inputs.iter().any(|input| loss.comes_from(input)))
            .cloned()
            .collect()
    }

    /// Updates that a training step would run: ELU has none.
    pub fn updates(&self) -> Vec<SymbolicTensor> {
        Vec::new()
    }

    /// The updates that come from `inputs`: ELU has none.
    pub fn get_updates_for(&self, _inputs: &[&SymbolicTensor]) -> Vec<SymbolicTensor> {
        Vec::new()
    }
}

/// Weights, of which ELU has none.
impl Layer {
    /// All weights.
    pub fn weights(&self) -> &[Tensor] {
        &[]
    }

    /// [`Layer::weights`] under its other name.
    pub fn variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Weights that training changes.
    pub fn trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// [`Layer::trainable_weights`] under its other name.
    pub fn trainable_variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// Weights that training leaves alone.
    pub fn non_trainable_weights(&self) -> &[Tensor] {
        self.weights()
    }

    /// [`Layer::non_trainable_weights`] under its other name.
    pub fn non_trainable_variables(&self) -> &[Tensor] {
        self.weights()
    }

    /// The weights' values.
    pub fn get_weights(&self) -> Vec<Tensor> {
        self.weights().to_vec()
    }

    /// Takes no weights, and does nothing.
    ///
    /// # Errors
    ///
    /// [`LayerError::UnexpectedWeights`] if there are any.
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

/// What calls leave behind.
#[derive(Debug, Default)]
struct Calls {
    nodes: Vec<Node>,
    last_loss: Option<Tensor>,
}

impl Layer {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing that could panic is done while it is locked.
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

    /// Fixes what the first call fixes.
    fn called(&self, dtype: DType) -> Result<()> {
        self.dtype.get_or_init(|| dtype);
        self.check_dtype(dtype)?; // another thread may have been first
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
