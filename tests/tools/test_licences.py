"""Licences: expressions are read as SPDX means them, and everything that is installed here goes with Apache 2.0."""

from __future__ import annotations

import shutil
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import licences

PAGE = Path(__file__).parents[2] / "docs" / "licences.md"


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 WITH Some-exception", False),
        ("", False),
    ],
)
def test_expressions(expression: str, fits: bool) -> None:
    assert licences.fits(expression) is fits


def test_every_package_goes_with_ours_and_all_direct_ones_are_on_the_page() -> None:
    parts = list(licences.packages())
    assert len(parts) > 20
    assert [part for part in parts if not part.fits] == []
    text = PAGE.read_text(encoding="utf-8")
    # What an extra names, whatever was installed when the page was written; versions may differ.
    project = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    named = {Requirement(text).name for text in (*project["dependencies"], *chain(*extras))} - {"unblot"}
    assert [name for name in sorted(named) if f"| {canonicalize_name(name)} |" not in text] == []


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo here")
def test_every_crate_goes_with_ours_and_is_on_the_page() -> None:
    parts = list(licences.crates())
    names = {part.name for part in parts}
    assert {"pyo3", "numpy", "rayon", "pulp"} <= names
    assert not {"unblot-core", "criterion", "proptest"} & names  # ours, and what only tests and benches use
    assert [part for part in parts if not part.fits] == []
    text = PAGE.read_text(encoding="utf-8")
    assert [part.name for part in parts if f"| {part.name} | {part.version} |" not in text] == []


def test_what_does_not_fit_is_said() -> None:
    part = licences.Part("x", "1", "GPL-3.0-only", "train")
    assert not part.fits
    assert "GPL-3.0-only: DOES NOT FIT" in licences.page([part])
    assert licences.Part("nvidia-nccl-cu13", "1", "", "train").fits
