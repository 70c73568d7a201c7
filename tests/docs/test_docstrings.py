"""The examples in docstrings, of every module."""

import doctest
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import unblot

# Triton is not everywhere, and what stands on it has no examples.
APART = ("__main__", "backends.triton", "backends.triton_kernel")
MODULES = [m.name for m in walk_packages(unblot.__path__, "unblot.") if not m.name.endswith(APART)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS if name.startswith("unblot.evaluation.audit.") else 0)
    assert not result.failed
    source = Path(module.__file__ or "")
    assert bool(result.attempted) == (source.suffix == ".py" and ">>> " in source.read_text(encoding="utf-8"))
