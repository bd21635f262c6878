#!/usr/bin/env python3
"""ELU by PyTorch, ONNX Runtime and JAX, each beside a copy of as many bytes: the Python peers of src/main.rs.

    python3 -m venv venv
    venv/bin/pip install torch onnxruntime onnx jax numpy
    venv/bin/python peers.py [ELEMENTS...]

Prints a table in Markdown. What is not installed is left out, and said so. CPU, and PyTorch's CUDA where it is there.
"""

import sys
import time
from importlib.metadata import version

import numpy as np

ALPHA = 1.0
# The values of cli/src/timing/stopwatch.rs.
WARM_UP, ENOUGH, FEWEST, MOST = 0.05, 0.25, 5, 101


def torch_ways(x):
    import torch

    name = f"PyTorch {version('torch')}"
    elu = torch.nn.functional.elu
    tensor = torch.from_numpy(x)
    into = torch.empty_like(tensor)
    yield f"{name}, CPU", lambda: elu(tensor, ALPHA), lambda y: y.numpy(), "PyTorch copy_"
    yield "PyTorch copy_", lambda: into.copy_(tensor), None, None
    if torch.cuda.is_available():
        there = tensor.cuda()
        there_into = torch.empty_like(there)

        def waited(work):
            def run():
                y = work()
                torch.cuda.synchronize()
                return y

            return run

        gpu = torch.cuda.get_device_name()
        yield f"{name}, {gpu}", waited(lambda: elu(there, ALPHA)), lambda y: y.cpu().numpy(), f"PyTorch copy_, {gpu}"
        yield f"PyTorch copy_, {gpu}", waited(lambda: there_into.copy_(there)), None, None


def onnx_ways(x):
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


def jax_ways(x):
    import jax

    there = jax.device_put(x)
    elu = jax.jit(lambda x: jax.nn.elu(x, ALPHA))
    where = jax.devices()[0].platform
    name = f"JAX {version('jax')}, {where}"
    yield name, lambda: elu(there).block_until_ready(), lambda y: np.asarray(y), "numpy.copyto, one thread"


def check(name, work, as_array, exact):
    """The largest error; none of what is no ELU."""
    y = work()
    if as_array is None:
        return None
    largest = np.abs(as_array(y) - exact).max()
    if largest > 1e-6:
        sys.exit(f"{name}: wrong by {largest}")
    return largest


def seconds(work):
    start = time.perf_counter()
    y = work()  # freed after the clock was read
    return time.perf_counter() - start


def rounds(ways):
    """Samples of all ways, taken in turn, so that a machine that slows down slows all of them."""
    start = time.perf_counter()
    while True:
        for work in ways:
            seconds(work)
        if time.perf_counter() - start >= WARM_UP:
            break
    start, samples = time.perf_counter(), [[] for _ in ways]
    for i in range(MOST):
        if i >= FEWEST and time.perf_counter() - start >= ENOUGH * len(ways):
            break
        for work, found in zip(ways, samples):
            found.append(seconds(work))
    return [np.percentile(found, [25, 50, 75]) for found in samples]


def main():
    sizes = [int(size) for size in sys.argv[1:]] or [1 << 20, 1 << 24]
    print("| elements | what | median | quartiles | GB/s | largest error | copy | its GB/s | share of it |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in sizes:
        x = (np.arange(size) * 7919 % 4001).astype(np.float32) / np.float32(1000) - np.float32(2.5)
        into = np.zeros_like(x)  # so that its pages are there

        def numpy_copy():
            np.copyto(into, x)

        def gb_per_s(seconds):
            return 8 * x.size / seconds / 1e9

        exact = np.where(x < 0, ALPHA * np.expm1(x.astype(np.float64)), x)
        # One peer after the other: the threads of some spin for a while after their work, in the way of others.
        for peer in torch_ways, onnx_ways, jax_ways:
            try:
                ways = list(peer(x))
            except ImportError as missing:
                print(f"left out: {missing}", file=sys.stderr)
                continue
            ways.append(("numpy.copyto, one thread", numpy_copy, None, None))
            errors = [check(*way[:3], exact) for way in ways]
            found = rounds([work for _, work, _, _ in ways])
            medians = {way[0]: quartiles[1] for way, quartiles in zip(ways, found)}
            for (name, _, _, copy), error, (first, median, third) in zip(ways, errors, found):
                copied = f"{copy} | {gb_per_s(medians[copy]):.2f} | {medians[copy] / median:.2f}" if copy else " | | "
                told = "" if error is None else f"{error:.1e}"
                print(
                    f"| {size} | {name} | {median * 1e3:.3f} ms | {first * 1e3:.3f}..{third * 1e3:.3f} "
                    f"| {gb_per_s(median):.2f} | {told} | {copied} |"
                )



if __name__ == "__main__":
    main()
