"""The paper's figures beside ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from research.paper.__main__ import main
from research.paper.beside import beside
from research.paper.printed import TABLE_1, TABLE_2, printed
from tests.comparison.test_table import CONFIG, DATA, made

from unblot.comparison.table import summarise
from unblot.data import DataConfig


def test_the_paper_stands_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = summarise([made("bird", 0, {"clean": 0.4})], DATA, CONFIG).summary
    text = beside(summary)
    assert "| nested | the paper, as printed | published | 0.874 |" in text
    assert "| nested | the paper, as printed | published | 0.818 |" in text
    (tmp_path / "table.json").write_text(json.dumps(summary), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["paper", str(tmp_path)])
    main()
    assert (tmp_path / "paper.md").read_text(encoding="utf-8") == text


def test_other_data_have_no_printed_figures() -> None:
    assert printed("digits", "nested", "auroc") == {}
    other = summarise([made("bird", 0, {"clean": 0.4})], DataConfig("digits"), CONFIG)
    assert "the paper" not in beside(other.summary).partition("\n")[2]


@pytest.mark.parametrize("row", [*TABLE_1.values(), *TABLE_2.values()])
def test_the_papers_averages_are_those_of_its_rows(row: tuple[float, ...]) -> None:
    """A slip in typing would show."""
    assert sum(row[:10]) / 10 == pytest.approx(row[10], abs=6e-4)
