"""The same few operations for each backend of Keras."""

import keras
import numpy as np

BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf

    def compiled(function):
        return tf.function(function)

    def gradient(function):
        def result(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return result

elif BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)

    def compiled(function):
        return jax.jit(function)

    def gradient(function):
        return jax.grad(lambda x: function(x).sum())

else:
    import torch

    def compiled(function):
        torch._dynamo.reset()  # else it counts the compilations of all tests, and stops
        return torch.compile(function, backend="aot_eager", fullgraph=True)

    def gradient(function):
        def result(x):
            x = x if x.requires_grad else x.detach().requires_grad_()
            return torch.autograd.grad(function(x).sum(), x, create_graph=True)[0]

        return result


def compiled_gradient(function):
    """Return the gradient of a function, compiled: PyTorch does not compile the call of a gradient."""
    return gradient(compiled(function)) if BACKEND == "torch" else compiled(gradient(function))


def tensor(x):
    """Return a tensor of the backend with the same bits."""
    return keras.ops.convert_to_tensor(x, dtype=x.dtype.name)


def array(x):
    """Return a NumPy array with the same bits."""
    if BACKEND == "torch" and x.dtype == torch.bfloat16:
        import ml_dtypes

        return x.detach().cpu().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if BACKEND == "tensorflow":
        return np.asarray(x.numpy())
    return np.asarray(x.detach().cpu() if BACKEND == "torch" else x)
