"""Checked by mypy, and not run: the types of results."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import wgpu_elu


def results(x: NDArray[np.float32], tensor: memoryview) -> None:
    assert_type(wgpu_elu.elu(1), float)
    assert_type(wgpu_elu.celu(0.5, 2.0), float)
    assert_type(wgpu_elu.elu(x), NDArray[np.float32])
    assert_type(wgpu_elu.elu(x, [1.0, 2.0], out=x, device="auto", rounding="nearest"), NDArray[np.float32])
    assert_type(wgpu_elu.selu(x), NDArray[np.float32])
    assert_type(wgpu_elu.elu_backward(x, x, 0.5), NDArray[np.float32])
    assert_type(wgpu_elu.elu_backward_from_output(1.0, 2.0), float)
    assert_type(wgpu_elu.elu(tensor), memoryview)
    assert_type(wgpu_elu.adapters(), list[str])
    wgpu_elu.elu(x, device=1)  # type: ignore[call-overload]
