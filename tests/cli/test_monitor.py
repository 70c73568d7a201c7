"""``monitor`` reads what ``predict`` and ``eval`` wrote, and names the image from which on scores are others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, refused, run

from unblot.calibration import calibrate

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=200)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``monitor`` reads of a run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    golden = Path(__file__).parents[1] / "training" / "golden" / "format-2"
    config = next(golden.rglob("config.json")) if golden.is_dir() else next(golden.parent.rglob("config.json"))
    (folder / "config.json").write_bytes(config.read_bytes())
    made = calibrate(NORMAL).to_dict()
    (folder / "calibration.json").write_text(json.dumps(made), encoding="utf-8")
    return folder


def table(path: Path, scores: list[float]) -> Path:
    rows = [f"img {i}.png,{float(score)!r},0,0.5" for i, score in enumerate(scores)]
    path.write_text("\n".join(["path,score,predicted,p_value", *rows, "broken.png,,,"]) + "\n", encoding="utf-8")
    return path


def test_a_change_is_named_and_drawn(kept: Path, tmp_path: Path) -> None:
    changed = [*RNG.normal(size=150), *RNG.normal(3, 1, size=30)]
    result = run("monitor", kept, table(tmp_path / "s.csv", changed), "--out", "plots/p.png")
    assert result.exit_code == 1
    assert "watched   180 images" in result.stdout
    assert "scores rise, most likely from image 1" in result.stdout
    assert "left out  rows without a score or of known defects: 1\n" in result.stdout
    with Image.open("plots/p.png") as picture:
        assert picture.size == (900, 500)
    ok_again = run("monitor", kept, tmp_path / "s.csv", "--out", "plots/p.png", "--json")
    line = json.loads(ok_again.stdout)
    assert line["direction"] == "rise"
    assert int(line["start"].split()[1].removesuffix(".png")) in range(140, 160)


def test_unchanged_scores_raise_no_alarm_and_known_defects_do_not_count(kept: Path, tmp_path: Path) -> None:
    assert "change    none found" in ok("monitor", kept, table(tmp_path / "s.csv", list(RNG.normal(size=100)))).stdout
    rows = [f"a{i},good,a{i},0,{float(score)!r},0" for i, score in enumerate(RNG.normal(size=80))]
    rows += [f"b{i},bad,b{i},1,99.0,1" for i in range(80)]
    (tmp_path / "e.csv").write_text("name,kind,group,label,score,predicted\n" + "\n".join(rows), encoding="utf-8")
    assert "watched   80 images" in ok("monitor", kept, tmp_path / "e.csv").stdout
    lines = [json.dumps({"path": f"{i}.png", "score": float(score)}) for i, score in enumerate(RNG.normal(size=50))]
    (tmp_path / "l.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert "watched   50 images" in ok("monitor", kept, tmp_path / "l.jsonl").stdout


def test_what_is_no_table_or_no_run_is_said(kept: Path, tmp_path: Path) -> None:
    scores = table(tmp_path / "s.csv", [1.0, 2.0])
    (tmp_path / "n.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert "no path (or name) and score in row 1" in refused("monitor", kept, tmp_path / "n.csv")
    (tmp_path / "t.csv").write_text("path,score\na,high\n", encoding="utf-8")
    assert "'high' in row 1" in refused("monitor", kept, tmp_path / "t.csv")
    (tmp_path / "empty.csv").write_text("path,score\n", encoding="utf-8")
    assert "holds no score" in refused("monitor", kept, tmp_path / "empty.csv")
    assert "s.csv" in refused("monitor", kept, scores, "--out", scores)
    old = json.loads((kept / "calibration.json").read_text(encoding="utf-8")) | {"scores": []}
    (kept / "calibration.json").write_text(json.dumps(old), encoding="utf-8")
    assert "train or export it again" in " ".join(refused("monitor", kept, scores).split())
    assert "there is no run at" in refused("monitor", tmp_path / "nowhere", scores)
