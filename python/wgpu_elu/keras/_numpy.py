"""The activation and its gradient on NumPy arrays, for every backend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import wgpu_elu


def forward(x: np.ndarray, alpha: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Return ELU with alpha of this shape."""
    return wgpu_elu.elu(x, _alpha(alpha, shape))


def backward(x: np.ndarray, grad: np.ndarray, alpha: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Return the gradient with respect to `x`."""
    return wgpu_elu.elu_backward(x, grad, _alpha(alpha, shape))


def _alpha(alpha: Sequence[float], shape: Sequence[int]) -> float | np.ndarray:
    return np.reshape(alpha, shape) if len(shape) > 0 else alpha[0]
