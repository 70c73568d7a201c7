"""A training with weights from a file: the run keeps their hash, and needs the file for nothing but its start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from unblot.backbones.networks import known
from unblot.data import Splits
from unblot.errors import UserError
from unblot.evaluation import score_set
from unblot.training import TrainConfig, load_run, train

timm = pytest.importorskip("timm")


class Killed(BaseException):
    pass


def kill_in_the_second(_: object, epoch: int) -> None:
    if epoch == 2:
        raise Killed


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of timm's smallest transformer."""
    torch.manual_seed(3)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def config(weights: Path, model: str = "memory", **settings: Any) -> TrainConfig:
    own: dict[str, Any] = {"memory": {"coreset_size": 20}, "feature_mask": {"width": 4}}[model]
    options = {"backbone": "test_vit", "blocks": [1, 5], "weights": str(weights), **own}
    return TrainConfig(model, model_options=options, batch_size=8, device="cpu", **settings)


def test_a_run_outlives_its_file_of_weights(weights: Path, tmp_path: Path, make_splits: Callable[..., Splits]) -> None:
    digest, splits = hashlib.sha256(weights.read_bytes()).hexdigest(), make_splits(12, size=64)
    trained = train(config(weights), splits, tmp_path / "run", progress=False)
    weights.unlink()
    known.cache_clear()  # as in another process, which built no such network before
    run = load_run(tmp_path / "run")
    assert run.provenance["sources"]["backbone"]["sha256"] == digest
    before, after = (score_set(d, splits.test, progress=False).image for d in (trained, run.detector))
    assert (before == after).all()
    told = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert str(tmp_path) not in json.dumps(told["sources"])


def test_a_killed_training_goes_on_without_the_file(
    weights: Path, tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    splits, settings = make_splits(12, size=64), config(weights, "feature_mask", epochs=3)
    train(settings, splits, tmp_path / "whole", progress=False)

    with pytest.raises(Killed):
        train(settings, splits, tmp_path / "killed", progress=False, after_epoch=kill_in_the_second)
    weights.unlink()
    train(settings, splits, tmp_path / "killed", resume=True, progress=False)
    for name in ("checkpoint.safetensors", "calibration.json", "provenance.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_start_that_fails_for_the_file_can_be_mended(
    weights: Path, tmp_path: Path, make_splits: Callable[..., Splits]
) -> None:
    splits = make_splits(12, size=64)
    with pytest.raises(UserError, match=r"gone.pth: No such file"):
        train(config(tmp_path / "gone.pth"), splits, tmp_path / "run", progress=False)
    train(config(weights), splits, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").position.finished


def test_a_run_from_before_an_option_goes_on(weights: Path, tmp_path: Path, make_splits: Callable[..., Splits]) -> None:
    """What its detector could not be asked for then has its default now."""
    splits = make_splits(12, size=64)
    settings = TrainConfig(
        "feature_mask", model_options={"backbone": "filters", "width": 4}, epochs=2, batch_size=8, device="cpu"
    )

    with pytest.raises(Killed):
        train(settings, splits, tmp_path / "run", progress=False, after_epoch=kill_in_the_second)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    for name in ("blocks", "weights"):
        del stored["detector"]["options"][name]
    (tmp_path / "run" / "config.json").write_text(json.dumps(stored))
    train(settings, splits, tmp_path / "run", resume=True, progress=False)
    assert load_run(tmp_path / "run").position.finished
