"""GPU devices, and processes that were forked."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import oracle
import pytest

import wgpu_elu

# As in the tests of the library: "require" fails without an adapter, "skip" uses none.
GPU = os.environ.get("WGPU_ELU_GPU", "auto")
ADAPTERS = [] if GPU == "skip" else wgpu_elu.adapters()
needs_gpu = pytest.mark.skipif(GPU != "require" and not ADAPTERS, reason="no adapter")


@needs_gpu
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=oracle.IDS)
def test_every_adapter_keeps_the_bound(dtype):
    x, grad = oracle.sample(dtype), np.clip(oracle.sample(dtype, seed=2), -2, 2).astype(dtype)
    tested = 0
    for adapter in ADAPTERS:
        try:
            y = wgpu_elu.elu(x, 0.3, device=adapter)
        except RuntimeError as error:
            assert dtype == np.float64
            assert "float64 needs the device feature SHADER_" in str(error)
            continue
        bound = oracle.max_ulp(dtype)
        assert max(map(oracle.error, y, [oracle.elu(v, 0.3) for v in x])) <= bound
        result = wgpu_elu.elu_backward(x, grad, 0.3, device=adapter)
        assert max(map(oracle.error, result, [oracle.elu_backward(v, g, 0.3) for v, g in zip(x, grad)])) <= bound
        result = wgpu_elu.elu_backward_from_output(y, grad, 0.3, device=adapter)
        exact = [oracle.elu_backward_from_output(v, g, 0.3) for v, g in zip(y, grad)]
        assert max(map(oracle.error, result, exact)) <= bound
        tested += 1
    assert tested > 0 or dtype == np.float64


@needs_gpu
@pytest.mark.parametrize("dtype", oracle.DTYPES[:3], ids=oracle.IDS[:3])
def test_nearest_results_are_the_same_everywhere(dtype):
    x = oracle.sample(dtype, 2000)
    expected = wgpu_elu.celu(x, 0.7, rounding="nearest")
    for adapter in ADAPTERS:
        assert np.array_equal(wgpu_elu.celu(x, 0.7, device=adapter, rounding="nearest"), expected)


@needs_gpu
def test_layouts_alpha_and_out_on_a_gpu():
    x = oracle.sample(np.float32, 91).reshape(10, 10)
    for view in (x.T, x[::2, ::-1], x[:0]):
        y = wgpu_elu.elu(view, rounding="nearest", device="gpu")
        assert np.array_equal(oracle.bits(y), oracle.bits(wgpu_elu.elu(view, rounding="nearest")))
    alpha = np.linspace(0.5, 1.5, 10)
    y = wgpu_elu.elu(x, alpha, rounding="nearest", device="gpu")
    assert np.array_equal(y, wgpu_elu.elu(x, alpha, rounding="nearest"))
    for out in ("x", "grad"):
        arrays = {"x": x.copy(), "grad": np.ones_like(x)}
        wgpu_elu.elu_backward(**arrays, out=arrays[out], device="gpu", rounding="nearest")
        assert np.array_equal(arrays[out], wgpu_elu.elu_backward(x, np.ones_like(x), rounding="nearest"))


@needs_gpu
def test_nearest_float64_needs_the_cpu():
    x = np.array([-1.0])
    with pytest.raises((ValueError, RuntimeError)) as error:
        wgpu_elu.elu(x, device="gpu", rounding="nearest")
    assert str(error.value) in (
        "nearest rounding of float64 is computed on the CPU path only",
        "float64 needs the device feature SHADER_F64; the CPU path does not need it",
        "float64 needs the device feature SHADER_INT64; the CPU path does not need it",
    )
    assert wgpu_elu.elu(x, device="auto", rounding="nearest") == wgpu_elu.elu(x, rounding="nearest")


@needs_gpu
def test_a_lost_device_is_opened_again():
    x = oracle.sample(np.float32)
    expected = wgpu_elu.elu(x, device="gpu")
    wgpu_elu._core.destroy("gpu")
    with pytest.raises(RuntimeError, match="lost"):
        wgpu_elu.elu(x, device="gpu")
    assert np.array_equal(wgpu_elu.elu(x, device="gpu"), expected)


def test_auto_always_computes():
    for dtype in oracle.DTYPES:
        x = oracle.sample(dtype)
        y = wgpu_elu.elu(x, device="auto", rounding="nearest")
        assert np.array_equal(y, wgpu_elu.elu(x, rounding="nearest"))


def test_an_unknown_adapter_is_named():
    with pytest.raises(RuntimeError) as error:
        wgpu_elu.elu(1.0, device="no such")
    adapters = ", ".join(wgpu_elu.adapters())
    found = f"the adapters are {adapters}" if adapters else "there are no adapters"
    assert str(error.value) == f'found no adapter named "no such"; {found}; device also takes "cpu", "gpu" and "auto"'


def in_child(queue, device):
    try:
        x = np.full(1 << 20, -0.5, np.float32)
        queue.put(float(wgpu_elu.elu(x, device=device).sum()))
    except RuntimeError as error:
        queue.put(str(error))


def result_of_child(device):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue, device))
    child.start()
    result = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    return result, child.pid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_fork_the_cpu_computes_and_a_gpu_is_refused():
    x = np.full(1 << 20, -0.5, np.float32)
    expected = float(wgpu_elu.elu(x).sum())  # starts the threads, which a child does not inherit
    wgpu_elu.adapters()
    assert result_of_child("cpu")[0] == expected
    for device in ("auto", "gpu"):
        message, child = result_of_child(device)
        assert message == (
            f"process {child} was forked from process {os.getpid()}, which uses a GPU, and a GPU device cannot be "
            'carried over: start the process with multiprocessing\'s method "spawn", or use device="cpu"'
        )


def test_importing_starts_no_thread_and_no_gpu():
    """A process with threads cannot fork without a warning."""
    code = "import os, wgpu_elu; wgpu_elu.elu(1.0); print(len(os.listdir('/proc/self/task')))"
    if not os.path.exists("/proc/self/task"):
        pytest.skip("the number of threads is known on Linux only")
    numpy_only = code.replace("wgpu_elu.elu(1.0)", "pass").replace("wgpu_elu", "numpy")
    counts = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for program in (code, numpy_only)
    ]
    assert counts[0] == counts[1]
