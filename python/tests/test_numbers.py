"""Results against exact values."""

import mpmath
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wgpu_elu

ALPHAS = [1.0, 0.3, 2.0, -0.5]


@pytest.mark.parametrize("rounding", ["faithful", "nearest"])
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=oracle.IDS)
def test_results_keep_the_bound(dtype, rounding):
    bound = 0.5 if rounding == "nearest" else oracle.max_ulp(dtype)
    x = oracle.sample(dtype)
    grad = oracle.sample(dtype, seed=2)
    grad = np.clip(grad, -2, 2).astype(dtype)
    for alpha in ALPHAS:
        for y, exact in [
            (wgpu_elu.elu(x, alpha, rounding=rounding), [oracle.elu(v, alpha) for v in x]),
            (
                wgpu_elu.elu_backward(x, grad, alpha, rounding=rounding),
                [oracle.elu_backward(v, g, alpha) for v, g in zip(x, grad)],
            ),
        ]:
            assert y.dtype == dtype
            assert max(map(oracle.error, y, exact)) <= bound
    for alpha in (1.0, 0.3):
        y = wgpu_elu.elu(x, alpha)
        result = wgpu_elu.elu_backward_from_output(y, grad, alpha, rounding=rounding)
        exact = [oracle.elu_backward_from_output(v, g, alpha) for v, g in zip(y, grad)]
        assert max(map(oracle.error, result, exact)) <= bound
        y = wgpu_elu.celu(x, alpha, rounding=rounding)
        exact = [oracle.elu(v, alpha, input_scale=1 / alpha) for v in x]
        assert max(map(oracle.error, y, exact)) <= bound
    selu = {"alpha": 1.6732632423543772, "scale": 1.0507009873554805}
    y = wgpu_elu.selu(x, rounding=rounding)
    assert max(map(oracle.error, y, [oracle.elu(v, **selu) for v in x])) <= bound


@settings(max_examples=300, deadline=None)
@given(x=st.floats(width=32, allow_nan=False), alpha=st.floats(-100, 100))
def test_any_float32(x, alpha):
    x = np.float32(x)
    y = wgpu_elu.elu(x, alpha)
    assert type(y) is np.float32
    if x >= 0:
        assert oracle.bits(y) == oracle.bits(x)
    elif np.isinf(x) or np.float32(alpha) == 0:
        assert oracle.bits(y) == oracle.bits(np.float32(-alpha))
    else:
        assert oracle.error(y, oracle.elu(x, alpha)) <= 1


@settings(max_examples=300, deadline=None)
@given(x=st.floats(allow_nan=False, allow_infinity=False))
def test_a_python_number_is_a_float64(x):
    y = wgpu_elu.elu(x)
    assert type(y) is float
    assert oracle.error(np.float64(y), oracle.elu(np.float64(x))) <= 2


def test_the_usual_formula_loses_what_this_keeps():
    x = np.float32(-1e-8)
    assert np.exp(x) - 1 == 0
    assert wgpu_elu.elu(x) == x


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=oracle.IDS)
def test_special_values(dtype):
    x = np.array([0.0, -0.0, np.inf, 1.5, np.nan, -np.nan, -np.inf], dtype)
    y = wgpu_elu.elu(x, 0.5)
    assert np.array_equal(oracle.bits(y[:-1]), oracle.bits(x[:-1]))
    assert y[-1] == -0.5


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=oracle.IDS)
def test_subnormal_results_are_kept(dtype):
    precision, smallest = oracle.FORMATS[dtype.name]
    x = np.array([-(2.0 ** (smallest - precision + 1)), -(2.0 ** (smallest - 1))], dtype)
    assert np.array_equal(wgpu_elu.elu(x), x)
    assert mpmath.mpf(float(x[0])) < 0  # else x and the results would be zeros, which compare equal


def test_the_same_number_gives_the_same_bits_everywhere():
    x = oracle.sample(np.float32, 100)
    y = wgpu_elu.elu(x, 0.3)
    many = wgpu_elu.elu(np.tile(x, 5000), 0.3)  # on several threads
    assert np.array_equal(oracle.bits(many), oracle.bits(np.tile(y, 5000)))
    assert all(oracle.bits(wgpu_elu.elu(v, 0.3)) == oracle.bits(w) for v, w in zip(x, y))
