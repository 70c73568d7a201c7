"""The protocol taken apart: eight ways, two controls, and the record of the epochs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from research.protocol import study as ablation
from research.protocol.__main__ import app
from research.protocol.study import protocol_study
from typer.testing import CliRunner

from unblot.comparison import best_epoch
from unblot.comparison.epochs import EachEpoch, judge, read_epochs
from unblot.data import DataConfig, ImageSet, Item, Source, Splits, load_data
from unblot.detectors import create
from unblot.errors import UserError
from unblot.evaluation import CLEAN, PUBLISHED
from unblot.training import TrainConfig


@pytest.fixture
def data() -> DataConfig:
    return DataConfig("digits", size=8, normal=("0", "1"), abnormal=("2",), limit=24)


@pytest.fixture
def asked() -> TrainConfig:
    options = {"width": 4, "latent": 4}
    return TrainConfig("dae", model_options=options, corruption="none", epochs=2, batch_size=8, device="cpu")


def test_eight_ways_of_one_training(
    data: DataConfig, asked: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = load_data(data)
    study = protocol_study(asked, data, splits, tmp_path, progress=False)
    rows = {(r["batch_statistics"], r["class_order"], r["best_epoch"]): r for r in study["rows"]}
    assert len(rows) == 8
    assert [key for key, row in rows.items() if row["reachable_in_use"]] == [(False, False, False)]
    for best in (False, True):
        assert rows[False, True, best]["auroc"] == rows[False, False, best]["auroc"]  # order alone does nothing
        assert rows[True, True, best]["auroc"] != rows[True, False, best]["auroc"]
    for key, row in rows.items():
        assert row["auroc"] <= rows[*key[:2], True]["auroc"]
        assert 0 <= row["untrained_auroc"] <= 1
    assert study["paper"] is None
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.format == "PNG"
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.count("\n| ") == 9
    assert "not reachable in use" in text
    assert json.loads((tmp_path / "study.json").read_text(encoding="utf-8")) == study

    def no_training(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("unblot.training.loop._train", no_training)
    assert protocol_study(asked, data, splits, tmp_path, progress=False) == study


@pytest.fixture
def lit() -> Splits:
    def images(*values: tuple[int, int]) -> ImageSet:
        items = [
            Source(Item(f"{i}", label, "x", str(i)), np.full((8, 8, 3), value, np.uint8))
            for i, (value, label) in enumerate(values)
        ]
        return ImageSet(items, channels=3, size=8)

    return Splits("lit", images((100, 0), (102, 0)), images((100, 0)), images((103, 0), (131, 1), (99, 0), (111, 1)))


def test_the_colour_of_a_batch_needs_no_network(lit: Splits) -> None:
    """Distances from the training's mean colour, (101, 101, 101)."""
    alone = ablation.colour_scores(lit, CLEAN)
    np.testing.assert_allclose(alone, np.array([2, 30, 2, 10]) * 3**0.5)
    ordered = ablation.colour_scores(lit, replace(PUBLISHED, batch_size=2))
    np.testing.assert_allclose(ordered, np.array([0, 20, 0, 20]) * 3**0.5, atol=1e-6)


def test_the_paper_stands_beside_its_class() -> None:
    cifar = DataConfig("cifar10", abnormal=("bird",))
    assert ablation._paper(TrainConfig("nested"), cifar) == 0.874
    assert ablation._paper(TrainConfig("dae"), cifar) is None


def test_the_best_epoch_is_the_earliest_of_equal_ones() -> None:
    epochs = [{"epoch": n, "x": {"auroc": a}} for n, a in ((1, 0.5), (2, 0.7), (3, 0.7), (4, None))]
    assert best_epoch(epochs, "x") == (2, {"auroc": 0.7})
    with pytest.raises(UserError, match="'y'"):
        best_epoch(epochs, "y")


def test_epochs_are_scored_on_the_device_of_the_training(
    lit: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def scores(*_: Any, device: str, **__: Any) -> Any:
        seen.append(device)
        return np.arange(len(lit.test), dtype=np.float64)

    monkeypatch.setattr("unblot.comparison.epochs.image_scores", scores)
    EachEpoch(tmp_path, lit, [CLEAN], device="cuda:1")(create("dae", channels=3, size=8, width=4), 1)
    assert seen == ["cuda:1"]


def test_an_epoch_trained_again_replaces_what_came_after(lit: Splits, tmp_path: Path) -> None:
    watch = EachEpoch(tmp_path, lit, [CLEAN, PUBLISHED], device="cpu")
    detector = create("dae", channels=3, size=8, width=4)
    for epoch in (1, 2, 3, 2):
        watch(detector, epoch)
    epochs = read_epochs(tmp_path)
    assert [entry["epoch"] for entry in epochs] == [1, 2]
    assert epochs[0]["clean"] == judge(detector, lit, CLEAN)
    (tmp_path / "test_epochs.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"test_epochs\.json"):
        read_epochs(tmp_path)


def test_the_command_writes_the_study_and_prints_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "digits",
        "--normal",
        "1",
        "--abnormal",
        "2",
        "--size",
        "8",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--device",
        "cpu",
        "--limit",
        "24",
        "--quiet",
    ]
    result = CliRunner().invoke(app, [*words, "--model", "dae", "--set", "width=4", "--corruption", "none"])
    assert result.exit_code == 0, result.output
    out = Path("studies/digits-2-dae")
    assert (out / "table.md").read_text(encoding="utf-8") in result.stdout
    assert result.stdout.count("| running statistics |") == 4
    assert (out / "plot.png").is_file()
    Path("file").touch()
    result = CliRunner().invoke(app, [*words, "--model", "dae", "--out", "file"])
    assert result.exit_code == 2
    assert "file" in result.stderr and "Traceback" not in result.output
