"""Threads, many calls, and threads that flush subnormal numbers."""

import concurrent.futures
import ctypes
import gc
import os
import platform
import sys
import threading
import time

import numpy as np
import oracle
import pytest

import wgpu_elu


def test_eight_threads():
    x = np.random.default_rng(0).normal(0, 3, 300_000).astype(np.float32)
    expected = wgpu_elu.elu(x)

    def work(i):
        for _ in range(20):
            out = np.empty_like(x)
            wgpu_elu.elu(x, out=out)  # all read the same array
            assert np.array_equal(out, expected)
            assert np.array_equal(wgpu_elu.elu(x[: i + 1]), expected[: i + 1])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_other_threads_run_meanwhile():
    ticks = []
    stop = threading.Event()

    def clock():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=clock)
    thread.start()
    try:
        size, calls = 1 << 20, []
        while len(calls) < 3:
            x = np.full(size, -0.5)
            start = time.perf_counter()
            wgpu_elu.elu(x, out=x, rounding="nearest")
            end = time.perf_counter()
            if end - start < 0.05:
                size *= 2
            else:
                calls.append((start, end))
    finally:
        stop.set()
        thread.join()
    for start, end in calls:
        # Not near the ends: the other thread may run before the call starts and after it has returned.
        margin = (end - start) / 4
        assert sum(start + margin < tick < end - margin for tick in ticks) >= 5


def test_memory_that_another_thread_writes_is_refused():
    x = np.full(1 << 24, -0.5, np.float64)
    out = np.empty_like(x)
    errors = []

    def work():
        try:
            for _ in range(5):
                wgpu_elu.elu(x, out=out)
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) == {"another thread writes to an input or to `out`, or reads `out`, at the same time"}
    wgpu_elu.elu(x, out=out)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the size of the process is known on Linux only")
def test_many_calls_do_not_grow():
    import pyarrow as pa

    x, alpha = np.full(100, -0.5, np.float32), np.full(100, 0.5)
    column = pa.array([[-0.5], None], pa.list_(pa.float32()))

    def calls(count):
        for _ in range(count):
            wgpu_elu.elu(x)
            wgpu_elu.elu_backward(x, x, out=x)
            x.fill(-0.5)
        for _ in range(count // 20):
            wgpu_elu.elu(x[::2], alpha[::2])
            wgpu_elu.elu(column)
            try:
                wgpu_elu.elu(x, rounding="up")
            except ValueError:
                pass

    def size():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    calls(2000)
    before = size()
    calls(100_000)
    assert size() - before < 2_000_000


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux"),
    reason="changes a control register through glibc",
)
def test_a_thread_that_flushes_subnormals_gets_them():
    """XLA and TensorFlow call from such threads."""
    wgpu_elu._core.start_threads()
    libm = ctypes.CDLL("libm.so.6")
    x = np.array([-1e-40, -1e-42, 1e-40, -1e-38, -2e-38], np.float32)
    expected = wgpu_elu.elu(x, 0.3)
    result = []

    def work():
        environment = (ctypes.c_uint32 * 8)()  # fenv_t of x86-64, whose last word is MXCSR
        libm.fegetenv(environment)
        environment[7] |= 0x8040
        libm.fesetenv(environment)
        assert np.multiply(np.float32(1e-38), np.float32(0.01)) == 0
        result.append(wgpu_elu.elu(x, 0.3))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert np.array_equal(oracle.bits(result[0]), oracle.bits(expected))
    assert np.count_nonzero(expected) == x.size
