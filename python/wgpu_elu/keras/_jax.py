"""ELU as a function of JAX."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from wgpu_elu.keras import _numpy


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _forward(x: jax.Array, alpha: Sequence[float], shape: Sequence[int]) -> jax.Array:
    return _call(lambda x: _numpy.forward(x, alpha, shape), x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _backward(x: jax.Array, grad: jax.Array, alpha: Sequence[float], shape: Sequence[int]) -> jax.Array:
    return _call(lambda x, grad: _numpy.backward(x, grad, alpha, shape), x, grad)


def elu(x: jax.Array, alpha: Sequence[float], shape: Sequence[int]) -> jax.Array:
    """Return ELU."""
    if not isinstance(x, jax.Array):
        raise TypeError(f"x: needed a dense array, found {type(x).__name__}")
    return _elu(x, alpha, shape)


# Compiled once for each alpha. Otherwise JAX would compile the callback in every call that is not itself compiled.
_elu = jax.jit(_forward, static_argnums=(1, 2))
_elu_backward = jax.jit(_backward, static_argnums=(2, 3))


def _backward_gradients(alpha, shape, inputs, v):
    x, grad = inputs
    # Where x < 0, the slope alpha * exp(x) is its own derivative. Elsewhere the slope is constant.
    by_x = jnp.where(x > 0, jnp.zeros_like(x), _elu_backward(x, v * grad, alpha, shape))
    return by_x, _elu_backward(x, v, alpha, shape)


_forward.defvjp(
    lambda x, alpha, shape: (_forward(x, alpha, shape), x),
    lambda alpha, shape, x, grad: (_elu_backward(x, grad, alpha, shape),),
)
_backward.defvjp(
    lambda x, grad, alpha, shape: (_backward(x, grad, alpha, shape), (x, grad)),
    _backward_gradients,
)


def _call(function, *inputs):
    result = jax.ShapeDtypeStruct(inputs[0].shape, inputs[0].dtype)
    # Under vmap the new axis comes first, so alpha still broadcasts to the last axes.
    return jax.pure_callback(lambda *x: function(*map(np.asarray, x)), result, *inputs, vmap_method="broadcast_all")
