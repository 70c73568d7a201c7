"""The grid: refused before any work, each training made once, resumed after a kill, one failure stops no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from unblot import training
from unblot.baselines.dae import DenoisingAutoencoder
from unblot.comparison import Outcome, Training, run_grid
from unblot.comparison import cell as module
from unblot.data import DataConfig
from unblot.detectors import Batch, Step
from unblot.errors import UserError
from unblot.evaluation import CLEAN, PUBLISHED
from unblot.training import TrainConfig

Grid = Callable[..., list[Training]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the run directories that ``train`` was called with."""
    original, names = training.train, []

    def remember(config: TrainConfig, splits: Any, out: Path, **more: Any) -> Any:
        names.append(Path(out).name)
        return original(config, splits, out, **more)

    monkeypatch.setattr(module, "train", remember)
    return names


def run(trainings: list[Training], out: Path, *protocols: Any, **more: Any) -> list[Outcome]:
    return run_grid(trainings, protocols or (CLEAN,), out, jobs=1, progress=False, **more)


def cell(outcomes: list[Outcome], protocol: str = "clean") -> dict[str, Any]:
    (outcome,) = outcomes
    return dict(outcome.cells[protocol])


def test_the_plan_holds_each_combination_once_and_seeds_draw_the_split(grid: Grid) -> None:
    digits = DataConfig("digits", size=8)
    plan = grid(data=digits, classes=["3", "5"], corruptions={"none": "none", "box": "box"}, seeds=[0, 1])
    assert len({t.name for t in plan}) == len(plan) == 2 * 2 * 2
    assert plan[0].name == "3-dae-none-seed0"
    assert {(t.config.seed, t.data.split_seed) for t in plan} == {(0, 0), (1, 1)}
    assert {t.data.abnormal for t in plan} == {("3",), ("5",)}
    images = [t.data for t in plan]
    assert len([0 for a, b in pairwise(images) if a != b]) == len(set(images)) - 1  # loaded once
    fixed = grid(seeds=[0, 1], split_by_seed=False)
    assert {t.data.split_seed for t in fixed} == {0}
    assert len(grid(data=digits, classes=["all"])) == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": ["dae", "day"]}, "'day'"),
        ({"models": []}, "models is empty"),
        ({"models": ["dae", "dae"]}, "twice"),
        ({"options": {"dae": {"wdth": 3}}}, "wdth"),
        ({"options": {"dae": {"width": -1}}}, "width"),
        ({"data": DataConfig("digits", size=12)}, "multiple of 8"),
        ({"data": DataConfig("digits", size=8), "classes": ["3", "eleven"]}, "eleven"),
        ({"data": DataConfig("digits", size=8), "classes": ["3", "3"]}, "twice"),
        ({"classes": ["3"]}, "not both"),
        ({"data": DataConfig("nowhere", size=8)}, "nowhere"),
        ({"data": DataConfig("magnetic-tile", size=8), "classes": ["Crack"]}, "magnetic-tile"),
        ({"seeds": []}, "seeds is empty"),
    ],
)
def test_wrong_names_are_refused_before_any_work(grid: Grid, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        grid(**change)


def test_protocols_share_one_training_and_a_finished_cell_is_not_run_again(
    grid: Grid, tmp_path: Path, trained: list[str]
) -> None:
    seen = []
    outcomes = run(grid(), tmp_path, CLEAN, PUBLISHED, report=lambda o, done, left: seen.append((o, done, left)))
    assert trained == ["dae-none-seed0"]
    assert seen == [(outcomes[0], 1, 0.0)]
    clean, published = cell(outcomes), cell(outcomes, "published")
    assert clean["reachable_in_use"]
    assert not published["reachable_in_use"]
    assert clean["auroc"] != published["auroc"]
    epochs = json.loads((tmp_path / "runs/dae-none-seed0/test_epochs.json").read_text(encoding="utf-8"))["epochs"]
    assert published["auroc"] == max(entry["published"]["auroc"] for entry in epochs)
    assert epochs[published["epoch"] - 1]["published"]["auprc"] == published["auprc"]
    assert clean["parameters"] > 0
    assert clean["training_images_per_second"] > 0
    again = run(grid(), tmp_path, CLEAN, PUBLISHED)
    assert trained == ["dae-none-seed0"]
    assert again == outcomes


def test_a_left_out_class_has_its_neighbourhood_measured(grid: Grid, tmp_path: Path) -> None:
    digits = DataConfig("digits", size=8, limit=200)
    found = cell(run(grid(data=digits, classes=["0"]), tmp_path))["neighbourhood"]
    assert found["left_out"] < found["normal"] < found["chance"]
    assert found["distance_auroc"] > 0.9
    assert cell(run(grid(), tmp_path / "b"))["neighbourhood"] is None  # the data say what is abnormal
    assert (
        cell(run(grid(data=replace(digits, limit=8, test_limit=20, held_out=0.01), classes=["0"]), tmp_path / "c"))[
            "neighbourhood"
        ]
        is None
    )


def test_the_clean_cell_is_that_of_a_plain_grid(grid: Grid, tmp_path: Path) -> None:
    """Watching the epochs changes no bit of the training."""
    run(grid(), tmp_path / "a", CLEAN)
    run(grid(), tmp_path / "b", CLEAN, PUBLISHED)
    scores = "runs/dae-none-seed0/clean/scores.csv"
    assert (tmp_path / "a" / scores).read_bytes() == (tmp_path / "b" / scores).read_bytes()


def test_the_best_epoch_of_a_run_that_was_not_watched_needs_another(
    grid: Grid, tmp_path: Path, trained: list[str]
) -> None:
    first = run(grid(), tmp_path, CLEAN)
    both = run(grid(), tmp_path, CLEAN, PUBLISHED)
    assert trained == ["dae-none-seed0", "dae-none-seed0-again"]
    assert cell(both) == cell(first)
    assert cell(both, "published")["epoch"] in (1, 2)
    run(grid(), tmp_path, CLEAN, PUBLISHED)
    assert len(trained) == 2


@pytest.mark.parametrize("protocols", [(CLEAN,), (CLEAN, PUBLISHED)])
def test_a_killed_grid_goes_on_within_its_training(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocols: tuple[Any, ...]
) -> None:
    original, batches = DenoisingAutoencoder.training_step, iter(range(10**6))

    def step(self: DenoisingAutoencoder, phase: str, batch: Batch) -> Iterator[Step]:
        if next(batches) == 4:  # the second epoch; 24 images make three batches
            raise KeyboardInterrupt
        yield from original(self, phase, batch)

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", step)
    with pytest.raises(KeyboardInterrupt):
        run(grid(), tmp_path / "killed", *protocols)
    resumed = run(grid(), tmp_path / "killed", *protocols)
    whole = run(grid(), tmp_path / "whole", *protocols)
    assert next(batches) == 5 + 3 + 6  # epoch 2 was begun again, epoch 1 was not
    for protocol in protocols:
        assert cell(resumed, protocol.name)["auroc"] == cell(whole, protocol.name)["auroc"]


def test_a_failure_stops_no_other_and_may_be_tried_again(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = grid(corruptions={"none": "none", "box": "box"})
    with monkeypatch.context() as patch:
        original = training.train

        def fail(config: TrainConfig, *args: Any, **more: Any) -> Any:
            if config.corruption == "none":
                raise RuntimeError("out of\nmemory")
            return original(config, *args, **more)

        patch.setattr(module, "train", fail)
        failed, fine = run(trainings, tmp_path)
    assert failed.error == "RuntimeError: out of memory"
    assert failed.cells == {}
    assert "Traceback" in (tmp_path / "errors/dae-none-seed0.txt").read_text(encoding="utf-8")
    assert fine.error is None
    assert fine.cells["clean"]["auroc"] is not None
    assert [outcome.error for outcome in run(trainings, tmp_path)] == [None, None]


def test_a_protocol_that_fails_leaves_the_other_its_cell(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "best_epoch", lambda *_: (_ for _ in ()).throw(UserError("no epochs")))
    (outcome,) = run(grid(), tmp_path, PUBLISHED, CLEAN)
    assert list(outcome.cells) == ["clean"]
    assert outcome.error == "published: UserError: no epochs"


def test_other_settings_are_refused_before_any_work(
    grid: Grid, config: TrainConfig, tmp_path: Path, trained: list[str]
) -> None:
    run(grid(), tmp_path)
    other = grid(config=replace(config, epochs=3), corruptions={"box": "box", "none": "none"})
    with pytest.raises(UserError, match="epochs 2 there, 3 now"):
        run(other, tmp_path)
    assert trained == ["dae-none-seed0"]
    run(grid(config=replace(config, workers=1)), tmp_path)  # where it computes may change


@pytest.mark.slow
def test_processes_side_by_side_give_the_same_and_fail_alone(grid: Grid, tmp_path: Path) -> None:
    (training,) = grid()
    broken = replace(training, name="broken", data=replace(training.data, data="gone"))
    fine, failed = run_grid([training, broken], (CLEAN,), tmp_path / "two", jobs=2, progress=False)
    assert failed.error is not None
    assert "gone" in failed.error
    alone = run([training], tmp_path / "one")
    assert fine.cells["clean"]["auroc"] == cell(alone)["auroc"]
