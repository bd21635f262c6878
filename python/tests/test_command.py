"""The command `elu` that the package installs."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sysconfig

import numpy as np
import pytest

import wgpu_elu

ELU = shutil.which("elu", path=sysconfig.get_path("scripts"))


def run(*args, **kwargs):
    return subprocess.run([ELU, *args], capture_output=True, text=True, **kwargs)


def test_run(tmp_path):
    x = np.array([-2.0, -1e-8, 1.5], np.float32)
    np.save(tmp_path / "x.npy", x)
    done = run("run", "x.npy", "-o", "y.npy", "--device", "cpu", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("3 float32 on CPU")
    assert np.array_equal(np.load(tmp_path / "y.npy"), wgpu_elu.elu(x))


def test_versions():
    assert wgpu_elu.__version__ == importlib.metadata.version("wgpu-elu")
    assert run("--version").stdout == f"elu {wgpu_elu.__version__}\n"


def test_exit_codes(tmp_path):
    done = run("run", "absent.npy", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("elu: absent.npy: ")
    done = run("bogus")
    assert done.returncode == 2 and done.stderr.startswith("error: unrecognized subcommand 'bogus'")


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_an_interrupted_command_ends_with_130_and_leaves_nothing(tmp_path):
    command = subprocess.Popen(
        [ELU, "run", "-", "--raw", "float32", "-o", "y.raw"], stdin=subprocess.PIPE, cwd=tmp_path
    )
    command.stdin.write(bytes(1 << 22))  # more than a pipe holds, so the command is reading
    command.stdin.flush()
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 130
    assert os.listdir(tmp_path) == []
