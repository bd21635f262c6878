"""The examples in the documentation of the layer."""

import doctest
import pathlib
import subprocess
import sys

import wgpu_elu.keras

PYTHON = pathlib.Path(__file__).parents[2]


def test_docstrings():
    done = doctest.testmod(wgpu_elu.keras, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0 and done.attempted > 10


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the example saves a model
    text = (PYTHON / "README.md").read_text("utf-8").partition("\n## Keras\n")[2]
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    done = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)
    assert done.failed == 0 and done.attempted > 4


def test_the_picture_of_errors(tmp_path):
    path = tmp_path / "accuracy.png"
    subprocess.run([sys.executable, PYTHON / "examples/accuracy.py", path], check=True)
    assert path.read_bytes().startswith(b"\x89PNG")
