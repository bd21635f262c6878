//! Symbolic tensors: what a layer is connected to. They have a shape and a type, and no elements.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::dtype::DType;

/// Keras' symbolic tensor: a shape that may have unknown dimensions, a type, a name and perhaps a mask, but no elements and
/// no memory on any device.
///
/// [`SymbolicTensor::new`] makes an input, as Keras' `Input(batch_shape=…, dtype=…)` does;
/// [`Layer::connect`](super::Layer::connect) makes the others. Clones are the same tensor, and two that were made apart are
/// never equal.
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

/// A symbolic tensor, in the place where it is an input.
pub type Input = SymbolicTensor;

/// A symbolic mask: which of a tensor's elements count, as a shape without elements.
///
/// ELU passes masks on and looks into none. Clones are the same mask, and two that were made apart are never equal.
#[derive(Clone, Debug)]
pub struct Mask(Arc<[Option<usize>]>);

impl SymbolicTensor {
    /// An input. `None` in `shape` is a dimension that is not known yet, such as the batch size, which comes first.
    ///
    /// Its name is `input_1`, `input_2` and so on, over the process.
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

    /// This name instead. Names need not be unique. Where it has clones already, or a layer was connected to it, that is
    /// another tensor.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.changed(|symbol| symbol.name = name)
    }

    /// With this mask. As for a name, that may be another tensor.
    pub fn with_mask(self, mask: Mask) -> Self {
        self.changed(|symbol| symbol.mask = Some(mask))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its dimensions, slowest first; `None` is one that is not known yet.
    pub fn shape(&self) -> &[Option<usize>] {
        &self.0.shape
    }

    /// The type that its elements will have.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Its mask, if it has one.
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
    /// Without what it was made from, which may be a long story.
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
    /// A mask of this shape.
    pub fn new(shape: &[Option<usize>]) -> Self {
        Self(shape.into())
    }

    /// Its dimensions; `None` is one that is not known yet.
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
    /// The tensor that a layer made it from; none for an input.
    source: Option<SymbolicTensor>,
}

impl SymbolicTensor {
    /// What a layer makes of it: the same shape, type and mask under another name.
    pub(super) fn mapped(&self, name: String) -> Self {
        self.made_into(Symbol {
            name,
            shape: self.0.shape.clone(),
            dtype: self.0.dtype,
            mask: self.0.mask.clone(),
            source: None,
        })
    }

    /// A scalar made from it.
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

    /// Whether it is `other`, or was made from it through any number of layers.
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
    /// One after the other: through a long chain of layers, recursion would overflow the stack.
    fn drop(&mut self) {
        let mut source = self.source.take();
        while let Some(mut symbol) = source.and_then(|tensor| Arc::into_inner(tensor.0)) {
            source = symbol.source.take();
        }
    }
}
