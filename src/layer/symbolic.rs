//! Symbolic tensors: the inputs and outputs of connected layers. They have a shape and a dtype, but no elements.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::dtype::DType;

/// Keras' symbolic tensor. It has a shape, in which dimensions may be unknown, a dtype, a name and an optional mask,
/// but no elements and no memory on any device.
///
/// [`SymbolicTensor::new`] creates an input, like Keras' `Input(batch_shape=…, dtype=…)`.
/// [`Layer::connect`](super::Layer::connect) creates outputs. Clones of a tensor are equal. Tensors that were created
/// separately are never equal.
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

/// A symbolic tensor that is the input of a layer. The name is Keras'.
pub type Input = SymbolicTensor;

/// A symbolic mask, which marks the elements of a tensor that later layers should use. It has a shape but no elements.
///
/// ELU passes a mask from its input to its output and does not use it. Clones of a mask are equal. Masks that were
/// created separately are never equal.
#[derive(Clone, Debug)]
pub struct Mask(Arc<[Option<usize>]>);

impl SymbolicTensor {
    /// Creates an input of this shape. The first dimension is the batch size. `None` is a dimension that is not known
    /// yet.
    ///
    /// The input is named `input_1`, `input_2` and so on; the number is unique in the process.
    pub fn new(shape: &[Option<usize>], dtype: DType) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self(Arc::new(Symbol {
            name: format!("input_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            shape: shape.to_vec(),
            dtype,
            mask: None,
            source: None,
        }))
    }

    /// Returns the tensor with this name. Names need not be unique.
    ///
    /// If the tensor has clones or is the input of a node, the clones and the node keep the tensor with the old name.
    /// The result is then a different tensor.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.modified(|symbol| symbol.name = name)
    }

    /// Returns the tensor with this mask.
    ///
    /// If the tensor has clones or is the input of a node, the result is a different tensor, as with
    /// [`with_name`](Self::with_name).
    #[must_use]
    pub fn with_mask(self, mask: Mask) -> Self {
        self.modified(|symbol| symbol.mask = Some(mask))
    }

    /// Returns the tensor's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the dimensions in C order: the last one changes fastest. `None` is a dimension that is not known yet.
    pub fn shape(&self) -> &[Option<usize>] {
        &self.0.shape
    }

    /// Returns the dtype that the elements will have.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Returns the mask, or `None`.
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
    /// Omits the source, because the chain of sources may be long.
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

/// The contents of a symbolic tensor. Clones of the tensor share them.
#[derive(Clone)]
struct Symbol {
    name: String,
    shape: Vec<Option<usize>>,
    dtype: DType,
    mask: Option<Mask>,
    /// The tensor that this one was derived from; `None` for an input.
    source: Option<SymbolicTensor>,
}

impl SymbolicTensor {
    /// Returns the output of a layer for this tensor. It has the same shape, dtype and mask, and a name of its own.
    pub(super) fn derive_output(&self, name: String) -> Self {
        self.derive(Symbol {
            name,
            shape: self.0.shape.clone(),
            dtype: self.0.dtype,
            mask: self.0.mask.clone(),
            source: None,
        })
    }

    /// Returns a scalar that depends on this tensor.
    pub(super) fn derive_scalar(&self, name: String, dtype: DType) -> Self {
        self.derive(Symbol {
            name,
            shape: Vec::new(),
            dtype,
            mask: None,
            source: None,
        })
    }

    /// Returns a tensor with these contents, whose source is this tensor.
    fn derive(&self, mut symbol: Symbol) -> Self {
        symbol.source = Some(self.clone());
        Self(Arc::new(symbol))
    }

    /// Returns whether this tensor is `other`, or depends on it through any number of layers.
    pub(super) fn depends_on(&self, other: &Self) -> bool {
        std::iter::successors(Some(self), |tensor| tensor.0.source.as_ref())
            .any(|tensor| tensor == other)
    }

    /// Returns the tensor after `change`. If the tensor has clones or is the source of another tensor, changes a copy.
    fn modified(self, change: impl FnOnce(&mut Symbol)) -> Self {
        let mut symbol = Arc::unwrap_or_clone(self.0);
        change(&mut symbol);
        Self(Arc::new(symbol))
    }
}

impl Drop for Symbol {
    /// Drops the chain of sources in a loop, because recursion along a long chain would overflow the stack.
    fn drop(&mut self) {
        let mut source = self.source.take();
        while let Some(mut symbol) = source.and_then(|tensor| Arc::into_inner(tensor.0)) {
            source = symbol.source.take();
        }
    }
}
