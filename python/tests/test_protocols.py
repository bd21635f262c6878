"""Python numbers, DLPack and Arrow."""

import sys
import types

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import wgpu_elu

X = np.array([-2.0, -1e-8, 0.0, 1.5, -0.5, 3.0], np.float32)
Y = wgpu_elu.elu(X)


def test_numbers():
    assert wgpu_elu.elu(2) == 2.0 and type(wgpu_elu.elu(2)) is float
    assert type(wgpu_elu.elu(-0.5)) is float
    assert wgpu_elu.elu_backward(-1.0, 2.0) == pytest.approx(2 * np.exp(-1))
    assert type(wgpu_elu.elu(np.float16(-1))) is np.float16
    assert type(wgpu_elu.elu(np.float64(-1))) is np.float64


class Tensor:
    """An object of a library that has nothing but DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_subclasses_of_a_library():
    """The class of a library is looked for in the classes that the type is derived from."""
    torch = pytest.importorskip("torch")

    class Weight(torch.Tensor):
        pass

    y = wgpu_elu.elu(torch.from_numpy(X).as_subclass(Weight))
    assert isinstance(y, torch.Tensor) and np.array_equal(y.numpy(), Y)


def test_dlpack_of_a_derived_class(monkeypatch):
    library = types.ModuleType("library")
    library.from_dlpack = lambda array: ("library", array)
    monkeypatch.setitem(sys.modules, "library", library)
    base = type("Base", (Tensor,), {"__module__": "library.tensors"})
    for derived in (base, type("Derived", (base,), {}), type("Lost", (base,), {"__module__": "not.imported"})):
        kind, y = wgpu_elu.elu(derived(X))
        assert kind == "library" and np.array_equal(y, Y)
    lost = type("Lost", (Tensor,), {"__module__": "not.imported"})
    assert type(wgpu_elu.elu(lost(X))) is np.ndarray


def test_dlpack_without_a_library():
    y = wgpu_elu.elu(Tensor(X))
    assert type(y) is np.ndarray and np.array_equal(y, Y)
    out = Tensor(np.empty_like(X))
    assert wgpu_elu.elu(Tensor(X), out=out) is out
    assert np.array_equal(out.array, Y)
    x = np.asfortranarray(X.reshape(2, 3))
    assert np.array_equal(wgpu_elu.elu(Tensor(x)), Y.reshape(2, 3))


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    y = wgpu_elu.elu(jnp.asarray(X))
    assert type(y) is type(jnp.asarray(X))
    assert np.array_equal(y, Y)
    grad = wgpu_elu.elu_backward(jnp.asarray(X), jnp.ones(6))
    assert type(grad) is type(y)
    with pytest.raises(TypeError, match="^x: NumPy cannot read a jaxlib._jax.ArrayImpl with elements of bfloat16"):
        wgpu_elu.elu(jnp.asarray(X, "bfloat16"))
    with pytest.raises(ValueError, match="^out: needed an array that can be written, found a read-only one$"):
        wgpu_elu.elu(jnp.asarray(X), out=jnp.asarray(X))


def test_torch():
    torch = pytest.importorskip("torch")
    y = wgpu_elu.elu(torch.from_numpy(X))
    assert type(y) is torch.Tensor and np.array_equal(y.numpy(), Y)
    x = torch.from_numpy(X.copy()).reshape(2, 3)
    assert np.array_equal(wgpu_elu.elu(x.T).numpy(), Y.reshape(2, 3).T)
    assert wgpu_elu.elu(x, out=x) is x
    assert np.array_equal(x.numpy().ravel(), Y)
    for tensor, reason in [
        (torch.zeros(2, dtype=torch.bfloat16), "torch.bfloat16"),
        (torch.zeros(2, requires_grad=True), "torch.float32"),
        (torch.zeros(2, device="meta"), "torch.float32"),
    ]:
        message = f"^x: NumPy cannot read a torch.Tensor with elements of {reason} through DLPack: "
        with pytest.raises(TypeError, match=message):
            wgpu_elu.elu(tensor)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_arrow(name):
    x = X.astype(name)
    y = wgpu_elu.elu(pa.array(x))
    assert type(y) is type(pa.array(x)) and np.array_equal(y, wgpu_elu.elu(x))


def test_arrow_nulls_and_slices():
    x = pa.array([None, -2.0, None, 1.5, -0.5, None], pa.float32())
    y = wgpu_elu.elu(x)
    assert y.type == pa.float32()
    assert y.to_pylist() == [None, Y[0], None, 1.5, Y[4], None]
    assert wgpu_elu.elu(x[1:5]).to_pylist() == [Y[0], None, 1.5, Y[4]]
    assert wgpu_elu.elu(x[:0]).to_pylist() == []
    y.validate(full=True)


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_arrow_lists(kind):
    x = pa.array([[-2.0, 1.5], None, [], [None, -0.5], [3.0]], kind(pa.float32()))
    y = wgpu_elu.elu(x)
    y.validate(full=True)
    assert y.type == x.type
    assert y.to_pylist() == [[Y[0], 1.5], None, [], [None, Y[4]], [3.0]]
    y = wgpu_elu.elu(x[2:4])
    y.validate(full=True)
    assert y.to_pylist() == [[], [None, Y[4]]]


def test_arrow_nested_and_fixed_lists():
    fixed = pa.list_(pa.float32(), 2)
    x = pa.array([[[-2.0, 1.5]], [], [None, [-0.5, 3.0]]], pa.list_(fixed))
    y = wgpu_elu.elu(x)
    y.validate(full=True)
    assert y.type == x.type
    assert y.to_pylist() == [[[Y[0], 1.5]], [], [None, [Y[4], 3.0]]]
    x = pa.array([[-2.0, 1.5], None, [-0.5, 3.0]], fixed)[1:]
    assert wgpu_elu.elu(x).to_pylist() == [None, [Y[4], 3.0]]


def test_arrow_without_a_library():
    class Array:
        def __arrow_c_array__(self, requested_schema=None):
            return pa.array(X).__arrow_c_array__(requested_schema)

    y = wgpu_elu.elu(Array())
    assert hasattr(y, "__arrow_c_array__")
    assert np.array_equal(pa.array(y), Y)


def test_arrow_gradients():
    x, grad = pa.array(X), pa.array(np.full(6, 2, np.float32))
    assert np.array_equal(wgpu_elu.elu_backward(x, grad), wgpu_elu.elu_backward(X, np.full(6, 2, np.float32)))


def test_arrow_gradients_of_lists():
    x = pa.array([[9.0], [-2.0, 1.5], [], [-0.5]], pa.list_(pa.float32()))[1:]
    grad = pa.array([[2.0, 2.0], [], [2.0]], pa.list_(pa.float32()))
    expected = wgpu_elu.elu_backward(np.array([-2.0, 1.5, -0.5], np.float32), np.full(3, 2, np.float32)).tolist()
    assert wgpu_elu.elu_backward(x, grad).to_pylist() == [expected[:2], [], expected[2:]]


def test_arrow_is_not_copied():
    x = pa.array(X)
    assert np.array_equal(np.asarray(x), X)
    from wgpu_elu import _core

    values = np.frombuffer(_core.ArrowFloats(x).values, np.float32)
    assert values.__array_interface__["data"][0] == x.buffers()[1].address


def test_polars():
    frame = pl.DataFrame({"x": [-2.0, None, 1.5]}, schema={"x": pl.Float32})
    y = frame.select(pl.col("x").map_batches(lambda x: pl.Series(wgpu_elu.elu(x.to_arrow())), return_dtype=pl.Float32))
    assert y["x"].to_list() == [Y[0], None, 1.5]
