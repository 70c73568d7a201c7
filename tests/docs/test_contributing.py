"""The worked examples of CONTRIBUTING.md do what the text says; that of a backbone runs with all blocks of Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT
from typer.testing import CliRunner

import unblot.detectors
from unblot.cli import app

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def python(title: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", section(title), re.DOTALL)
    return str(code)


def test_a_detector_is_added_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mean_image.py").write_text(python("Add a detector"), encoding="utf-8")
    monkeypatch.setattr(unblot.detectors, "__path__", [*unblot.detectors.__path__, str(tmp_path)])
    monkeypatch.setattr(unblot.detectors.__spec__, "submodule_search_locations", unblot.detectors.__path__)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["models", "mean_image"])
    assert "power" in said.stdout and "above 0" in said.stdout, said.output
    words = [
        "train",
        "digits",
        "--normal",
        "3",
        "--abnormal",
        "1",
        "--model",
        "mean_image",
        "--set",
        "power=1",
        "--quiet",
        "--out",
        "run",
    ]
    said = CliRunner().invoke(app, [*words, "--quiet", "--out", "run"])
    assert said.exit_code == 0, said.output
    said = CliRunner().invoke(app, ["eval", "run", "--json", "--quiet"])
    assert said.exit_code == 0, said.output
    assert float(re.findall(r'"auroc": ([\d.]+)', said.stdout)[0]) > 0.9


@pytest.mark.parametrize("line", re.findall(r"^    (\S+)\s{2,}\S", section("Add a kind of noise"), re.MULTILINE))
def test_a_kind_of_noise_stands_where_the_text_says(line: str) -> None:
    assert "laplace" in (ROOT / line).read_text(encoding="utf-8").lower()
