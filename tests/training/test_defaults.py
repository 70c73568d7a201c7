"""What was left open is decided alike, whichever door a run comes through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unblot import cli
from unblot.comparison import plan
from unblot.comparison.cell import _resolved
from unblot.data import DataConfig, Splits, find_images, load_data, load_found
from unblot.data.decoded import CACHE_BYTES, ONCE_BYTES
from unblot.detectors import Detector, recommended
from unblot.sklearn import AnomalyDetector
from unblot.training import TrainConfig, resolve, size_for, train

MODELS = ["auto", "memory", "dae"]
SHAPE = (90, 130)
DOORS = (
    "unblot.training.train",
    "unblot.comparison.cell.train",
    "unblot.sklearn.train",
)


class EnoughError(Exception):
    """A run is known; it need not be trained."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16 normal images of 130 × 90 and two that are not."""
    for name, count, low in (("fine", 16, 0), ("bad", 2, 150)):
        (tmp_path / "parts" / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([low, i]).integers(low, low + 100, SHAPE, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "parts" / name / f"{i}.png")
    return tmp_path / "parts"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrainConfig, Splits]]:
    """What each door hands over to the training, which is not done."""
    seen: list[tuple[TrainConfig, Splits]] = []

    def stop(config: TrainConfig, splits: Any, *_: Any, **__: Any) -> Detector:
        if isinstance(splits, DataConfig):
            config, _data, splits = resolve(config, splits)
        seen.append((config.resolved(len(splits.train), splits.train.size), splits))
        raise EnoughError

    for door in DOORS:
        monkeypatch.setattr(door, stop)
    return seen


def cli_words(folder: Path, out: Path) -> list[str]:
    return [str(folder), "--normal", "fine", "--abnormal", "bad", "--device", "cpu", "--quiet", "--out", str(out)]


@pytest.mark.parametrize("model", MODELS)
def test_every_door_means_the_same_run(
    model: str, folder: Path, tmp_path: Path, started: list[tuple[TrainConfig, Splits]]
) -> None:
    data = DataConfig(str(folder), normal=("fine",), abnormal=("bad",))
    expected, at, splits = resolve(TrainConfig(model, device="cpu"), data)
    own = recommended(model)
    assert expected.epochs == own.epochs(len(splits.train), splits.train.size)
    assert (expected.corruption, expected.batch_size, expected.lr) == (own.corruption, own.batch_size, own.lr)
    assert at.size == splits.train.size == size_for(TrainConfig(model), (SHAPE[0] * SHAPE[1]) ** 0.5)

    result = CliRunner().invoke(cli.app, ["train", *cli_words(folder, tmp_path / "run"), "--model", model])
    assert isinstance(result.exception, EnoughError), result.output
    (planned,) = plan(data, TrainConfig(device="cpu"), models=[model], corruptions={"own": None}, seeds=[0])
    in_grid = _resolved(planned.config, planned.data)
    pixels = np.stack([np.asarray(Image.open(folder / "fine" / f"{i}.png")) for i in range(16)])
    with pytest.raises(EnoughError):
        AnomalyDetector(model, device="cpu", random_state=0, held_out=data.held_out).fit(pixels)

    by_cli, by_sklearn = started
    assert by_cli[0] == in_grid[0] == expected
    for found in (by_cli[1], in_grid[2], by_sklearn[1]):
        assert found.train.size == at.size
    assert in_grid[1].size == at.size
    # An estimator has no test images, so it trains on more; all else follows from the same rules.
    given = by_sklearn[1]
    assert by_sklearn[0] == TrainConfig(model, device="cpu").resolved(len(given.train), given.train.size)


@pytest.mark.parametrize("model", MODELS)
def test_the_written_configuration_is_the_resolved_one(model: str, folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"width": 4} if model == "dae" else {"backbone": "filters", "coreset_size": 20}
    options |= {"steps": 20} if model == "auto" else {}
    words = [f"--set={name}={value}" for name, value in options.items()]
    few = ["--epochs", "1"] if model == "dae" else []
    result = CliRunner().invoke(
        cli.app, ["train", *cli_words(folder, tmp_path / "by cli"), "--model", model, *words, *few]
    )
    assert result.exit_code == 0, result.output
    data = DataConfig(str(folder), normal=("fine",), abnormal=("bad",))
    asked = TrainConfig(model, model_options=options, epochs=1 if few else None, device="cpu")
    train(asked, data, tmp_path / "by library", progress=False)
    by_cli, by_library = (
        json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8")) for name in ("by cli", "by library")
    )
    assert by_cli == by_library
    expected, at, _ = resolve(asked, data)
    assert by_cli["training"] == expected.to_dict()
    assert by_cli["data"]["size"] == by_cli["detector"]["size"] == at.size
    one, other = ((tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("by cli", "by library"))
    assert one == other


def test_what_was_asked_for_is_never_replaced(folder: Path) -> None:
    data = DataConfig(str(folder), normal=("fine",), abnormal=("bad",), size=96)
    asked = TrainConfig("auto", corruption="box", epochs=7, batch_size=5, lr=0.5)
    config, at, splits = resolve(asked, data)
    assert config == asked
    assert at == data
    assert splits.train.size == 96


def test_images_without_a_size_are_loaded_as_the_general_rule_says(folder: Path) -> None:
    data = DataConfig(str(folder), normal=("fine",), abnormal=("bad",))
    assert load_data(data).train.size == resolve(TrainConfig("memory"), data)[1].size
    assert resolve(TrainConfig("memory", model_options={"backbone": "filters"}), data)[2].train.size <= 256


def test_compare_runs_a_memory_alone(folder: Path, tmp_path: Path) -> None:
    words = ["--models", "memory", "--set", "memory.backbone=filters", "--set", "memory.coreset_size=20"]
    result = CliRunner().invoke(cli.app, ["compare", *cli_words(folder, tmp_path / "grid"), *words])
    assert result.exit_code == 0, result.output
    (run,) = (tmp_path / "grid" / "runs").iterdir()
    training = json.loads((run / "config.json").read_text(encoding="utf-8"))["training"]
    assert (training["model"], training["corruption"]) == ("memory", recommended("memory").corruption)
    assert "| memory | own | clean |" in (tmp_path / "grid" / "table.md").read_text(encoding="utf-8")


def test_compare_compares_the_default_with_the_memory(
    folder: Path, tmp_path: Path, started: list[tuple[TrainConfig, Splits]]
) -> None:
    result = CliRunner().invoke(cli.app, ["compare", *cli_words(folder, tmp_path / "grid"), "--jobs", "1"])
    assert result.exit_code == 1, "no training was done"
    assert [config.model for config, _ in started] == ["auto", "memory"]
    assert [config.corruption for config, _ in started] == [recommended(m).corruption for m in ("auto", "memory")]


@pytest.mark.parametrize(("model", "kept"), [("auto", ONCE_BYTES), ("memory", ONCE_BYTES), ("dae", CACHE_BYTES)])
def test_fewer_decoded_images_are_kept_where_each_is_needed_about_once(
    model: str, kept: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = DataConfig(str(folder), normal=("fine",), abnormal=("bad",)), []
    plain = load_found

    def noted(*given: Any, cache_bytes: int, **more: Any) -> Splits:
        seen.append(cache_bytes)
        return plain(*given, cache_bytes=cache_bytes, **more)

    monkeypatch.setattr("unblot.training.defaults.load_found", noted)
    resolve(TrainConfig(model, device="cpu"), data)
    assert seen == [kept]
    assert ONCE_BYTES < CACHE_BYTES


def test_images_that_are_not_kept_are_the_same(folder: Path) -> None:
    data = DataConfig(str(folder), normal=("fine",), abnormal=("bad",), size=32)
    kept, anew = (load_found(find_images(data), data, cache_bytes=limit) for limit in (CACHE_BYTES, 0))
    assert len(kept.train) == len(anew.train) > 0
    for at in range(len(kept.train)):
        assert torch.equal(kept.train[at]["image"], anew.train[at]["image"])
