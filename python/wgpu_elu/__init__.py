"""The ELU activation and its gradients, within 1 ULP of the exact value (float64: 2 ULP).

ELU is ``x`` where ``x >= 0``, else ``alpha * (exp(x) - 1)``. The usual code computes ``exp(x) - 1`` as it stands, which
loses nearly all digits for small negative ``x``; these functions do not.

>>> import numpy as np
>>> import wgpu_elu
>>> x = np.array([-2, -1e-8, 0, 1.5], dtype=np.float32)
>>> wgpu_elu.elu(x)
array([-8.6466473e-01, -9.9999999e-09,  0.0000000e+00,  1.5000000e+00],
      dtype=float32)
>>> np.exp(x[1]) - 1
np.float32(0.0)

``wgpu_elu.keras`` has the layer for Keras 3. It is not imported with this package, which needs only NumPy.
"""

from __future__ import annotations

from typing import Any

from wgpu_elu import _core
from wgpu_elu._apply import apply as _call

__all__ = ["adapters", "celu", "elu", "elu_backward", "elu_backward_from_output", "selu"]
__version__ = _core.VERSION


def elu(x: Any, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> Any:
    """
    Return ELU: ``x`` where ``x >= 0``, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    x : number, array_like with a protocol
        A NumPy array of float16, float32, float64 or ``ml_dtypes.bfloat16``; a Python number; or an object with
        ``__dlpack__`` (such as a tensor of PyTorch or JAX) or ``__arrow_c_array__`` (such as an array of pyarrow: of
        floats or of lists of floats, with nulls). See Notes for what is copied.
    alpha : number or array_like, optional
        The negative side tends to ``-alpha``. An array broadcasts to `x`, as in ``alpha * x``: for channels on the last
        axis it has the shape ``(channels,)``, for channels on the second of four axes ``(channels, 1, 1)``. For an
        Arrow array it is a number.
    out : array, optional
        Where to write the result. It must have the shape and the dtype of `x`. It may be `x`, or share memory with it.
    device : str, optional
        ``"cpu"``; ``"gpu"`` for the best GPU, or the best software adapter if there is none; ``"auto"`` for the best
        hardware GPU that can compute this dtype, or the CPU if there is none; or a part of a name in `adapters`.
        See Notes.
    rounding : str, optional
        ``"faithful"`` results are within 1 ULP of the exact value (float64: 2 ULP). ``"nearest"`` results are the
        numbers nearest to the exact values, with the same bits on every device and machine.

    Returns
    -------
    y : same kind as `x`
        An array for an array, a float for a Python number, else an object of the library of `x`, or an array if the
        library has no function that makes one. `out` if it is given.

    Raises
    ------
    TypeError
        If `x` or `alpha` has another type or dtype. Arrays of integers are not converted: ``x.astype(np.float32)``
        does that.
    ValueError
        If `out` or `alpha` has an unsuitable shape, `out` is read-only, or `rounding` is unknown. If no GPU can compute
        it: nearest float64.
    OverflowError
        If `x` or `alpha` is a Python integer that is too large for a float.
    RuntimeError
        If there is no such device, or it fails; if the device lacks float64; in a process that was forked from one
        that uses a GPU, unless `device` is ``"cpu"``; or on Linux in a process that has imported TensorFlow, likewise.
        If another thread calls a function of this package with memory that one of the two calls writes.

    See Also
    --------
    elu_backward : the gradient.
    wgpu_elu.keras.ELU : the layer.

    Notes
    -----
    ``x >= 0``, -0, +infinity and NaN are returned unchanged in every bit, and -infinity gives ``-alpha``.

    Contiguous memory in this machine's byte order is read and written without a copy, except in two cases: `out` is
    the first argument of a gradient, or alpha is an array and the axes along which it differs are not the first. Each
    number of such an array takes a call of its own. For channels this costs little, but an alpha for each of 10^6
    float64 took 0.2 s, and one alpha for all of them 0.002 s.

    The default device is the CPU, because copying to a GPU and back takes longer than ELU on the CPU, which is about as
    fast as copying memory. With an NVIDIA H200, 2^28 float32 took 1.24 s on the GPU, upload and download included, and
    0.022 s on the 16 cores of the CPU (docs/benchmarks/2026-11-26-h200.md). `device` serves to find out what a GPU
    computes.

    TensorFlow on Linux exports its LLVM to every library of the process, and drivers of Mesa crash with it. Do not
    import TensorFlow after a GPU or `adapters` has been used.

    Other Python threads run while more than 4,095 elements are computed. More than 262,143 elements are divided among
    all cores, or as many threads as the variable ``RAYON_NUM_THREADS`` says.

    A process that is forked while another thread runs a function takes the memory of that call for busy forever.

    Some threads flush subnormal numbers to zero, such as those in which JAX runs callbacks. Called from there, the
    computation moves to threads that do not, if it has run on several threads before; ``wgpu_elu.keras`` starts them.

    Examples
    --------
    >>> wgpu_elu.elu(-0.5)
    -0.3934693402873666
    >>> x = np.array([[-1, 2], [-3, -4]], dtype=np.float32)
    >>> wgpu_elu.elu(x, [0.5, 2.0], rounding="nearest")
    array([[-0.31606027,  2.        ],
           [-0.47510648, -1.9633688 ]], dtype=float32)
    >>> wgpu_elu.elu(x, out=x) is x
    True
    """
    return _call("forward", "elu", alpha, x, None, out, device, rounding)


def selu(x: Any, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> Any:
    """
    Return SELU: ``scale * elu(x, alpha)`` with the constants of Klambauer, Unterthiner, Mayr and Hochreiter.

    Parameters
    ----------
    x, out, device, rounding
        As for `elu`.

    Returns
    -------
    y : same kind as `x`
        As for `elu`.

    Examples
    --------
    >>> wgpu_elu.selu(np.array([-1.0, 1.0]))
    array([-1.11133074,  1.05070099])
    """
    return _call("forward", "selu", 1.0, x, None, out, device, rounding)


def celu(x: Any, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> Any:
    """
    Return CELU: ``x`` where ``x >= 0``, else ``alpha * (exp(x / alpha) - 1)``, whose slope at 0 is 1 on both sides.

    Parameters
    ----------
    x, out, device, rounding
        As for `elu`.
    alpha : number or array_like, optional
        As for `elu`, but between 2^-64 and 2^64.

    Returns
    -------
    y : same kind as `x`
        As for `elu`.

    Raises
    ------
    ValueError
        If `alpha` is outside the range, and the errors of `elu`.

    Examples
    --------
    >>> wgpu_elu.celu(np.array([-1.0, 1.0]), 2.0)
    array([-0.78693868,  1.        ])
    """
    return _call("forward", "celu", alpha, x, None, out, device, rounding)


def elu_backward(
    x: Any, grad: Any, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> Any:
    """
    Return the gradient of `elu` with respect to `x`: `grad` times the slope at `x`.

    The slope is 1 where ``x > 0``, else ``alpha * exp(x)``; at 0 it is `alpha`.

    Parameters
    ----------
    x : number, array_like with a protocol
        The input of `elu`.
    grad : same kind as `x`
        The gradient with respect to the output, with the shape and the dtype of `x`.
    alpha, out, device, rounding
        As for `elu`. `out` may be `x` or `grad`.

    Returns
    -------
    grad_x : same kind as `x`
        As for `elu`.

    Examples
    --------
    >>> wgpu_elu.elu_backward(np.array([-1.0, 1.0]), np.array([2.0, 2.0]))
    array([0.73575888, 2.        ])
    """
    return _call("backward", "elu", alpha, x, grad, out, device, rounding)


def elu_backward_from_output(
    y: Any, grad: Any, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> Any:
    """
    Return the gradient of `elu` with respect to its input, computed from its output.

    The slope is 1 where ``y > 0``, else ``y + alpha``. This needs no input, so `elu` may have worked in place.

    Parameters
    ----------
    y : number, array_like with a protocol
        The output of `elu`.
    grad : same kind as `y`
        The gradient with respect to the output, with the shape and the dtype of `y`.
    alpha, out, device, rounding
        As for `elu`, but `alpha` is positive and finite. `out` may be `y` or `grad`.

    Returns
    -------
    grad_x : same kind as `y`
        As for `elu`.

    Raises
    ------
    ValueError
        If `alpha` is not positive and finite, and the errors of `elu`.

    Examples
    --------
    >>> y = wgpu_elu.elu(np.array([-1.0, 1.0]))
    >>> wgpu_elu.elu_backward_from_output(y, np.array([2.0, 2.0]))
    array([0.73575888, 2.        ])
    """
    return _call("backward-from-output", "elu", alpha, y, grad, out, device, rounding)


def adapters() -> list[str]:
    """
    Return the names of the adapters that can compute, best first.

    An adapter is a GPU, or a program that imitates one. `device` takes a part of a name.

    Raises
    ------
    RuntimeError
        As for `elu` with a GPU as its `device`.

    Examples
    --------
    >>> isinstance(wgpu_elu.adapters(), list)
    True
    """
    return _core.adapters()
