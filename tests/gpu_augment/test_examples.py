"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import tonearm.gpu_augment

MODULES = sorted(m.name for m in pkgutil.walk_packages(tonearm.gpu_augment.__path__, "tonearm.gpu_augment."))


@pytest.mark.parametrize("name", ["tonearm.gpu_augment", *MODULES])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
