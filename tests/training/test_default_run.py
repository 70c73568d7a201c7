"""The default detector trained, stopped and read back: its phases keep things that no checkpoint holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from unblot.data import Splits
from unblot.errors import UserError
from unblot.models import Batch, Detector, Step
from unblot.models.auto import MARK, Auto
from unblot.training import TrainConfig, load_run, train

MakeSplits = Callable[..., Splits]


def config(model: str = "auto", *, teacher: str = "filters", corruption: str = "mixed", **more: Any) -> TrainConfig:
    options = {"teacher": teacher, "entries": 50} | ({"steps": 20} if model == "auto" else {})
    plain: dict[str, Any] = {"epochs": 1, "batch_size": 8, "device": "cpu", "quantile": 0.5, "judge": "none"}
    return TrainConfig(model, model_options=options, corruption=corruption, **(plain | more))


def test_a_run_tells_what_its_threshold_comes_from(tmp_path: Path, make_splits: MakeSplits) -> None:
    splits = make_splits(12, size=64)
    trained = train(config(), splits, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert run.calibration is not None
    assert (run.calibration.n, run.calibration.left_out) == (22, 12)
    notes = json.loads((tmp_path / "run" / "notes.json").read_text())
    assert set(notes["parts"]) == {"memory", "marks"}
    images = torch.rand(3, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(run.detector.eval().score(images).image, trained.eval().score(images).image)


@pytest.mark.parametrize("model", ["memory", "auto"])
def test_the_threshold_of_left_out_training_images_is_above_scores_of_seen_ones(
    model: str, tmp_path: Path, make_splits: MakeSplits
) -> None:
    splits = make_splits(12, 1, size=64)
    train(config(model), splits, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert run.calibration is not None
    assert (run.calibration.n, run.calibration.left_out) == (13, 12)
    seen = torch.stack([splits.train[i]["image"] for i in range(12)]).float() / 127.5 - 1
    with torch.no_grad():
        assert run.calibration.threshold > run.detector.eval().score(seen).image.median()


class Killed(BaseException):
    """Stops a training as a kill would."""


@pytest.mark.parametrize(("teacher", "written"), [("filters", 0), ("scratch", 2)])
def test_a_training_that_was_stopped_within_what_it_keeps_goes_on_from_before_to_the_same_bytes(
    teacher: str, written: int, tmp_path: Path, make_splits: MakeSplits, monkeypatch: pytest.MonkeyPatch,
    checkpoints: list[bytes],
) -> None:  # fmt: skip
    splits, given = make_splits(12, size=64), config(teacher=teacher, epochs=2)
    train(given, splits, tmp_path / "whole", progress=False)
    assert len(checkpoints) == written + 1, "the teacher's epochs, and the end"
    checkpoints.clear()
    plain, calls = Auto.training_step, []

    def fatal(self: Auto, phase: str, batch: Batch) -> Iterator[Step]:
        calls.append(phase)
        if calls.count(MARK) == 3:
            raise Killed
        return plain(self, phase, batch)

    monkeypatch.setattr(Auto, "training_step", fatal)
    with pytest.raises(Killed):
        train(given, splits, tmp_path / "run", progress=False)
    assert len(checkpoints) == written
    assert (tmp_path / "run" / "checkpoint.safetensors").exists() == bool(written)
    monkeypatch.setattr(Auto, "training_step", plain)
    train(given, splits, tmp_path / "run", resume=True, progress=False)
    name = "checkpoint.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    one, other = (load_run(tmp_path / each).calibration for each in ("run", "whole"))
    assert one == other


def test_the_marking_phase_shows_its_own_number_of_images_and_another_corruption_each_time(
    tmp_path: Path, make_splits: MakeSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, bytes]] = []
    plain = Auto.training_step

    def noted(self: Auto, phase: str, batch: Batch) -> Iterator[Step]:
        if phase == MARK:
            pixels = batch.noisy.numpy()
            shown.extend((int(i), pixels[n].tobytes()) for n, i in enumerate(batch.index))
        return plain(self, phase, batch)

    monkeypatch.setattr(Auto, "training_step", noted)
    splits = make_splits(3, size=64)
    detector = train(config(batch_size=2), splits, tmp_path / "run", progress=False)
    assert isinstance(detector, Auto)
    assert len(shown) == 10 * (detector._images - detector._images % 2)
    assert {index for index, _ in shown} == {0, 1, 2}


def test_a_training_that_corrupts_nothing_is_refused_and_says_what_to_do(
    tmp_path: Path, make_splits: MakeSplits
) -> None:
    with pytest.raises(UserError, match=r"auto learns to mark corrupted regions.*--corruption mixed.*memory"):
        train(config(corruption="none"), make_splits(4, size=64), tmp_path / "run", progress=False)


@pytest.mark.parametrize(("images", "held_out"), [(2, 0), (2, 1), (5, 0)])
def test_few_images_and_none_held_out_are_borne(
    images: int, held_out: int, tmp_path: Path, make_splits: MakeSplits
) -> None:
    detector: Detector = train(config(), make_splits(images, held_out, size=64), tmp_path / "run", progress=False)
    with torch.no_grad():
        assert detector.score(torch.rand(2, 1, 64, 64) * 2 - 1).image.isfinite().all()
    found = load_run(tmp_path / "run").calibration
    left_out = 0 if images == 2 else images  # the two are of one group, which cannot be left out
    assert (found.left_out if found else 0) == left_out
    assert (found.n if found else 0) == left_out + held_out
