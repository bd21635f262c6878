"""Draw the largest error of Keras' ELU and of this package's, in ULP, against -x.

Usage: KERAS_BACKEND=tensorflow python examples/accuracy.py accuracy.png (needs matplotlib)
"""

import sys

import keras
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import wgpu_elu.keras

PER_COLUMN = 2000


def main(path):
    edges = np.geomspace(1e-10, 30, 400)
    x = -np.random.default_rng(0).uniform(edges[:-1, None], edges[1:, None], (len(edges) - 1, PER_COLUMN))
    x = x.astype(np.float32)
    exact = np.expm1(x.astype(np.float64))
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    backend = keras.backend.backend()
    figure, axes = plt.subplots(figsize=(8, 4), dpi=120)
    largest = {}
    for name, elu, color in [
        (f"keras.activations.elu on {backend}", keras.activations.elu, "tab:red"),
        (f"wgpu_elu.keras.ELU on {backend}", wgpu_elu.keras.ELU(), "tab:blue"),
    ]:
        y = keras.ops.convert_to_numpy(elu(keras.ops.convert_to_tensor(x))).astype(np.float64)
        errors = (np.abs(y - exact) / ulp).max(axis=1)
        largest[name] = errors.max()
        print(f"{name}: at most {errors.max():.3g} ULP")
        axes.plot(edges[:-1], errors, color=color, label=name)
    axes.axhline(1, color="gray", linewidth=0.8, linestyle="--", label="1 ULP")
    axes.set(xscale="log", yscale="log", xlabel="-x", ylabel="largest error, ULP", title="float32 ELU, alpha 1")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    assert largest[f"wgpu_elu.keras.ELU on {backend}"] <= 1


if __name__ == "__main__":
    main(*sys.argv[1:])
