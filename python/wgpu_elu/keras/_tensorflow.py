"""ELU as an operation of TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from wgpu_elu.keras import _numpy


def elu(x: tf.Tensor, alpha: Sequence[float], shape: Sequence[int]) -> tf.Tensor:
    """Return ELU."""
    if isinstance(x, (tf.Variable, keras.Variable)):
        x = tf.convert_to_tensor(x)
    if not isinstance(x, tf.Tensor):
        raise TypeError(f"x: needed a dense tensor, found tf.{type(x).__name__}")
    if x.shape.rank == 0:  # TensorFlow makes no array of a scalar of bfloat16
        return tf.reshape(elu(tf.reshape(x, [1]), alpha, shape), [])

    @tf.custom_gradient
    def forward(x):
        y = _call(lambda x: _numpy.forward(x, alpha, shape), x)
        return y, lambda grad: backward(x, grad)

    @tf.custom_gradient
    def backward(x, grad):
        def gradients(v):
            # Where x < 0, the slope alpha * exp(x) is its own derivative. Elsewhere the slope is constant.
            return tf.where(x > 0, tf.zeros_like(x), backward(x, v * grad)), backward(x, v)

        return _call(lambda x, grad: _numpy.backward(x, grad, alpha, shape), x, grad), gradients

    return forward(x)


def _call(function, *inputs):
    y = tf.numpy_function(function, inputs, inputs[0].dtype, stateful=False)
    return tf.ensure_shape(y, inputs[0].shape)
