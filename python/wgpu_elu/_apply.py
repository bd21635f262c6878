"""Applies operations to arrays of any layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wgpu_elu import _core
from wgpu_elu._arguments import alpha_array, check_lists, is_arrow, is_bfloat16, type_name, unwrap


def apply(op: str, function: str, alpha: Any, x: Any, grad: Any, out: Any, device: str, rounding: str) -> Any:
    """Apply an operation. Forward has no `grad`."""
    if op == "forward" and out is None and type(alpha) is float and type(x) is np.ndarray and x.size < 4096:
        # Saves most of the time of a short array.
        result = _core.forward(x, function, alpha, rounding, device)
        if result is not None:
            return result
    is_array = type(x) is np.ndarray and (op == "forward" or type(grad) is np.ndarray)
    if is_array and type(alpha) is float and (out is None or type(out) is np.ndarray):
        # The usual case, without the steps that others need.
        result = np.empty_like(x) if out is None else out
        if _core.apply(op, function, alpha, rounding, device, x, grad, result):
            return result
    array, wrap = unwrap("y" if op == "backward-from-output" else "x", x)
    arrays = [array]
    if op != "forward":
        arrays.append(_like(array, "grad", grad, x))
    if type(alpha) is not float:
        alpha = float(alpha) if type(alpha) is int else _alpha(alpha, array.shape, x)
    if out is None:
        result = np.empty_like(array, dtype=array.dtype.newbyteorder("="))
    else:
        result = _target(array, x, out)
    if type(alpha) is not float or not _run(op, function, alpha, rounding, device, arrays, result):
        _run_on_copies(op, function, alpha, rounding, device, arrays, result)
    return wrap(result) if out is None else out


def _run(
    op: str,
    function: str,
    alpha: float | list[float],
    rounding: str,
    device: str,
    arrays: Sequence[np.ndarray | None],
    out: np.ndarray,
) -> bool:
    """Apply an operation if the arrays have the same contiguous layout. If the last is None, `out` holds it."""
    run = _core.apply
    if is_bfloat16(out.dtype):
        # As bits, because the dtype belongs to a package that need not be installed.
        run = _core.apply_bfloat16
        arrays = [None if array is None else _bits(array) for array in arrays]
        out = _bits(out)
    return run(op, function, alpha, rounding, device, arrays[0], arrays[1] if len(arrays) == 2 else None, out)


def _run_on_copies(
    op: str,
    function: str,
    alpha: float | np.ndarray,
    rounding: str,
    device: str,
    arrays: list[np.ndarray],
    out: np.ndarray,
) -> None:
    """Apply an operation to arrays of any layout, with alpha for all elements or broadcast to them.

    The axes along which alpha differs become the first, so that the elements with the same alpha are one row of a
    contiguous copy. No copy is made if the arrays have this layout already.
    """
    native = out.dtype.newbyteorder("=")
    if out.size == 0:  # only to check the other arguments
        empty = np.empty(0, native)
        _run(op, function, np.unique(alpha).tolist(), rounding, device, [empty for _ in arrays], np.empty(0, native))
        return
    alphas = np.broadcast_to(alpha, out.shape)
    axes = sorted(range(out.ndim), key=lambda axis: alphas.strides[axis] == 0)
    rows = alphas[tuple(0 if stride == 0 else slice(None) for stride in alphas.strides)]
    values = rows.ravel().tolist()
    views, target = [array.transpose(axes) for array in arrays], out.transpose(axes)
    if target.flags.c_contiguous and _run(op, function, values, rounding, device, views, target):
        return
    *others, last = [np.array(view, dtype=native, order="C") for view in views]
    _run(op, function, values, rounding, device, [*others, None], last)
    target[...] = last


def _like(x: np.ndarray, name: str, value: Any, argument: Any) -> np.ndarray:
    """Return the array of an argument that must have the dtype and the shape of `x`, the array of `argument`."""
    array, wrap = unwrap(name, value)
    if array.dtype.newbyteorder("=") != x.dtype.newbyteorder("="):
        raise TypeError(f"{name}: needed elements of {x.dtype.name}, as the input has, found {array.dtype.name}")
    check_lists(name, value, argument)
    if array.shape != x.shape:
        raise ValueError(f"{name}: needed shape {x.shape}, as the input has, found {array.shape}")
    return array


def _target(x: np.ndarray, argument: Any, out: Any) -> np.ndarray:
    """Return the array of `out`. `argument` is the argument of which `x` is the array."""
    if is_arrow(argument):
        raise TypeError("out: an Arrow array cannot be changed, and another kind of array would lose its nulls")
    if not isinstance(out, np.ndarray) and not hasattr(out, "__dlpack__"):
        raise TypeError(f"out: needed a NumPy array, or an object with __dlpack__, found {type_name(out)}")
    array = _like(x, "out", out, argument)
    if not array.flags.writeable:
        raise ValueError("out: needed an array that can be written, found a read-only one")
    return array


def _alpha(alpha: Any, shape: tuple[int, ...], argument: Any) -> float | np.ndarray:
    """Return alpha as a number, or as an array of numbers that broadcasts to `shape`, the shape of `argument`."""
    array = alpha_array(alpha)
    if array.size == 1:
        return float(array.item())
    if is_arrow(argument):
        raise ValueError(f"alpha: needed a number, because the input is an Arrow array, found shape {array.shape}")
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"alpha: shape {array.shape} does not broadcast to shape {shape} of the input") from None
    return array


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint16)
