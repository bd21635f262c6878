"""The examples in the documentation."""

import doctest
import inspect
import pathlib

import numpy as np

import wgpu_elu


def test_docstrings():
    globs = {"np": np, "wgpu_elu": wgpu_elu}
    done = doctest.testmod(wgpu_elu, extraglobs=globs, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0 and done.attempted > 10


def test_readme():
    """The part about Keras is tested with each backend."""
    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text("utf-8").partition("\n## Keras\n")[0]
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    done = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)
    assert done.failed == 0 and done.attempted > 5


def test_every_public_name_has_a_docstring_and_a_type():
    for name in wgpu_elu.__all__:
        function = getattr(wgpu_elu, name)
        assert "Examples\n--------" in inspect.getdoc(function)
        assert "return" in function.__annotations__
    assert (pathlib.Path(wgpu_elu.__file__).parent / "py.typed").exists()
