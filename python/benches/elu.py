"""Time the package next to other libraries. Every time is the median of its samples, all of one round after the other.

Usage: python python/benches/elu.py [--command PATH/TO/elu]. The variable KERAS_BACKEND selects the backend of Keras.
"""

import argparse
import importlib
import json
import subprocess
import time

import numpy as np

import wgpu_elu

LEN = 1 << 22


def medians(functions, *, calls, rounds):
    """Return the median time of one call of each function, in seconds."""
    for function in functions.values():
        function()
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
        print(f"| {name} | {seconds * 1e6:,.3g} | {seconds / times[base]:.2f} |")


def expm1_formula(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def library(command):
    """Return the time of the library's CPU path, from slice to slice, as `elu bench` measures it."""
    arguments = ["bench", "--device", "cpu", "--sizes", str(LEN), "--json"]
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def numpy_functions(x, y):
    return {
        "np.negative(x)": lambda: np.negative(x),
        "np.negative(x, out=y)": lambda: np.negative(x, out=y),
        "wgpu_elu.elu(x)": lambda: wgpu_elu.elu(x),
        "wgpu_elu.elu(x, out=y)": lambda: wgpu_elu.elu(x, out=y),
        "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))": lambda: expm1_formula(x),
    }


def peers(x):
    functions = {}
    try:
        torch = importlib.import_module("torch")
        tensor = torch.from_numpy(x)
        functions["torch.nn.functional.elu"] = lambda: torch.nn.functional.elu(tensor)
        functions["wgpu_elu.elu of a torch.Tensor"] = lambda: wgpu_elu.elu(tensor)
    except ImportError:
        pass
    try:
        jax = importlib.import_module("jax")
        array = jax.numpy.asarray(x)
        elu = jax.jit(jax.nn.elu)
        functions["jax.nn.elu, jitted"] = lambda: elu(array).block_until_ready()
        functions["wgpu_elu.elu of a jax.Array"] = lambda: wgpu_elu.elu(array).block_until_ready()
    except ImportError:
        pass
    return functions


def keras_functions(x):
    keras = importlib.import_module("keras")
    ours = importlib.import_module("wgpu_elu.keras").ELU()
    backend = keras.backend.backend()
    theirs = keras.layers.ELU()
    tensor = keras.ops.convert_to_tensor(x)

    def wait(y):
        return y.block_until_ready() if backend == "jax" else y

    functions = {}
    compiled = {"tensorflow": lambda f: importlib.import_module("tensorflow").function(f)}
    compiled["jax"] = lambda f: importlib.import_module("jax").jit(f)
    for name, layer in (("keras.layers.ELU", theirs), ("wgpu_elu.keras.ELU", ours)):
        functions[f"{name}, {backend}"] = lambda layer=layer: wait(layer(tensor))
        if backend in compiled:
            function = compiled[backend](layer)
            functions[f"{name}, {backend}, compiled"] = lambda function=function: wait(function(tensor))
    return functions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", help="the command `elu`, to time the library without Python")
    parser.add_argument("--keras", action="store_true", help="time the layer on the backend KERAS_BACKEND instead")
    arguments = parser.parse_args()
    for length, calls, rounds in ((1000, 1000, 51), (LEN, 1, 51)):
        x = np.random.default_rng(0).normal(0, 2, length).astype(np.float32)
        y = np.empty_like(x)
        if arguments.keras:
            functions = {**numpy_functions(x, y), **keras_functions(x)}
            calls = min(calls, 50)
        else:
            functions = {**numpy_functions(x, y), **peers(x)}
        report(f"{length:,} float32", medians(functions, calls=calls, rounds=rounds), "np.negative(x)")
    if arguments.command:
        print(library(arguments.command))


if __name__ == "__main__":
    main()
