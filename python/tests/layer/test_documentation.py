"""The examples in the documentation of the layer."""

import doctest

import wgpu_elu.keras


def test_docstrings():
    done = doctest.testmod(wgpu_elu.keras, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0 and done.attempted > 10
