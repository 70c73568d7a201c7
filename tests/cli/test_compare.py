"""``unblot compare`` and ``unblot eval --protocol`` as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from unblot import cli, training
from unblot.comparison import cell
from unblot.evaluation import NOT_REACHABLE

TINY = ["--size", "8", "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--limit", "24", "--quiet"]
ONE = ["--abnormal", "2", "--normal", "1", *TINY]


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def ok(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_compare_fills_a_grid_and_labels_what_is_not_reachable() -> None:
    words = ["compare", "digits", "--models", "dae", "--set", "dae.width=4", *TINY]
    words += ["--classes", "1,7", "--protocols", "clean,published", "--seeds", "0", "--corruptions"]
    said = ok(*words, "none,box")
    assert "4 trainings, 8 cells" in said
    assert "[4/4] 7-dae-box-seed0: AUROC clean 0." in said
    out = Path("compare/digits")
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "| dae | none | clean | " in text
    assert f"| dae | box | published ({NOT_REACHABLE}) | " in text
    assert (out / "table.html").is_file()
    stored = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert {cell["left_out"] for cell in stored["cells"]} == {"1", "7"}
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*")}
    ok(*words, "none")  # a part of it again; nothing is run
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*")} == before


def test_compare_works_on_a_folder_of_the_users_own(tmp_path: Path) -> None:
    for folder, low, count in (("fine ones", 0, 16), ("bad ones", 150, 4)):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([low, i]).integers(low, low + 100, (9, 10), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "parts" / folder / f"{i}.png")
    words = ["compare", "parts", "--normal", "fine ones", "--abnormal", "bad ones", "--models", "dae"]
    ok(*words, "--set", "width=4", "--corruptions", "none", "--protocols", "published", *TINY)
    text = Path("compare/parts/table.md").read_text(encoding="utf-8")
    assert "| detector | corruption | protocol | parts |" in text
    assert "classes left out in turn" in refused(*words, "--classes", "bad ones", *TINY)


def test_compare_takes_a_file_and_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.toml").write_text(
        'models = ["dae"]\ncorruptions = ["none"]\nseeds = [0, 1]\nabnormal = "2"\nset = {"dae.width" = 4}\n',
        encoding="utf-8",
    )
    original, calls = training.train, []

    def fail_once(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bad day")
        return original(*args, **more)

    monkeypatch.setattr(cell, "train", fail_once)
    result = run("compare", "--config", "a.toml", *TINY, "--out", "g")
    assert result.exit_code == 1
    assert "[1/2] dae-none-seed0: RuntimeError: a bad day" in result.stdout
    assert "[2/2] dae-none-seed1: AUROC clean" in result.stdout
    assert "RuntimeError: a bad day" in Path("g/table.md").read_text(encoding="utf-8")
    ok("compare", "--config", "a.toml", *TINY, "--out", "g")
    assert len(calls) == 3
    assert "bad day" not in Path("g/table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "dae,day"], "'day'"),
        (["--corruptions", "boxes"], "'boxes'"),
        (["--protocols", "publishd"], "did you mean 'published'"),
        (["--seeds", "0,one"], "'one'"),
        (["--seeds", "0,0"], "twice"),
        (["--set", "nested.width=2"], "'nested' is none of"),
        (["--set", "dae.wdth=2"], "wdth"),
        (["--classes", "eleven"], "eleven"),
        (["--epochs", "0"], "epochs"),
        (["--corruptions", ","], "corruptions is empty"),
    ],
)
def test_compare_refuses_wrong_names_before_anything_is_written(words: list[str], said: str) -> None:
    assert said in refused("compare", "digits", "--models", "dae", *TINY, *words)
    assert list(Path().iterdir()) == []


def test_a_run_whose_epochs_were_judged_can_be_judged_by_the_best() -> None:
    grid_of = ("--models", "dae", "--set", "width=4", "--corruptions", "none", "--protocols", "published")
    ok("compare", "digits", *ONE, *grid_of, "--out", "grid")
    (run,) = (folder for folder in Path("grid/runs").iterdir() if folder.is_dir())
    said = ok("eval", run, "--protocol", "published")
    assert f"published ({NOT_REACHABLE})" in said
    assert "best of 1 epochs on the test set" in said
    folder = run / "eval-published"
    assert NOT_REACHABLE in (folder / "report.html").read_text(encoding="utf-8")
    assert NOT_REACHABLE in (folder / "scores.csv").read_text(encoding="utf-8")
    assert not json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["reachable_in_use"]
    assert "no protocol named" in refused("eval", run, "--protocol", "dirty")
