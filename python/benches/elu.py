"""Time the package next to other libraries, and next to this library without Python.

Usage: python python/benches/elu.py [keras]. With `keras`, times the layer on the backend that KERAS_BACKEND selects.
Every time is the median of its samples. All functions are called in turns, so that a busy minute slows all of them.
"""

import importlib
import json
import shutil
import subprocess
import sys
import sysconfig
import time

import numpy as np

import wgpu_elu

SMALL, LARGE = 1000, 1 << 22


def medians(functions, *, calls, rounds):
    """Return the median time of one call of each function, in seconds."""
    samples = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls):
                function()
            samples[name].append((time.perf_counter() - start) / calls)
    return {name: float(np.median(times)) for name, times in samples.items()}


def report(title, times, base):
    """Print a table of times and their ratios to that of `base`."""
    print(f"\n| {title} | microseconds | ratio |\n|---|--:|--:|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds * 1e6:,.4g} | {seconds / times[base]:.2f} |")


def inputs(length):
    return np.random.default_rng(0).uniform(-2.5, 1.5, length).astype(np.float32)


def numpy_functions(x):
    y = np.empty_like(x)
    return {
        "np.negative(x)": lambda: np.negative(x),
        "np.negative(x, out=y)": lambda: np.negative(x, out=y),
        "wgpu_elu.elu(x)": lambda: wgpu_elu.elu(x),
        "wgpu_elu.elu(x, out=y)": lambda: wgpu_elu.elu(x, out=y),
        "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))": lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    }


def torch_functions(x):
    torch = importlib.import_module("torch")
    tensor = torch.from_numpy(x)
    return {
        "torch.nn.functional.elu": lambda: torch.nn.functional.elu(tensor),
        "wgpu_elu.elu of a torch.Tensor": lambda: wgpu_elu.elu(tensor),
    }


def jax_functions(x):
    jax = importlib.import_module("jax")
    array, elu = jax.numpy.asarray(x), jax.jit(jax.nn.elu)
    return {
        "jax.nn.elu, compiled": lambda: elu(array).block_until_ready(),
        "wgpu_elu.elu of a jax.Array": lambda: wgpu_elu.elu(array).block_until_ready(),
    }


def keras_functions(x):
    keras = importlib.import_module("keras")
    backend = keras.backend.backend()
    module = importlib.import_module(backend)
    tensor = keras.ops.convert_to_tensor(x)
    compiled = {"tensorflow": "function", "jax": "jit"}.get(backend)
    functions = {}
    for name, kind in [
        ("keras.layers.ELU", keras.layers.ELU),
        ("wgpu_elu.keras.ELU", importlib.import_module("wgpu_elu.keras").ELU),
    ]:
        calls = {name: kind()}
        if compiled:
            calls[f"{name}, compiled"] = getattr(module, compiled)(kind())
        for title, call in calls.items():
            wait = "block_until_ready" if backend == "jax" else "__len__"
            functions[f"{title}, {backend}"] = lambda call=call, wait=wait: getattr(call(tensor), wait)()
    return functions


def compare_with_the_library():
    """Print the ratio to the time of `cpu::forward` from slice to slice, which the command measures, in five runs."""
    x = inputs(LARGE)
    y = np.empty_like(x)
    command = shutil.which("elu", path=sysconfig.get_path("scripts"))
    print(f"\n| {LARGE:,} float32 | elu(x, out=y), ms | the library, ms | share of its speed |\n|---|--:|--:|--:|")
    for run in range(5):
        python = medians({"elu": lambda: wgpu_elu.elu(x, out=y)}, calls=1, rounds=101)["elu"]
        arguments = ["bench", "--device", "cpu", "--max", str(LARGE), "--json", "-"]
        done = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
        library = json.loads(done.stdout)["sizes"][-1]["measurements"]["cpu"]["seconds"]["median"]
        print(f"| run {run + 1} | {python * 1e3:.2f} | {library * 1e3:.2f} | {library / python:.2f} |")


def main():
    for length, calls, rounds in ((SMALL, 100, 301), (LARGE, 1, 51)):
        x = inputs(length)
        functions = numpy_functions(x)
        for add in (keras_functions,) if sys.argv[1:] == ["keras"] else (torch_functions, jax_functions):
            try:
                functions |= add(x)
            except ImportError as error:
                print(f"left out: {error}")
        medians(functions, calls=1, rounds=3)
        report(f"{length:,} float32", medians(functions, calls=calls, rounds=rounds), "np.negative(x)")
    if sys.argv[1:] != ["keras"]:
        compare_with_the_library()


if __name__ == "__main__":
    main()
