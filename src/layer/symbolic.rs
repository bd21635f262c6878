//! Symbolic tensors, which layers are connected to. They have a shape and a dtype, but no elements.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::dtype::DType;

/// Keras' symbolic tensor: a shape that may have unknown dimensions, a dtype, a name and possibly a mask, but no
/// elements and no memory on any device.
///
/// [`SymbolicTensor::new`] creates an input, like Keras' `Input(batch_shape=…, dtype=…)`.
/// [`Layer::connect`](super::Layer::connect) creates the others. Clones are the same tensor. Two tensors that were
/// created separately are never equal.
///
/// ```
/// use wgpu_elu::{DType, layer::Input};
///
/// let x = Input::new(&[None, Some(3)], DType::F32).with_name("x");
/// assert_eq!((x.name(), x.shape()), ("x", &[None, Some(3)][..]));
/// assert_eq!(x, x.clone());
/// assert_ne!(x, Input::new(&[None, Some(3)], DType::F32).with_name("x"));
/// ```
#[derive(Clone)]
pub struct SymbolicTensor(Arc<Symbol>);

/// A symbolic tensor that is used as an input.
pub type Input = SymbolicTensor;

/// A symbolic mask, which marks the elements of a tensor that count. It has a shape but no elements.
///
/// ELU passes masks on without reading them. Clones are the same mask. Two masks that were created separately are never
/// equal.
#[derive(Clone, Debug)]
pub struct Mask(Arc<[Option<usize>]>);

impl SymbolicTensor {
    /// Creates an input. `None` in `shape` is a dimension that is not known yet, such as the batch size, which comes
    /// first.
    ///
    /// The name is `input_1`, `input_2` and so on, numbered over the process.
    pub fn new(shape: &[Option<usize>], dtype: DType) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(1);
        Self(Arc::new(Symbol {
            name: format!("input_{}", MADE.fetch_add(1, Ordering::Relaxed)),
            shape: shape.to_vec(),
            dtype,
            mask: None,
            source: None,
        }))
    }

    /// Returns the tensor with this name. Names need not be unique. If the tensor has clones or a layer was connected
    /// to it, the result is a different tensor.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.changed(|symbol| symbol.name = name)
    }

    /// Returns the tensor with this mask. As with [`with_name`](Self::with_name), the result may be a different tensor.
    #[must_use]
    pub fn with_mask(self, mask: Mask) -> Self {
        self.changed(|symbol| symbol.mask = Some(mask))
    }

    /// Returns the tensor's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the dimensions, slowest-changing first. `None` is a dimension that is not known yet.
    pub fn shape(&self) -> &[Option<usize>] {
        &self.0.shape
    }

    /// Returns the dtype of the future elements.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Returns the mask, if any.
    pub fn mask(&self) -> Option<&Mask> {
        self.0.mask.as_ref()
    }
}

impl PartialEq for SymbolicTensor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SymbolicTensor {}

impl fmt::Debug for SymbolicTensor {
    /// Omits the source, which may be a long chain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymbolicTensor")
            .field("name", &self.name())
            .field("shape", &self.shape())
            .field("dtype", &self.dtype())
            .field("mask", &self.mask())
            .finish_non_exhaustive()
    }
}

impl Mask {
    /// Creates a mask of this shape.
    pub fn new(shape: &[Option<usize>]) -> Self {
        Self(shape.into())
    }

    /// Returns the dimensions. `None` is a dimension that is not known yet.
    pub fn shape(&self) -> &[Option<usize>] {
        &self.0
    }
}

impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Mask {}

// ---- Internals ----

#[derive(Clone)]
struct Symbol {
    name: String,
    shape: Vec<Option<usize>>,
    dtype: DType,
    mask: Option<Mask>,
    /// The tensor that a layer made this one from; `None` for an input.
    source: Option<SymbolicTensor>,
}

impl SymbolicTensor {
    /// Returns the output of a layer for this tensor: the same shape, dtype and mask under another name.
    pub(super) fn mapped(&self, name: String) -> Self {
        self.made_into(Symbol {
            name,
            shape: self.0.shape.clone(),
            dtype: self.0.dtype,
            mask: self.0.mask.clone(),
            source: None,
        })
    }

    /// Returns a scalar that depends on this tensor.
    pub(super) fn reduced(&self, name: String, dtype: DType) -> Self {
        self.made_into(Symbol {
            name,
            shape: Vec::new(),
            dtype,
            mask: None,
            source: None,
        })
    }

    fn made_into(&self, mut symbol: Symbol) -> Self {
        symbol.source = Some(self.clone());
        Self(Arc::new(symbol))
    }

    /// Returns whether this tensor is `other`, or depends on it through any number of layers.
    pub(super) fn comes_from(&self, other: &Self) -> bool {
        std::iter::successors(Some(self), |tensor| tensor.0.source.as_ref())
            .any(|tensor| tensor == other)
    }

    fn changed(self, change: impl FnOnce(&mut Symbol)) -> Self {
        let mut symbol = Arc::unwrap_or_clone(self.0);
        change(&mut symbol);
        Self(Arc::new(symbol))
    }
}

impl Drop for Symbol {
    /// Drops the chain of sources in a loop, because recursion through a long chain would overflow the stack.
    fn drop(&mut self) {
        let mut source = self.source.take();
        while let Some(mut symbol) = source.and_then(|tensor| Arc::into_inner(tensor.0)) {
            source = symbol.source.take();
        }
    }
}
