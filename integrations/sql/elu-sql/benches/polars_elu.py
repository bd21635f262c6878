#!/usr/bin/env python3
"""Measures ELU as an expression of Polars, on the numbers and next to the multiplication of speed.rs.

    python3 -m venv venv
    venv/bin/pip install polars numpy
    POLARS_MAX_THREADS=1 venv/bin/python polars_elu.py
"""

import time

import numpy as np
import polars as pl

LEN = 1 << 24


def main():
    numbers = (np.arange(LEN, dtype=np.uint64) * 40503 % 65536).astype(np.float32)
    table = pl.DataFrame({"x": (numbers / np.float32(65536) - np.float32(0.5)) * np.float32(12)})
    x = pl.col("x")
    forms = {
        "x * 1.5": x * pl.lit(1.5, pl.Float32),
        "x.exp()": x.exp(),
        "when(x >= 0).then(x).otherwise(x.exp() - 1)": pl.when(x >= 0).then(x).otherwise(x.exp() - pl.lit(1, pl.Float32)),
    }
    least = dict.fromkeys(forms, float("inf"))
    # In turns, so that a slower minute of the machine affects all of them.
    for _ in range(15):
        for name, form in forms.items():
            start = time.perf_counter()
            y = table.select(form)
            least[name] = min(least[name], (time.perf_counter() - start) * 1e9 / LEN)
            assert y.dtypes == [pl.Float32]
    print(f"Polars {pl.__version__}, {pl.thread_pool_size()} thread(s): ns per row, and the time of x * 1.5")
    for name, time_ in least.items():
        print(f"{time_:8.3f}  {time_ / least['x * 1.5']:6.2f}  {name}")


main()
