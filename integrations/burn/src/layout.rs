//! Decides which tensors can be processed as consecutive elements.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};

/// Returns the tensors with their elements next to each other, in the same order in both. Copies them where necessary.
///
/// ELU does not depend on the order of the elements, so a transposed tensor needs no copy.
pub(crate) fn dense(x: CubeTensor, grad: Option<CubeTensor>) -> (CubeTensor, Option<CubeTensor>) {
    match grad {
        None if is_dense(&x) => (x, None),
        Some(grad) if is_dense(&x) && is_dense(&grad) && have_same_order(&x, &grad) => {
            (x, Some(grad))
        }
        grad => (into_contiguous(x), grad.map(into_contiguous)),
    }
}

// ---- Internals ----

/// Returns whether the elements lie next to each other, in any order. Returns false for a tensor in storage tiles.
fn is_dense(tensor: &CubeTensor) -> bool {
    if tensor.meta.is_tiled() {
        return false;
    }
    let dimensions = tensor.meta.shape().iter().zip(tensor.meta.strides().iter());
    let mut dimensions: Vec<_> = dimensions.filter(|(size, _)| **size != 1).collect();
    dimensions.sort_by_key(|(_, stride)| **stride);
    let mut needed_stride = 1;
    dimensions.into_iter().all(|(size, stride)| {
        let fits = *stride == needed_stride;
        needed_stride *= size;
        fits
    })
}

/// Returns whether the elements of two dense tensors of the same shape lie in the same order.
fn have_same_order(x: &CubeTensor, grad: &CubeTensor) -> bool {
    let strides = x.meta.strides().iter().zip(grad.meta.strides().iter());
    let mut dimensions = strides.zip(x.meta.shape().iter());
    x.meta.shape() == grad.meta.shape()
        && dimensions.all(|((x, grad), size)| x == grad || *size == 1)
}
