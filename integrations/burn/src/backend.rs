//! ELU as operations of burn's backends: wgpu, with and without fusion, and automatic differentiation.
//!
//! `Autodiff` does not implement [`EluGradient`], so burn's backward pass computes gradients on the backend inside it.

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    backend_extension,
    tensor::FloatTensor,
    wgpu::{CubeBackend, CubeTensor},
};
use wgpu_elu::{Elu, Op};

use crate::work::apply;

/// ELU. Burn's traits leave no way to return an error, so the result carries it: see [`apply`].
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub(crate) trait EluForward: Backend {
    #[fusion(dtype = x, shape = x)]
    fn wgpu_elu(x: FloatTensor<Self>, elu: Elu) -> FloatTensor<Self>;
}

/// The gradient of ELU with respect to `x`.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait EluGradient: Backend {
    #[fusion(dtype = x, shape = x)]
    fn wgpu_elu_backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        elu: Elu,
    ) -> FloatTensor<Self>;
}

impl EluForward for CubeBackend {
    fn wgpu_elu(x: CubeTensor, elu: Elu) -> CubeTensor {
        apply(Op::Forward, elu, x, None)
    }
}

impl EluGradient for CubeBackend {
    fn wgpu_elu_backward(x: CubeTensor, grad: CubeTensor, elu: Elu) -> CubeTensor {
        apply(Op::Backward, elu, x, Some(grad))
    }
}

impl<B: EluForward + EluGradient, C: CheckpointStrategy> EluForward for Autodiff<B, C> {
    fn wgpu_elu(x: FloatTensor<Self>, elu: Elu) -> FloatTensor<Self> {
        match EluBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let x = x.primitive().clone();
                prep.finish((x.clone(), elu), B::wgpu_elu(x, elu))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::wgpu_elu(x.into_primitive(), elu)),
        }
    }
}

// ---- Internals ----

/// The node in the graph of automatic differentiation.
#[derive(Debug)]
struct EluBackward;

impl<B: EluGradient> Backward<B, 1> for EluBackward {
    type State = (FloatTensor<B>, Elu);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, elu) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::wgpu_elu_backward(x, grad, elu)
        });
    }
}
