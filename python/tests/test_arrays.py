"""Layouts, dtypes, `out` and alpha of channels."""

import tracemalloc

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import wgpu_elu

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def values(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


def elementwise(x, alpha=1.0):
    """Return ELU of each element alone."""
    alpha = np.broadcast_to(alpha, x.shape)
    y = [wgpu_elu.elu(v, float(a)) for v, a in zip(x.astype(x.dtype.newbyteorder("=")).ravel(), alpha.ravel())]
    return np.array(y, x.dtype.newbyteorder("=")).reshape(x.shape)


@st.composite
def views(draw):
    """Return an array of any shape, strides, dtype and byte order."""
    dtype = draw(st.sampled_from(oracle.DTYPES))
    x = values(draw(SHAPES), dtype, draw(st.integers(0, 100)))
    if dtype.name != "bfloat16" and draw(st.booleans()):
        x = x.astype(dtype.newbyteorder(draw(st.sampled_from("<>"))))
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    x = x[..., *(slice(None, None, draw(st.sampled_from([1, 2, -1, -2]))) for _ in x.shape)]
    if draw(st.booleans()):
        x = np.broadcast_to(x, (2, *x.shape))
    if draw(st.booleans()):  # not aligned
        memory = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        memory[...] = x
        x = memory
    return x


@settings(max_examples=300, deadline=None)
@given(x=views())
def test_any_view(x):
    before = x.copy()
    y = wgpu_elu.elu(x)
    assert type(y) is np.ndarray
    assert y.dtype == x.dtype.newbyteorder("=") and y.dtype.isnative and y.shape == x.shape
    assert np.array_equal(oracle.bits(y), oracle.bits(elementwise(x)))
    assert np.array_equal(oracle.bits(x), oracle.bits(before))


@settings(max_examples=200, deadline=None)
@given(x=views(), order=st.sampled_from("CF"))
def test_gradients_of_any_view(x, order):
    grad = np.full(x.shape, 2, x.dtype.newbyteorder("="), order)
    result = wgpu_elu.elu_backward(x, grad)
    expected = wgpu_elu.elu_backward(np.array(x, grad.dtype, order=order), grad)
    assert np.array_equal(oracle.bits(result), oracle.bits(expected))


@settings(max_examples=200, deadline=None)
@given(x=views(), target=st.sampled_from(["C", "F", "strided", "swapped"]))
def test_any_out(x, target):
    native = x.dtype.newbyteorder("=")
    out = {
        "C": lambda: np.empty(x.shape, native, "C"),
        "F": lambda: np.empty(x.shape, native, "F"),
        "strided": lambda: np.empty((*x.shape, 2), native)[..., 0],
        "swapped": lambda: np.empty(x.shape, native if native.name == "bfloat16" else native.newbyteorder(">")),
    }[target]()
    assert wgpu_elu.elu(x, out=out) is out
    assert np.array_equal(oracle.bits(out.astype(native)), oracle.bits(wgpu_elu.elu(x)))


def test_out_in_place():
    x = values(1000)
    expected = wgpu_elu.elu(x)
    address = x.__array_interface__["data"][0]
    assert wgpu_elu.elu(x, out=x) is x
    assert x.__array_interface__["data"][0] == address
    assert np.array_equal(x, expected)


@settings(max_examples=200, deadline=None)
@given(first=st.integers(0, 30), second=st.integers(0, 30), third=st.integers(0, 30), step=st.sampled_from([1, 2, -1]))
def test_out_may_overlap_the_inputs(first, second, third, step):
    def views(memory):
        return [memory[start : start + 40][::step] for start in (first, second, third)]

    memory = values(100)
    x, grad, out = views(memory)
    expected = wgpu_elu.elu(x.copy())
    wgpu_elu.elu(x, out=out)
    assert np.array_equal(out, expected)

    memory = values(100)
    x, grad, out = views(memory)
    expected = wgpu_elu.elu_backward(x.copy(), grad.copy())
    wgpu_elu.elu_backward(x, grad, out=out)
    assert np.array_equal(out, expected)


def test_gradients_in_place():
    x, grad = values(50), values(50, seed=1)
    expected = wgpu_elu.elu_backward(x, grad)
    for out in ("x", "grad"):
        arrays = {"x": x.copy(), "grad": grad.copy()}
        assert wgpu_elu.elu_backward(**arrays, out=arrays[out]) is arrays[out]
        assert np.array_equal(arrays[out], expected)
    both = x.copy()
    wgpu_elu.elu_backward(both, both, out=both)
    assert np.array_equal(both, wgpu_elu.elu_backward(x, x))


def peak(function, *arguments, **keywords):
    """Return how many bytes NumPy allocates during a call, at most."""
    tracemalloc.start()
    result = function(*arguments, **keywords)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result is not None
    return size


def test_no_copy_is_made():
    x = np.zeros((4000, 2000), np.float32)
    rows = np.linspace(0.5, 2, 4000)[:, None]
    for view, alpha in [(x, 1.0), (x, 2), (x.T, 1.0), (x.T, 2), (x, rows), (x[None], rows)]:
        assert peak(wgpu_elu.elu, view, alpha, out=view) < 0.1 * x.nbytes
        assert peak(wgpu_elu.elu, view, alpha) < 1.1 * x.nbytes
        assert peak(wgpu_elu.elu_backward, view, view, alpha) < 1.1 * x.nbytes
    grad = np.zeros_like(x)
    assert peak(wgpu_elu.elu_backward, x, grad, out=grad) < 0.1 * x.nbytes


def test_where_copies_are_made():
    """As the documentation says."""
    x = np.zeros((400, 200), np.float32)
    grad = np.zeros_like(x)
    assert peak(wgpu_elu.elu_backward, x, grad, out=x) > x.nbytes
    assert peak(wgpu_elu.elu, x, np.ones(200), out=x) > x.nbytes
    assert peak(wgpu_elu.elu, x[::-1], out=x[::-1]) > x.nbytes


def test_a_read_only_array_can_be_read():
    x = values(10)
    x.flags.writeable = False
    y = wgpu_elu.elu(x)
    assert y.flags.writeable and np.array_equal(y, elementwise(x))


def test_layouts_of_results():
    x = values((3, 4, 5))
    assert wgpu_elu.elu(x).flags.c_contiguous
    assert wgpu_elu.elu(x.T).flags.f_contiguous
    assert wgpu_elu.elu(np.float32(1).reshape(())).shape == ()


def test_a_subclass_gives_an_array():
    class Subclass(np.ndarray):
        pass

    assert type(wgpu_elu.elu(values(3).view(Subclass))) is np.ndarray


@settings(max_examples=200, deadline=None)
@given(data=st.data(), x=views())
def test_alpha_broadcasts(data, x):
    shape = [data.draw(st.sampled_from([1, side])) for side in x.shape]
    alpha = values(shape[data.draw(st.integers(0, len(shape))) :], np.float64, 5)
    y = wgpu_elu.elu(x, alpha)
    assert np.array_equal(oracle.bits(y), oracle.bits(elementwise(x, alpha)))


def test_alpha_of_channels_in_gradients_and_in_place():
    x, grad, alpha = values((4, 3, 5)), values((4, 3, 5), seed=1), np.array([0.5, 1.0, 2.0]).reshape(3, 1)
    expected = np.stack([wgpu_elu.elu_backward(x[:, i], grad[:, i], alpha[i]) for i in range(3)], axis=1)
    assert np.array_equal(wgpu_elu.elu_backward(x, grad, alpha), expected)
    y = wgpu_elu.elu(x, alpha)
    expected = np.stack([wgpu_elu.elu_backward_from_output(y[:, i], grad[:, i], alpha[i]) for i in range(3)], axis=1)
    assert np.array_equal(wgpu_elu.elu_backward_from_output(y, grad, alpha), expected)
    expected = np.stack([wgpu_elu.celu(x[:, i], alpha[i]) for i in range(3)], axis=1)
    assert np.array_equal(wgpu_elu.celu(x, alpha), expected)
    assert wgpu_elu.elu(x, alpha, out=x) is x
    assert np.array_equal(x, y)


@pytest.mark.parametrize("alpha", [2, np.float16(2), np.array(2.0), [2.0], np.int8(2), np.full((1, 1), 2.0)])
def test_kinds_of_numbers_for_alpha(alpha):
    x = values(10)
    assert np.array_equal(wgpu_elu.elu(x, alpha), wgpu_elu.elu(x, 2.0))
