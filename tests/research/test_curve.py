"""The few-image curve and its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from research.suite.__main__ import main
from research.suite.curve import curve

DOCS = Path(__file__).parents[2] / "docs"


def cell(name: str, model: str, auroc: float) -> dict[str, object]:
    return {"set": name, "model": model, "auroc": auroc, "false_positive_rate": 0.1}


def test_means_are_of_sets_that_have_every_number() -> None:
    cells = [cell(s, f"{m}+limit={n}+held_out=0", n / 10) for s in "ab" for m in ("memory", "subspace") for n in (2, 4)]
    text = curve([*cells[:-1], cell("a", "auto", 0.9)], "auroc")
    assert "| b | `subspace` | 0.200 | – |" in text
    assert text.splitlines()[-2:] == [
        "| mean of 1 | `memory` | 0.200 | 0.400 |",
        "| mean of 1 | `subspace` | 0.200 | 0.400 |",
    ]
    assert "auto" not in text


def test_the_page_holds_the_stored_cells(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (DOCS / "few-images.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    assert main(["curve", str(DOCS / "few-images.json"), "--page", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text
    stored = json.loads((DOCS / "few-images.json").read_text(encoding="utf-8"))["cells"]
    assert {each["error"] for each in stored} == {None}


def test_a_file_without_cells_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    assert main(["curve", str(tmp_path / "a.json"), "--page", str(tmp_path / "p.md")]) == 2
    assert "no curve can be made" in capsys.readouterr().err
