"""The examples in docstrings, of every module."""

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

import unblot

# Triton is not everywhere, and what stands on it has no examples.
APART = ("__main__", "triton_backend", "_triton_kernel")
MODULES = [m.name for m in walk_packages(unblot.__path__, "unblot.") if not m.name.endswith(APART)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert not doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS).failed


def test_examples_are_found() -> None:
    modules = [import_module(name) for name in ("unblot.corruption.spec", "unblot.models.memory")]
    assert all(doctest.testmod(module).attempted for module in modules)
