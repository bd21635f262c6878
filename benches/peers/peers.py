#!/usr/bin/env python3
"""Measures ELU by PyTorch, ONNX Runtime and JAX, and expm1 by oneMKL, each next to a copy of the same size.

src/main.rs measures the Rust libraries in the same way.

    python3 -m venv venv
    venv/bin/pip install torch onnxruntime onnx jax mkl numpy
    venv/bin/python peers.py [ELEMENTS...]

Prints a Markdown table. Libraries that are not installed are left out, with a note on standard error. Times the CPU, and
PyTorch on CUDA if it is available.
"""

import sys
import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np

ALPHA = 1.0
# Must equal the constants of the same names in cli/src/timing/stopwatch.rs. The first two are times in seconds.
WARM_UP, SAMPLING_TIME, MIN_SAMPLES, MAX_SAMPLES = 0.05, 0.25, 5, 101


# Each function yields tuples: a name, the work to time, a conversion of its result to a NumPy array, and the name of
# the copy to compare with. For a copy, the last two are None.


def torch_measurements(x):
    import torch

    name = f"PyTorch {version('torch')}"
    elu = torch.nn.functional.elu
    tensor = torch.from_numpy(x)
    into = torch.empty_like(tensor)
    yield f"{name}, CPU", lambda: elu(tensor, ALPHA), lambda y: y.numpy(), "PyTorch copy_"
    yield "PyTorch copy_", lambda: into.copy_(tensor), None, None
    if torch.cuda.is_available():
        on_gpu = tensor.cuda()
        into_on_gpu = torch.empty_like(on_gpu)

        def with_wait(work):
            def run():
                y = work()
                torch.cuda.synchronize()
                return y

            return run

        gpu = torch.cuda.get_device_name()
        yield f"{name}, {gpu}", with_wait(lambda: elu(on_gpu, ALPHA)), lambda y: y.cpu().numpy(), f"PyTorch copy_, {gpu}"
        yield f"PyTorch copy_, {gpu}", with_wait(lambda: into_on_gpu.copy_(on_gpu)), None, None


def onnx_measurements(x):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(x)]) for name in "xy"]
    node = helper.make_node("Elu", ["x"], ["y"], alpha=ALPHA)
    graph = helper.make_graph([node], "elu", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = f"ONNX Runtime {version('onnxruntime')}, CPU"
    yield name, lambda: session.run(None, {"x": x})[0], lambda y: y, "numpy.copyto, one thread"


def jax_measurements(x):
    import jax

    on_device = jax.device_put(x)
    elu = jax.jit(lambda x: jax.nn.elu(x, ALPHA))
    platform = jax.devices()[0].platform
    name = f"JAX {version('jax')}, {platform}"
    yield name, lambda: elu(on_device).block_until_ready(), lambda y: np.asarray(y), "numpy.copyto, one thread"


def mkl_measurements(x):
    import ctypes
    from importlib.metadata import files

    paths = [str(file.locate()) for file in files("mkl") if "mkl_rt" in file.name]
    if not paths:
        raise ImportError("the package mkl has no mkl_rt")
    mkl = ctypes.CDLL(paths[0])
    mkl.MKL_Set_Num_Threads(1)
    y = np.zeros_like(x)
    pointer = ctypes.c_void_p
    count, x_pointer, y_pointer = ctypes.c_int(len(x)), x.ctypes.data_as(pointer), y.ctypes.data_as(pointer)
    # The accuracy modes VML_LA, within 4 ULP, and VML_HA, within 1 ULP.
    for accuracy, mode in ("low accuracy", 1), ("high accuracy", 2):
        name = f"oneMKL {version('mkl')}, vmsExpm1, {accuracy}, one thread"
        work = lambda mode=mode: mkl.vmsExpm1(count, x_pointer, y_pointer, ctypes.c_int64(mode))
        yield name, work, lambda _: np.where(x < 0, y, x), "numpy.copyto, one thread"


def check(name, work, as_array, exact):
    """Returns the largest error of an ELU, or None for a copy. Exits if the error is too large."""
    y = work()
    if as_array is None:
        return None
    largest = np.abs(as_array(y) - exact).max()
    if largest > 1e-6:
        sys.exit(f"{name}: the largest error is {largest}, needed at most 1e-6")
    return largest


def seconds(work):
    start = time.perf_counter()
    y = work()  # kept, so that it is freed after the clock is read
    return time.perf_counter() - start


def rounds(works):
    """Returns the quartiles of the seconds that each function in `works` takes.

    All of them run once per round, so that a machine that slows down affects all equally.
    """
    start = time.perf_counter()
    while True:
        for work in works:
            seconds(work)
        if time.perf_counter() - start >= WARM_UP:
            break
    start, samples = time.perf_counter(), [[] for _ in works]
    for i in range(MAX_SAMPLES):
        if i >= MIN_SAMPLES and time.perf_counter() - start >= SAMPLING_TIME * len(works):
            break
        for work, times in zip(works, samples):
            times.append(seconds(work))
    return [np.percentile(times, [25, 50, 75]) for times in samples]


def main():
    sizes = [int(size) for size in sys.argv[1:]] or [1 << 20, 1 << 24]
    print("| elements | measurement | median | quartiles | GB/s | largest error | copy | its GB/s | share of its speed |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in sizes:
        x = np.random.default_rng(1).uniform(-2.5, 1.5, size).astype(np.float32)
        into = np.zeros_like(x)  # zeros_like writes the array, so that its pages are mapped

        def numpy_copy():
            np.copyto(into, x)

        def gb_per_s(seconds):
            return 8 * x.size / seconds / 1e9

        exact = np.where(x < 0, ALPHA * np.expm1(x.astype(np.float64)), x)
        # One library after the other, because the threads of some spin for a while after their work and would disturb
        # the others.
        for peer in torch_measurements, onnx_measurements, jax_measurements, mkl_measurements:
            try:
                measurements = list(peer(x))
            except (ImportError, PackageNotFoundError) as missing:
                print(f"left out: {missing}", file=sys.stderr)
                continue
            measurements.append(("numpy.copyto, one thread", numpy_copy, None, None))
            errors = [check(*measurement[:3], exact) for measurement in measurements]
            quartiles = rounds([work for _, work, _, _ in measurements])
            medians = {name: median for (name, *_), (_, median, _) in zip(measurements, quartiles)}
            for (name, _, _, copy), error, (first, median, third) in zip(measurements, errors, quartiles):
                copied = f"{copy} | {gb_per_s(medians[copy]):.2f} | {medians[copy] / median:.2f}" if copy else " | | "
                largest = "" if error is None else f"{error:.1e}"
                print(
                    f"| {size} | {name} | {median * 1e3:.3f} ms | {first * 1e3:.3f}..{third * 1e3:.3f} "
                    f"| {gb_per_s(median):.2f} | {largest} | {copied} |"
                )


if __name__ == "__main__":
    main()
