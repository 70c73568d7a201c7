"""Runs that were written once are read by every later version of the same format, and score as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.training.make_golden import GOLDEN, SCORES, SIZES, judged

from unblot.evaluation import score_set
from unblot.training import load_run
from unblot.training.run_files import CONFIG, FORMAT

RUNS = sorted(path.parent for path in GOLDEN.rglob(CONFIG))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_golden_run_is_read_and_gives_its_scores(path: Path) -> None:
    kept = json.loads((path / SCORES).read_text(encoding="utf-8"))
    run = load_run(path)
    assert run.position.finished
    assert run.images is not None
    found = [score_set(run.detector, part, progress=False) for part in judged(SIZES[path.name])]
    scores = np.concatenate([part.image for part in found])
    assert scores.tolist() == pytest.approx(kept["scores"], rel=1e-4)
    highest = [each.max() for part in found for each in part.maps]
    assert highest == pytest.approx(kept["highest"], rel=1e-3)
    assert run.calibration.threshold == kept["threshold"]
    assert (scores[3:] > run.calibration.threshold).all(), "the spots are found"


def test_there_is_a_golden_run_of_the_format_of_today() -> None:
    """A new number of the format takes new golden runs (``tests/training/make_golden.py``)."""
    made = {path.name for path in RUNS if path.parent.name == f"format-{FORMAT}"}
    assert made == set(SIZES)
    for path in RUNS:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        assert path.parent.name == f"format-{config['format']}"
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 200_000
