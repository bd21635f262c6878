"""ELU as a custom operator of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import torch

from wgpu_elu.keras import _numpy


@torch.library.custom_op("wgpu_elu::elu", mutates_args=())
def _forward(x: torch.Tensor, alpha: Sequence[float], shape: Sequence[int]) -> torch.Tensor:
    return _tensor(_numpy.forward(_array(x), alpha, shape), x)


@torch.library.custom_op("wgpu_elu::elu_backward", mutates_args=())
def _backward(x: torch.Tensor, grad: torch.Tensor, alpha: Sequence[float], shape: Sequence[int]) -> torch.Tensor:
    return _tensor(_numpy.backward(_array(x), _array(grad), alpha, shape), x)


@_forward.register_fake
def _(x, alpha, shape):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_backward.register_fake
def _(x, grad, alpha, shape):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _forward_gradient(ctx, grad):
    return _backward(ctx.saved_tensors[0], grad, ctx.alpha, ctx.shape), None, None


def _backward_gradients(ctx, v):
    x, grad = ctx.saved_tensors
    # Where x < 0, the slope alpha * exp(x) is its own derivative. Elsewhere the slope is constant.
    by_x = torch.where(x > 0, torch.zeros_like(x), _backward(x, v * grad, ctx.alpha, ctx.shape))
    return by_x, _backward(x, v, ctx.alpha, ctx.shape), None, None


def _save(ctx, inputs, output):
    *tensors, ctx.alpha, ctx.shape = inputs
    ctx.save_for_backward(*tensors)


_forward.register_autograd(_forward_gradient, setup_context=_save)
_backward.register_autograd(_backward_gradients, setup_context=_save)


def elu(x: torch.Tensor, alpha: Sequence[float], shape: Sequence[int]) -> torch.Tensor:
    """Return ELU."""
    if x.layout != torch.strided:
        raise TypeError(f"x: needed a dense tensor, found one with layout {x.layout}")
    # A custom operator has no tangent, and PyTorch would take it for zero without an error.
    if torch.autograd.forward_ad.unpack_dual(x).tangent is not None:
        raise NotImplementedError("wgpu_elu.keras.ELU has no derivative in PyTorch's forward mode: use reverse mode")
    return _forward(x, alpha, shape)


def _array(x: torch.Tensor) -> np.ndarray:
    """Return the elements in C order, since the results are."""
    x = x.detach().cpu().contiguous()
    if x.dtype == torch.bfloat16:  # NumPy has no bfloat16, so PyTorch makes no array of it
        array: np.ndarray = x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    else:
        array = x.numpy()
    return array


def _tensor(y: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the device of `x`."""
    if x.dtype == torch.bfloat16:
        return torch.from_numpy(y.view(np.int16)).view(torch.bfloat16).to(x.device)
    return torch.from_numpy(y).to(x.device)
