"""``predict`` moves the threshold without a new training, and ranks each score among left-out normal ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, refused
from tests.cli.test_cli import TINY


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 normal images of smooth noise, and one that is none."""
    root = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(0)
    for part, count in (("good", 60), ("bad", 1)):
        (root / part).mkdir()
        for i in range(count):
            pixels = (
                rng.integers(100, 130, (4, 4), np.uint8) if part == "good" else rng.integers(0, 256, (16, 16), np.uint8)
            )
            Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR).save(root / part / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    ok("train", parts, "--normal", "good", "--abnormal", "bad", "--held-out", "0.5", "--out", out, *TINY)
    return out


def scored(*command: object) -> list[dict[str, str]]:
    return list(csv.DictReader(ok("predict", *command).stdout.splitlines()))


def test_the_threshold_moves_to_what_is_asked(trained: Path, parts: Path) -> None:
    rows = scored(trained, parts / "good")
    middle = float(np.median([float(row["score"]) for row in rows]))
    moved = scored(trained, parts / "good", "--threshold", repr(middle))
    assert [row["score"] for row in moved] == [row["score"] for row in rows]
    assert sum(row["predicted"] == "1" for row in moved) == 30


def test_the_share_of_false_alarms_moves_it_by_the_left_out_scores(trained: Path, parts: Path) -> None:
    kept = json.loads((trained / "calibration.json").read_text(encoding="utf-8"))
    assert kept["scores"] == sorted(kept["scores"])
    assert len(kept["scores"]) == kept["n"]
    lines = ok("predict", trained, parts / "bad", "--false-alarms", "0.2", "--json").stdout
    rank = -(-8 * (kept["n"] + 1) // 10)  # ceil(0.8 (n + 1))
    assert json.loads(lines)["threshold"] == kept["scores"][rank - 1]


def test_a_p_value_counts_left_out_images_that_score_as_high(trained: Path, parts: Path) -> None:
    kept = json.loads((trained / "calibration.json").read_text(encoding="utf-8"))
    for row in scored(trained, parts / "good", parts / "bad"):
        above = sum(score >= float(row["score"]) for score in kept["scores"])
        assert float(row["p_value"]) == pytest.approx((1 + above) / (1 + kept["n"]), rel=1e-3)


def test_a_run_without_scores_or_threshold_takes_a_value(trained: Path, parts: Path, tmp_path: Path) -> None:
    import shutil

    old = tmp_path / "old"
    shutil.copytree(trained, old)
    kept = json.loads((old / "calibration.json").read_text(encoding="utf-8"))
    del kept["scores"]
    (old / "calibration.json").write_text(json.dumps(kept), encoding="utf-8")
    (row,) = scored(old, parts / "bad")
    assert row["p_value"] == ""
    assert "does not keep" in refused("predict", old, parts / "bad", "--false-alarms", "0.2")
    (old / "calibration.json").unlink()
    assert "no threshold" in refused("predict", old, parts / "bad")
    (row,) = scored(old, parts / "bad", "--threshold", "-1000")
    assert row["predicted"] == "1"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--threshold", "1", "--false-alarms", "0.1"], "give one of them"),
        (["--threshold", "nan"], "finite number"),
        (["--false-alarms", "1.5"], "such as 0.01; got 1.5"),
        (["--false-alarms", "0.001"], "left-out images; the least is"),
    ],
)
def test_what_cannot_be_asked_is_said(trained: Path, parts: Path, flags: list[str], said: str) -> None:
    assert said in " ".join(refused("predict", trained, parts / "bad", *flags).split())
