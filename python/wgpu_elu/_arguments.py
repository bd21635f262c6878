"""Makes NumPy arrays of arguments, and results of arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from wgpu_elu import _core

_DTYPES = {np.dtype(name) for name in ("float16", "float32", "float64")}
_NEEDED = "a number, a NumPy array, or an object with __dlpack__ or __arrow_c_array__"
_NEEDED_ALPHA = "needed a number or an array of numbers"


def unwrap(name: str, value: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Return the array of an argument, and the function that makes a result of the same kind of an array."""
    if type(value) is np.ndarray:
        return _checked(name, value), _unchanged
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array would lose its mask: pass its data, or an Arrow array with nulls")
    if isinstance(value, np.ndarray):
        return _checked(name, np.asarray(value)), _unchanged
    if isinstance(value, np.generic):
        return _checked(name, np.asarray(value)), lambda y: y[()]
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        return np.asarray(float(value)), float
    if is_arrow(value):
        return _unwrap_arrow(name, value)
    if hasattr(value, "__dlpack__"):
        return _unwrap_dlpack(name, value)
    raise TypeError(f"{name}: needed {_NEEDED}, found {type_name(value)}")


def alpha_array(alpha: Any) -> np.ndarray:
    """Return alpha as an array of float64, which may be a number."""
    if isinstance(alpha, np.ma.MaskedArray):
        raise TypeError("alpha: a masked array would lose its mask: pass its data")
    nulls = getattr(alpha, "null_count", 0)  # of Arrow arrays; a method in Polars
    if nulls() if callable(nulls) else nulls:
        raise ValueError("alpha: needed an array without nulls")
    try:
        array = np.asarray(alpha)
    except ValueError:  # lists of different lengths
        raise TypeError(f"alpha: {_NEEDED_ALPHA}, found lists of different lengths") from None
    if array.dtype.kind not in "fiu" and not is_bfloat16(array.dtype):
        found = type_name(alpha) if array.ndim == 0 else f"elements of {array.dtype}"
        raise TypeError(f"alpha: {_NEEDED_ALPHA}, found {found}")
    return array.astype(np.float64)


def is_arrow(value: Any) -> bool:
    """Return whether a value is read as an Arrow array."""
    return hasattr(value, "__arrow_c_array__") and not isinstance(value, np.ndarray)


def check_lists(name: str, value: Any, x: Any) -> None:
    """Fail if two arguments are Arrow arrays whose floats are divided into lists in different ways."""
    if is_arrow(value) or is_arrow(x):
        value, x = [_core.ArrowFloats(one) if is_arrow(one) else None for one in (value, x)]
        if not _core.same_lists(value, x):
            raise ValueError(f"{name}: needed the same lists as the input has")


def is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether this is the dtype that ml_dtypes adds to NumPy."""
    return dtype.num >= 256 and dtype.name == "bfloat16"


def _unchanged(y: np.ndarray) -> np.ndarray:
    return y


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    dtype = array.dtype
    if dtype in _DTYPES or dtype.newbyteorder("=") in _DTYPES or is_bfloat16(dtype):
        return array
    raise TypeError(f"{name}: needed elements of float16, bfloat16, float32 or float64, found {dtype}")


def _unwrap_dlpack(name: str, value: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    try:
        array = np.from_dlpack(value)
    except Exception as error:  # each library has its own
        reason = next(iter(str(error).splitlines()), type_name(error))
        elements = f" with elements of {value.dtype}" if hasattr(value, "dtype") else ""
        raise TypeError(f"{name}: NumPy cannot read a {type_name(value)}{elements} through DLPack: {reason}") from error
    return _checked(name, array), _from_dlpack(value)


def _from_dlpack(value: Any) -> Callable[[np.ndarray], Any]:
    """Return the function `from_dlpack` of the library of a value, whose class may be derived from one of the library.

    TensorFlow has none for NumPy's arrays, so its tensor is a copy. For a library without one, the result is the array,
    which has the same protocol.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(value, tensorflow.Tensor):
        return lambda y: tensorflow.convert_to_tensor(y)
    if hasattr(value, "__array_namespace__"):
        namespaces = [value.__array_namespace__()]
    else:
        namespaces = [sys.modules.get(kind.__module__.partition(".")[0]) for kind in type(value).__mro__]
    return next((one.from_dlpack for one in namespaces if hasattr(one, "from_dlpack")), _unchanged)


def _unwrap_arrow(name: str, value: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    try:
        floats = _core.ArrowFloats(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    if name == "grad" and floats.null_count > 0:
        raise ValueError("grad: needed an Arrow array without nulls")
    array = np.frombuffer(floats.values, dtype=floats.dtype)
    kind = type(value)

    def wrap(y: np.ndarray) -> Any:
        result = floats.with_values(y.view(np.uint8))
        if kind.__module__.partition(".")[0] == "pyarrow":
            return sys.modules["pyarrow"].array(result)
        return kind.from_arrow(result) if hasattr(kind, "from_arrow") else result

    return array, wrap


def type_name(value: Any) -> str:
    """Return the name of a type for an error message."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
