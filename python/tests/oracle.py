"""Exact values from mpmath, and the distance of results from them."""

import ml_dtypes
import mpmath
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64)]
IDS = ["float16", "bfloat16", "float32", "float64"]

# The precision in bits and the exponent of the smallest normal number.
FORMATS = {"float16": (11, -14), "bfloat16": (8, -126), "float32": (24, -126), "float64": (53, -1022)}

mpmath.mp.prec = 300


def max_ulp(dtype):
    """Return the documented bound."""
    return 2 if dtype == np.float64 else 1


def factor(value, dtype):
    """Return a factor as the arithmetic of this dtype rounds it."""
    return mpmath.mpf(float(value if dtype == np.float64 else np.float32(value)))


def elu(x, alpha=1.0, scale=1.0, input_scale=1.0):
    """Return the exact value for one element."""
    x, dtype = mpmath.mpf(float(x)), x.dtype
    if x >= 0:
        return factor(scale, dtype) * x
    return factor(alpha * scale, dtype) * mpmath.expm1(factor(input_scale, dtype) * x)


def elu_backward(x, grad, alpha=1.0):
    """Return the exact gradient for one element."""
    x, grad, dtype = mpmath.mpf(float(x)), mpmath.mpf(float(grad)), x.dtype
    return grad if x > 0 else grad * factor(alpha, dtype) * mpmath.exp(x)


def elu_backward_from_output(y, grad, alpha=1.0):
    """Return the exact gradient for one element."""
    y, grad, dtype = mpmath.mpf(float(y)), mpmath.mpf(float(grad)), y.dtype
    return grad if y > 0 else grad * (y + factor(alpha, dtype))


def ulp(exact, dtype):
    """Return the distance between the neighbours of an exact value."""
    precision, smallest = FORMATS[np.dtype(dtype).name]
    exponent = smallest if exact == 0 else max(int(mpmath.floor(mpmath.log(abs(exact), 2))), smallest)
    return mpmath.ldexp(1, exponent - precision + 1)


def error(result, exact):
    """Return the distance of a result from the exact value, in ULP."""
    return float(abs(mpmath.mpf(float(result)) - exact) / ulp(exact, result.dtype))


def sample(dtype, count=200, seed=1):
    """Return finite numbers of all magnitudes, most of them negative."""
    rng = np.random.default_rng(seed)
    precision, smallest = FORMATS[np.dtype(dtype).name]
    exponents = rng.uniform(smallest - precision, 7, count)
    signs = np.where(rng.random(count) < 0.8, -1.0, 1.0)
    edges = [0.0, -0.0, -1.0, -0.5, 1.0, -np.log(2), -1e-8, -17.4, -88.0]
    return np.concatenate([edges, signs * 2.0**exponents]).astype(dtype)


def bits(array):
    """Return the bits of an array, which compare equal for NaN too."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
