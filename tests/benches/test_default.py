"""The bench of the default runs and times each row."""

import sys

import pytest

from benches import default
from unblot.training import TrainConfig


@pytest.mark.slow
def test_each_row_has_its_times(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["default", "--size", "64", "--images", "8", "--rounds", "1", "--threads", "1"])
    monkeypatch.setattr(default, "ENTRIES", 20)
    monkeypatch.setattr(default, "BATCH", 2)
    few_steps = {"auto": {"steps": 8}}
    monkeypatch.setattr(
        default, "TrainConfig", lambda model, **more: TrainConfig(model, model_options=few_steps.get(model, {}), **more)
    )
    default.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    timed = {name.strip(): (training.strip(), float(scoring)) for name, training, scoring in rows[1:]}
    assert len(timed) == 6
    assert all(scoring > 0 for _, scoring in timed.values())
    assert sum(training != "" for training, _ in timed.values()) == 4
