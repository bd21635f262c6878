"""Errors, word for word."""

import numpy as np
import oracle
import polars as pl
import pyarrow as pa
import pytest

import wgpu_elu

X = np.array([-1.0, 2.0], np.float32)

NEEDED = "needed a number, a NumPy array, or an object with __dlpack__ or __arrow_c_array__"
ELEMENTS = "needed elements of float16, bfloat16, float32 or float64"
ARROW = "needed an Arrow array of float16, float32 or float64, or of lists of them"


def read_only():
    x = X.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wgpu_elu.elu("a"), TypeError, f"x: {NEEDED}, found str"),
        (lambda: wgpu_elu.elu([1.0]), TypeError, f"x: {NEEDED}, found list"),
        (lambda: wgpu_elu.elu(None), TypeError, f"x: {NEEDED}, found NoneType"),
        (lambda: wgpu_elu.elu(True), TypeError, f"x: {NEEDED}, found bool"),
        (lambda: wgpu_elu.elu(1j), TypeError, f"x: {NEEDED}, found complex"),
        (lambda: wgpu_elu.elu(np.arange(3)), TypeError, f"x: {ELEMENTS}, found int64"),
        (lambda: wgpu_elu.elu(np.int8(3)), TypeError, f"x: {ELEMENTS}, found int8"),
        (lambda: wgpu_elu.elu(np.array([X, None], object)), TypeError, f"x: {ELEMENTS}, found object"),
        (lambda: wgpu_elu.elu(np.zeros(2, complex)), TypeError, f"x: {ELEMENTS}, found complex128"),
        (lambda: wgpu_elu.elu(np.zeros(2, "U3")), TypeError, f"x: {ELEMENTS}, found <U3"),
        (lambda: wgpu_elu.elu(np.zeros(2, np.uint16)), TypeError, f"x: {ELEMENTS}, found uint16"),
        (
            lambda: wgpu_elu.elu(np.ma.array(X, mask=[True, False])),
            TypeError,
            "x: a masked array would lose its mask: pass its data, or an Arrow array with nulls",
        ),
        (lambda: wgpu_elu.elu(pa.array([1, 2])), TypeError, f"x: {ARROW}, found Int64"),
        (lambda: wgpu_elu.elu(pa.array([["a"]])), TypeError, f"x: {ARROW}, found List(Utf8)"),
        (
            lambda: wgpu_elu.elu(pa.array(X), out=X.copy()),
            TypeError,
            "out: an Arrow array cannot be changed, and another kind of array would lose its nulls",
        ),
        (
            lambda: wgpu_elu.elu_backward(pa.array(X), pa.array([1.0, None], pa.float32())),
            ValueError,
            "grad: needed an Arrow array without nulls",
        ),
        (
            lambda: wgpu_elu.elu_backward(X, X.astype(np.float64)),
            TypeError,
            "grad: needed elements of float32, as the input has, found float64",
        ),
        (
            lambda: wgpu_elu.elu_backward(X, X[:1]),
            ValueError,
            "grad: needed shape (2,), as the input has, found (1,)",
        ),
        (lambda: wgpu_elu.elu_backward(X, None), TypeError, f"grad: {NEEDED}, found NoneType"),
        (lambda: wgpu_elu.elu_backward_from_output("a", X), TypeError, f"y: {NEEDED}, found str"),
        (
            lambda: wgpu_elu.elu(X, out=np.zeros(2)),
            TypeError,
            "out: needed elements of float32, as the input has, found float64",
        ),
        (
            lambda: wgpu_elu.elu(X, out=np.zeros((2, 1), np.float32)),
            ValueError,
            "out: needed shape (2,), as the input has, found (2, 1)",
        ),
        (
            lambda: wgpu_elu.elu(X, out=read_only()),
            ValueError,
            "out: needed an array that can be written, found a read-only one",
        ),
        (
            lambda: wgpu_elu.elu(1.0, out=2.0),
            TypeError,
            "out: needed a NumPy array, or an object with __dlpack__, found float",
        ),
        (lambda: wgpu_elu.elu(X, "a"), TypeError, "alpha: needed a number or an array of numbers, found str"),
        (lambda: wgpu_elu.elu(X, None), TypeError, "alpha: needed a number or an array of numbers, found NoneType"),
        (lambda: wgpu_elu.elu(X, 1j), TypeError, "alpha: needed a number or an array of numbers, found complex"),
        (
            lambda: wgpu_elu.elu(X, np.ma.array([1.0, 2.0], mask=[True, False])),
            TypeError,
            "alpha: a masked array would lose its mask: pass its data",
        ),
        (
            lambda: wgpu_elu.elu(X, [[1.0], [1.0, 2.0]]),
            TypeError,
            "alpha: needed a number or an array of numbers, found lists of different lengths",
        ),
        (lambda: wgpu_elu.elu(X, True), TypeError, "alpha: needed a number or an array of numbers, found bool"),
        (
            lambda: wgpu_elu.elu(X, ["a", "b"]),
            TypeError,
            "alpha: needed a number or an array of numbers, found elements of <U1",
        ),
        (lambda: wgpu_elu.elu(X, pa.array([1.0, None])), ValueError, "alpha: needed an array without nulls"),
        (lambda: wgpu_elu.elu(X, pl.Series([1.0, None])), ValueError, "alpha: needed an array without nulls"),
        (
            lambda: wgpu_elu.elu(X, device=" "),
            ValueError,
            'device: needed "cpu", "gpu", "auto" or a part of an adapter\'s name, found " "',
        ),
        (
            lambda: wgpu_elu.elu(pa.array(X), [1.0, 2.0]),
            ValueError,
            "alpha: needed a number, because the input is an Arrow array, found shape (2,)",
        ),
        (
            lambda: wgpu_elu.elu(X, [1.0, 2.0, 3.0]),
            ValueError,
            "alpha: shape (3,) does not broadcast to shape (2,) of the input",
        ),
        (
            lambda: wgpu_elu.elu(X, np.ones((2, 2))),
            ValueError,
            "alpha: shape (2, 2) does not broadcast to shape (2,) of the input",
        ),
        (
            lambda: wgpu_elu.elu(X, rounding="up"),
            ValueError,
            'rounding: needed "faithful" or "nearest", found "up"',
        ),
        (
            lambda: wgpu_elu.elu(X, rounding=1),
            TypeError,
            "rounding: needed a string, found int",
        ),
        (
            lambda: wgpu_elu.elu(X, device=None),
            TypeError,
            "device: needed a string, found NoneType",
        ),
        (lambda: wgpu_elu.celu(X, 0.0), ValueError, "alpha must be between 2^-64 and 2^64, found 0"),
        (lambda: wgpu_elu.celu(X, [1.0, -1.0]), ValueError, "alpha must be between 2^-64 and 2^64, found -1"),
        (
            lambda: wgpu_elu.elu_backward_from_output(X, X, -1.0),
            ValueError,
            "backward-from-output needs a positive, finite alpha * scale in float32, found -1.0: use backward with the "
            "input of ELU",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert str(raised.value) == message


LISTS = pa.array([[1.0, -2.0], [-3.0]], pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("x", "grad"),
    [
        (LISTS, pa.array([[1.0], [2.0, 3.0]], LISTS.type)),
        (LISTS, pa.array([[1.0, 2.0], [], [3.0]], LISTS.type)),
        (LISTS, LISTS.cast(pa.large_list(pa.float32()))),
        (LISTS, pa.array(np.ones(3, np.float32))),
        (LISTS, np.ones(3, np.float32)),
        (np.ones(3, np.float32), LISTS),
        (pa.array([[[1.0], []]], pa.list_(LISTS.type)), pa.array([[[], [1.0]]], pa.list_(LISTS.type))),
        (pa.array([[1, 2]] * 3, pa.list_(pa.float32(), 2)), pa.array([[1, 2, 3]] * 2, pa.list_(pa.float32(), 3))),
    ],
)
def test_a_gradient_needs_the_lists_of_the_input(x, grad):
    with pytest.raises(ValueError, match="^grad: needed the same lists as the input has$"):
        wgpu_elu.elu_backward(x, grad)


@pytest.mark.parametrize("alpha", [1.0, [0.5, 2.0], np.ones((0, 2))])
@pytest.mark.parametrize("dtype", [*oracle.DTYPES, np.dtype(">f4")], ids=[*oracle.IDS, "swapped"])
def test_an_empty_array_is_checked_too(alpha, dtype):
    x = np.empty((0, 2), dtype)
    assert wgpu_elu.elu(x, alpha).shape == (0, 2)
    for call, error, message in [
        (lambda: wgpu_elu.elu(x, alpha, rounding="up"), ValueError, 'rounding: needed "faithful" or "nearest"'),
        (lambda: wgpu_elu.elu(x, alpha, device=1), TypeError, "device: needed a string"),
        (lambda: wgpu_elu.elu(x, alpha, device="no such"), RuntimeError, 'found no adapter named "no such"'),
        (lambda: wgpu_elu.celu(x, [1.0, 0.0]), ValueError, "alpha must be between 2^-64 and 2^64, found 0"),
        (lambda: wgpu_elu.celu(x, 0.0), ValueError, "alpha must be between 2^-64 and 2^64, found 0"),
        (lambda: wgpu_elu.elu_backward_from_output(x, x, [1.0, -1.0]), ValueError, "backward-from-output needs a"),
    ]:
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value).startswith(message)


def test_after_an_error_out_is_unchanged():
    out = X.copy()
    with pytest.raises(ValueError):
        wgpu_elu.celu(X, [1.0, 0.0], out=out)
    assert np.array_equal(out, X)


def test_a_number_that_is_no_float():
    with pytest.raises(OverflowError, match="^int too large to convert to float$"):
        wgpu_elu.elu(10**400)


def test_a_panic_is_an_exception():
    """The core checks nothing that the package guarantees, such as the alignment of new values."""
    floats = wgpu_elu._core.ArrowFloats(pa.array(X))
    with pytest.raises(RuntimeError, match="^internal error: Memory pointer .*not aligned"):
        floats.with_values(np.zeros(9, np.uint8)[1:])
    assert wgpu_elu.elu(pa.array(X)).to_pylist() == wgpu_elu.elu(X).tolist()
