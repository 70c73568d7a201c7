"""The default and the memory through the loop: trained, killed, read back, and where their threshold comes from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unblot.data import Splits
from unblot.detectors import Detector
from unblot.detectors.auto import MARK, Auto
from unblot.errors import UserError
from unblot.training import TrainConfig, load_run, train

OPTIONS = {"backbone": "filters", "coreset_size": 50}
STEPS = {"steps": 53}  # on ten rounds of 12 corrupted images, in batches of 8 and 4


def config(model: str = "auto", **settings: object) -> TrainConfig:
    plain: dict[str, object] = {"model_options": OPTIONS, "batch_size": 8, "device": "cpu", "judge": "none"}
    plain |= settings
    if model == "auto":
        plain["model_options"] = plain["model_options"] | STEPS  # type: ignore[operator]
    return TrainConfig(model, **plain)  # type: ignore[arg-type]


class Killed(BaseException):
    """Stands for a kill signal: nothing in the loop catches it."""


def killed_in(monkeypatch: pytest.MonkeyPatch, phase: str, batch: int) -> None:
    """Let training end in the middle of a phase."""
    plain, seen = Auto.training_step, []

    def step(self: Auto, name: str, given: object) -> object:
        if name == phase:
            seen.append(name)
            if len(seen) == batch:
                raise Killed
        return plain(self, name, given)  # type: ignore[arg-type]

    monkeypatch.setattr(Auto, "training_step", step)


@pytest.mark.parametrize(("phase", "batch"), [("remember", 2), (MARK, 13)])
def test_killed_within_phases_that_keep_it_is_trained_anew_to_the_same_bytes(
    phase: str, batch: int, tmp_path: Path, make_splits: Callable[..., Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = make_splits(12, size=64)
    train(config(), splits, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patched:
        killed_in(patched, phase, batch)
        with pytest.raises(Killed):
            train(config(), splits, tmp_path / "killed", progress=False)
    assert not (tmp_path / "killed" / "checkpoint.safetensors").exists(), "what is kept is in no checkpoint"
    train(config(), splits, tmp_path / "killed", resume=True, progress=False)
    for name in ("checkpoint.safetensors", "calibration.json", "provenance.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_killed_in_its_backbones_phase_it_goes_on_from_there(
    tmp_path: Path, make_splits: Callable[..., Splits], checkpoints: list[bytes]
) -> None:
    splits, settings = (
        make_splits(12, size=64),
        config(model_options={"backbone": "scratch", "coreset_size": 50}, epochs=2),
    )
    train(settings, splits, tmp_path / "whole", progress=False)
    assert len(checkpoints) == 3, "one after each epoch of the backbone, and the end's"
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "config.json").write_text((tmp_path / "whole" / "config.json").read_text())
    (folder / "checkpoint.safetensors").write_bytes(checkpoints[0])
    train(settings, splits, folder, resume=True, progress=False)
    whole = (tmp_path / "whole" / "checkpoint.safetensors").read_bytes()
    assert (folder / "checkpoint.safetensors").read_bytes() == whole


def test_a_checkpoint_is_written_at_the_end_alone_where_all_is_kept(
    tmp_path: Path, make_splits: Callable[..., Splits], checkpoints: list[bytes]
) -> None:
    splits = make_splits(12, size=64)
    made: list[Detector] = [train(config(), splits, tmp_path / "run", progress=False)]
    assert len(checkpoints) == 1
    assert {path.stem for path in (tmp_path / "run" / "log").glob("*.csv")} >= {MARK}
    run = load_run(tmp_path / "run")
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        one, other = made[0].eval().score(images), run.detector.score(images)
    assert torch.equal(one.image, other.image)
    assert set(run.provenance["decided"]["parts"]) == {"memory", "marks"}


@pytest.mark.parametrize("model", ["auto", "memory"])
def test_the_same_seed_makes_the_same_bytes(model: str, tmp_path: Path, make_splits: Callable[..., Splits]) -> None:
    splits = make_splits(12, size=64)
    for name, workers in (("one", 0), ("other", 1)):
        train(config(model, workers=workers), splits, tmp_path / name, progress=False)
    one, other = ((tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other
    train(config(model, seed=1), splits, tmp_path / "third", progress=False)
    assert one != (tmp_path / "third" / "checkpoint.safetensors").read_bytes()


@pytest.mark.parametrize("model", ["auto", "memory"])
def test_the_threshold_comes_from_held_out_and_training_images(
    model: str, tmp_path: Path, make_splits: Callable[..., Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unblot.detectors.memory import Memory

    splits, seen = make_splits(12, size=64), []
    plain = Memory.calibrate

    def noted(self: Memory, *given: object) -> object:
        seen.append(plain(self, *given))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(Memory, "calibrate", noted)
    train(config(model, quantile=0.5), splits, tmp_path / "run", progress=False)
    run, (left_out,) = load_run(tmp_path / "run"), seen
    assert left_out is not None
    assert (run.calibration.n, run.calibration.left_out) == (22, 12)
    assert run.calibration.promise == "cross"
    scores = np.sort(torch.cat([left_out.held_out, left_out.training]).double().numpy())
    assert run.calibration.threshold in scores
    assert (scores <= run.calibration.threshold).sum() == 12, "(n + 1) halves, rounded up"
    assert json.loads((tmp_path / "run" / "calibration.json").read_text())["left_out"] == 12


def test_without_held_out_images_training_images_give_the_threshold(
    tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    train(config("memory"), make_splits(12, 0, size=64), tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert (run.calibration.n, run.calibration.left_out) == (12, 12)


def test_without_a_corruption_the_default_is_refused_and_says_what_to_do(
    tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    with pytest.raises(UserError, match=r"auto learns to mark.*--corruption mixed.*memory"):
        train(config(corruption="none"), make_splits(12, size=64), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists(), "it is known before any work"
    with pytest.raises(UserError, match=r"backbone 'scratch' learns to mark.*--corruption mixed"):
        settings = config("memory", model_options={"backbone": "scratch"}, corruption="none")
        train(settings, make_splits(12, size=64), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("images", "held_out"), [(2, 0), (2, 1), (5, 0)])
def test_few_images_and_none_held_out_are_borne(
    images: int, held_out: int, tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    detector = train(config(), make_splits(images, held_out, size=64), tmp_path / "run", progress=False)
    with torch.no_grad():
        assert detector.score(torch.rand(2, 1, 64, 64) * 2 - 1).image.isfinite().all()
    found = load_run(tmp_path / "run").threshold
    left_out = 0 if images == 2 else images  # the two are of one group, which cannot be left out
    assert (found.left_out if found else 0) == left_out
    assert (found.n if found else 0) == left_out + held_out
