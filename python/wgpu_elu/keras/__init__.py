"""The ELU layer for Keras 3, on TensorFlow, JAX and PyTorch.

>>> import keras, numpy as np
>>> from wgpu_elu.keras import ELU
>>> model = keras.Sequential([keras.Input((3,)), ELU(alpha=0.5)])
>>> np.asarray(model(np.array([[-1e-8, -1, 2]], dtype=np.float32)))
array([[-5.0000000e-09, -3.1606027e-01,  2.0000000e+00]], dtype=float32)

The activation and its gradients are computed on the CPU path of wgpu-elu, so each backend gives the same bits.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np

from wgpu_elu import _core
from wgpu_elu._arguments import alpha_array
from wgpu_elu.keras._replace import Replacement

__all__ = ["ELU", "replace"]

_DTYPES = ("float16", "bfloat16", "float32", "float64")
_BACKENDS = ("jax", "tensorflow", "torch")
if keras.backend.backend() not in _BACKENDS:
    raise ImportError(
        f"wgpu_elu.keras needs the backend jax, tensorflow or torch of Keras, found {keras.backend.backend()}"
    )
_elu = importlib.import_module(f"wgpu_elu.keras._{keras.backend.backend()}").elu

# The threads of XLA and TensorFlow flush subnormal numbers to zero. The threads of wgpu_elu do not, if the thread that
# imports this module does not.
_core.start_threads()


@keras.saving.register_keras_serializable(package="wgpu_elu")
class ELU(keras.layers.ELU):
    """
    ELU: ``x`` where ``x >= 0``, else ``alpha * (exp(x) - 1)``.

    It takes the place of ``keras.layers.ELU``, of which it is a subclass with the same configuration. It is also an
    activation: ``keras.layers.Dense(3, activation=ELU())``.

    Parameters
    ----------
    alpha : number or array_like, optional
        The negative side tends to ``-alpha``. An array broadcasts to the input: alpha of each channel. The axes along
        which it differs need sizes that are the same in every call. It can be changed by ``layer.alpha = ...``; what
        was compiled before keeps the old value.
    **kwargs
        The arguments of every layer, such as `name`, `dtype` and `activity_regularizer`.

    Notes
    -----
    Results are within 1 ULP of the exact value (float64: 2 ULP). Gradients of any order can be computed in reverse
    mode. Inputs are dense: sparse and ragged tensors are refused.

    The computation is a call from the backend back into Python, on the CPU. A tensor on a GPU is copied to the CPU, and
    the result is copied back. These are not possible:

    - TensorFlow: XLA (Keras compiles a model with this layer without it), and the export as a SavedModel. It is refused
      for layers, but TensorFlow does not say what a function or a ``Lambda`` layer calls.
      ``model.save("model.keras")`` works everywhere.
    - JAX: forward mode (``jax.jvp``, ``jax.jacfwd``), and ``model.export``, whose error is JAX's own.
    - PyTorch: forward mode (``torch.func.jvp``), ``torch.func.grad`` and what is made of it, and compiled second
      derivatives. ``torch.func.vmap`` calls the layer for each slice.

    A file says of which class its layers are: a model that was saved with ``keras.layers.ELU`` loads with that class.
    ``replace(keras.saving.load_model(path))`` replaces it.

    To read a model with ELU layers of this class where this package is not installed, use
    ``keras.saving.load_model(path, custom_objects={"wgpu_elu>ELU": keras.layers.ELU})``.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from wgpu_elu.keras import ELU
    >>> layer = ELU(alpha=0.5, name="activation")
    >>> layer.get_config() == keras.layers.ELU(alpha=0.5, name="activation").get_config()
    True
    >>> np.asarray(layer(np.array([-1e-8], dtype=np.float32)))
    array([-5.e-09], dtype=float32)
    """

    def __init__(self, alpha: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(alpha=alpha, **kwargs)
        if keras.backend.backend() == "tensorflow":
            self.supports_jit = False

    @property
    def alpha(self) -> Any:
        """Alpha as a float or as lists of floats. It can be set. Functions compiled before keep the old value."""
        return np.reshape(self._alpha, self._alpha_shape).tolist()

    @alpha.setter
    def alpha(self, alpha: Any) -> None:
        values = alpha_array(alpha)
        self._alpha = tuple(values.ravel().tolist())
        self._alpha_shape = values.shape

    def call(self, inputs: Any) -> Any:
        """Return ELU of the inputs."""
        x = keras.ops.convert_to_tensor(inputs)
        self._check_broadcast(x.shape)
        dtype = keras.backend.standardize_dtype(x.dtype)
        if dtype not in _DTYPES:
            raise TypeError(f"x: needed elements of float16, bfloat16, float32 or float64, found {dtype}")
        return _elu(x, self._alpha, self._alpha_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        self._check_broadcast(input_shape)
        return input_shape

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the shape and the dtype of the output: without autocast, the dtype of the input."""
        dtype = self.compute_dtype if self.autocast else inputs.dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def _check_broadcast(self, shape: Any) -> None:
        """Fail if alpha does not broadcast to a shape, of which sizes or all may be unknown (None)."""
        if len(self._alpha) == 1 or getattr(shape, "rank", 0) is None:
            return
        sizes = [*zip(reversed(self._alpha_shape), reversed(tuple(shape)))]
        if len(sizes) < len(self._alpha_shape) or any(a != 1 and n is not None and a != n for a, n in sizes):
            raise ValueError(
                f"alpha: shape {self._alpha_shape} does not broadcast to shape {tuple(shape)} of the input"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as ``keras.layers.ELU`` does."""
        config: dict[str, Any] = super().get_config()
        config["alpha"] = self.alpha
        if not self.autocast:
            config["autocast"] = False
        return config

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        """Refuse what TensorFlow would save without an error and then fail to load."""
        if save_type == "savedmodel":
            raise ValueError(
                f"layer {self.name!r} cannot be part of a SavedModel, because it calls Python: "
                "use model.save('model.keras'), or replace the layer by keras.layers.ELU"
            )
        return super()._trackable_children(save_type, **kwargs)


def replace(model: keras.Model) -> keras.Model:
    """
    Return a copy of a model with every ELU replaced by `ELU`, which shares the weights of the model.

    These are replaced, also in nested models and within layers such as ``TimeDistributed``: layers of the class
    ``keras.layers.ELU``, ``activation="elu"`` and the like of any layer, and ``keras.ops.elu`` on symbolic tensors. Not
    replaced are other functions, such as ``tf.nn.elu`` or a ``functools.partial``, subclasses of ``keras.layers.ELU``,
    and what a layer calls in its own code. The copy computes in the same dtypes.

    If the copy is saved, what was replaced within a layer of a class of your own is lost, unless that layer's
    ``get_config`` describes it: loading calls the class's constructor, which makes the layers of Keras again. In this
    case save `model`, and replace after loading.

    Parameters
    ----------
    model : keras.Model
        A Functional or Sequential model, and no subclass, whose methods a copy would lose.

    Returns
    -------
    copy : keras.Model
        Its layers are new, and share the variables of the layers of `model`. It is not compiled.

    Raises
    ------
    TypeError
        If `model` is no model of Keras.
    ValueError
        If `model`, or a model in it that contains an ELU, is of another class, or `model` has not been built.

    Examples
    --------
    >>> import keras, wgpu_elu.keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="elu"), keras.layers.ELU()])
    >>> copy = wgpu_elu.keras.replace(model)
    >>> [type(copy.layers[0].activation).__module__, type(copy.layers[1]).__module__]
    ['wgpu_elu.keras', 'wgpu_elu.keras']
    >>> copy.layers[0].kernel is model.layers[0].kernel
    True
    """
    return Replacement(ELU).model(model)
