"""The suite trains each cell once, remembers it, and writes one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from research.suite import cells
from research.suite.__main__ import main
from research.suite.cells import Cell, CellError, ImageFolder, Model, find_sets, recall_at
from research.suite.table import as_markdown, summary
from tests.research.conftest import picture
from typer.testing import CliRunner

from unblot.cli import app


def make_set(folder: Path, group: str | None = None) -> Path:
    """Nine normal images for training, three for testing, three defective ones."""
    for place, number in (("train/good", 9), ("test/good", 3), ("test/dark", 3)):
        (folder / place).mkdir(parents=True)
        for i in range(number):
            (folder / place / f"g{i // 3}-{i}.png").write_bytes(picture(len(place) * 10 + i, (16, 16)))
    if group:
        (folder / "set.json").write_text(json.dumps({"group": group}))
    return folder


def result(images: str, model: str, auroc: float, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        **{"format": cells.FORMAT, "set": images, "model": model, "group": None, "error": None, "auroc": auroc},
        **{"auprc": 0.5, "recall": 0.25, "false_positive_rate": 0.125, "images_per_second": 9.5, "pixel": None},
        **{"recall_at_5_percent": 0.5, "training": {"seconds": 12.0, "processor_seconds": 8.0, "peak_mib": 300}},
    }
    return base | more


@pytest.mark.slow
def test_a_suite_is_trained_once_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = cells._measured

    def started(command: list[str], output: Any) -> tuple[int, dict[str, Any]]:
        """The training as a process of its own; the evaluation, of which no time is asked, here."""
        if command[3] == "train":
            return measured(command, output)
        assert command[:4] == [sys.executable, "-m", "unblot", "eval"]
        return CliRunner().invoke(app, command[3:]).exit_code, dict.fromkeys(
            ("seconds", "processor_seconds", "peak_mib")
        )

    monkeypatch.setattr(cells, "_measured", started)
    make_set(tmp_path / "sets" / "tiny", group=r"(g\d)-")
    ask = ["run", "--sets", str(tmp_path / "sets"), "--out", str(tmp_path / "out")]
    ask += ["--models", "memory+size=64+backbone=filters+coreset_size=50"]
    assert main(ask) == 0
    stored = json.loads((tmp_path / "out/cells/tiny/memory+size=64+backbone=filters+coreset_size=50.json").read_text())
    assert stored["counts"] | {"held_out": 0, "train": 0} == {
        "train": 0,
        "held_out": 0,
        "test_normal": 3,
        "test_abnormal": 3,
    }
    assert stored["group"] == r"(g\d)-"
    assert 0 <= stored["auroc"] <= 1
    assert stored["training"]["seconds"] > 0
    assert stored["images_per_second"] > 0
    assert not list((tmp_path / "out" / "work").rglob("*.safetensors"))
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"| tiny | `memory+size=64+backbone=filters+coreset_size=50` | {stored['auroc']:.3f} |" in table

    def never(*_: object) -> None:
        raise AssertionError("a finished cell is run again")

    monkeypatch.setattr("research.suite.__main__.run_cell", never)
    (tmp_path / "out" / "table.md").unlink()
    assert main(ask) == 0
    assert (tmp_path / "out" / "table.md").read_text() == table
    assert json.loads((tmp_path / "out" / "table.json").read_text())["cells"] == [stored]


def test_a_failed_cell_is_said_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_set(tmp_path / "sets" / "tiny")
    asked: list[list[str]] = []

    def fails(command: list[str], output: Any) -> tuple[int, dict[str, Any]]:
        asked.append(command)
        output.write(b"error: no such luck\n")
        return 2, {"seconds": 1.0, "processor_seconds": None, "peak_mib": None}

    monkeypatch.setattr(cells, "_measured", fails)
    ask = ["run", "--sets", str(tmp_path / "sets"), "--out", str(tmp_path / "out"), "--models", "memory"]
    for _ in range(2):
        assert main(ask) == 1
        assert "unblot train ended with code 2: error: no such luck" in capsys.readouterr().err
    assert len(asked) == 2
    assert asked[0][2:6] == ["unblot", "train", str(tmp_path / "sets" / "tiny"), "--model"]


def test_a_result_of_another_question_is_not_taken(tmp_path: Path) -> None:
    cell = Cell(ImageFolder("tiny", tmp_path, r"(g\d)-"), Model("memory"), tmp_path)
    cell.file.parent.mkdir(parents=True)
    cell.file.write_text(json.dumps(result("tiny", "memory", 0.5)))
    with pytest.raises(CellError, match=r"memory\.json is the result of something else"):
        cell.result()


def test_models_and_sets_are_checked_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_set(tmp_path / "sets" / "tiny")
    ask = ["run", "--sets", str(tmp_path / "sets"), "--out", str(tmp_path / "out")]
    for more, message in (
        (["--models", "memori"], "--models names 'memori'; there are"),
        (["--models", "memory,memory"], "takes different names"),
        (["--models", "memory+size"], "'size' where KEY=VALUE is expected"),
        (["--models", "memory+backbone=a/b"], "has no / or"),
        (["--only", "other"], "--only names other, not below"),
        (["--sets", str(tmp_path / "out")], "is no folder"),
        (["--sets", str(tmp_path / "sets" / "tiny")], "holds no set"),
        (["--out", str(tmp_path / "sets" / "tiny" / "train" / "good" / "g0-0.png")], "cannot write below --out"),
    ):
        assert main([*ask, *more]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_table_holds_what_earlier_calls_have_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set(tmp_path / "sets" / "b")
    for images, model, auroc in (("a", "auto", 0.75), ("b", "memory", 0.5)):
        file = tmp_path / "out" / "cells" / images / f"{model}.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(result(images, model, auroc)))
    broken = tmp_path / "out" / "cells" / "a" / "memory.json"
    broken.write_text(json.dumps({"format": cells.FORMAT, "error": "no such luck"}))
    ask = ["run", "--sets", str(tmp_path / "sets"), "--out", str(tmp_path / "out"), "--models", "memory"]
    assert main(ask) == 0
    rows = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "| `" in line]
    assert [row.split("|")[1:4] for row in rows[:2]] == [
        [" a ", " `auto` ", " 0.750 "],
        [" b ", " `memory` ", " 0.500 "],
    ]
    assert json.loads((tmp_path / "out" / "table.json").read_text())["summary"]["sets"] == ["b"]
    capsys.readouterr()
    assert main(["table", str(tmp_path / "out" / "table.json")]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "table.md").read_text()


def test_what_is_no_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (None, "{", "[]", '{"cells": []}'):
        if text is not None:
            (tmp_path / "table.json").write_text(text)
        assert main(["table", str(tmp_path / "table.json")]) == 2
        assert "table.json is no table.json of python -m research.suite run" in capsys.readouterr().err


def test_the_page_of_results_has_the_table_of_the_stored_cells(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert main(["table", str(docs / "results.json")]) == 0
    assert capsys.readouterr().out in (docs / "results.md").read_text(encoding="utf-8")


def test_sets_are_found_with_their_groups(tmp_path: Path) -> None:
    make_set(tmp_path / "b", group=r"g(\d)")
    make_set(tmp_path / "a")
    (tmp_path / "notes").mkdir()
    assert [(s.name, s.group) for s in find_sets(tmp_path)] == [("a", None), ("b", r"g(\d)")]
    assert [s.name for s in find_sets(tmp_path, ["b"])] == ["b"]


def test_recall_at_a_share_of_false_alarms(tmp_path: Path) -> None:
    rows = [(0, i / 100) for i in range(40)] + [(1, 0.2), (1, 0.375), (1, 0.376), (1, 0.9)]
    (tmp_path / "s.csv").write_text("label,score\n" + "".join(f"{label},{score}\n" for label, score in rows))
    assert recall_at(0.05, tmp_path / "s.csv") == 0.75  # two of 40 normal images, 0.38 and 0.39, lie above 0.37
    assert recall_at(0.0, tmp_path / "s.csv") == 0.25


def test_regret_is_of_the_best_other_model_over_common_sets() -> None:
    found = [
        *(result("a", m, v) for m, v in (("auto", 0.9), ("memory", 0.95), ("mask", 0.5))),
        *(result("b", m, v) for m, v in (("auto", 0.8), ("memory", 0.6), ("mask", 0.7))),
        result("c", "auto", 0.1),  # the others have not finished here
    ]
    told = summary(found, ["auto", "memory", "mask"])
    assert told["sets"] == ["a", "b"]
    assert told["regret"]["sets"] == pytest.approx({"a": 0.05, "b": -0.1})
    assert told["regret"]["mean"] == pytest.approx(-0.025)
    assert (told["regret"]["worst"], told["regret"]["worst_set"]) == (pytest.approx(0.05), "a")
    assert told["models"]["memory"]["auroc_mean"] == pytest.approx(0.775)
    assert told["models"]["auto"]["worst_set"] == "b"
    text = as_markdown(found, ["auto", "memory", "mask"])
    assert "Regret of `auto`, the best other model's AUROC less its own: mean -0.025, worst 0.050 (a)." in text


def test_a_row_has_pixels_where_there_are_masks() -> None:
    pixel = {"auroc": 0.875, "auprc": 0.1, "pro_0.3": 0.625}
    plain, marked, *_ = as_markdown([result("a", "x", 0.5), result("b", "x", 1, pixel=pixel)], ["x"]).split("\n")[2:]
    assert plain == "| a | `x` | 0.500 | 0.500 | 0.250 | 0.125 | 0.500 |  |  | 12 | 8 | 9.5 | 300 |"
    assert marked == "| b | `x` | 1.000 | 0.500 | 0.250 | 0.125 | 0.500 | 0.875 | 0.625 | 12 | 8 | 9.5 | 300 |"


def test_time_and_memory_of_a_step_are_its_own(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        code, spent = cells._measured([sys.executable, "-c", "print('said'); raise SystemExit(3)"], log)
    assert code == 3
    assert (tmp_path / "log").read_text().strip() == "said"
    assert spent["seconds"] is not None
    assert spent["seconds"] > 0
