"""The threshold keeps its promise, and an evaluation is written so that it reads back."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unblot.calibration import Calibration, calibrate, fewest
from unblot.data import ImageSet, Item, Source, Splits
from unblot.detectors.contract import Detector
from unblot.evaluation import evaluate, score_set

Make = Callable[..., Detector]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_at_most_the_share_asked_for_lies_above_the_threshold(scores: list[float], quantile: float) -> None:
    found = calibrate(scores, quantile)
    above = sum(score > found.threshold for score in scores)
    assert above <= (1 - quantile) * len(scores) + 1e-9
    assert found.threshold in scores
    assert found.n == len(scores)


@pytest.mark.parametrize(("quantile", "n"), [(0.95, 19), (0.9, 9), (0.5, 1), (0.99, 99), (0.95, 60), (0.8, 13)])
def test_a_new_normal_image_passes_the_threshold_as_seldom_as_it_says(quantile: float, n: int) -> None:
    """Each of n + 1 images that are all alike is as likely to be the new one: all are tried."""
    images = np.random.default_rng(n).permutation(n + 1).astype(float)
    alarms = [image > calibrate(np.delete(images, i), quantile).threshold for i, image in enumerate(images)]
    assert np.mean(alarms) <= 1 - quantile + 1e-9
    assert np.mean(alarms) > 1 - quantile - 1 / (n + 1), "nor much more seldom"
    assert fewest(quantile) <= n


def test_fewer_images_cannot_promise_as_much() -> None:
    for quantile in (0.5, 0.8, 0.9, 0.95, 0.99, 1 / 3):
        n = fewest(quantile) - 1
        images = np.arange(n + 1.0)
        if n:
            alarms = [i > calibrate(np.delete(images, i), quantile).threshold for i in range(n + 1)]
            assert np.mean(alarms) > 1 - quantile + 1e-9, "the highest is passed by one image in n + 1"


def test_a_calibration_survives_json() -> None:
    found = calibrate(np.arange(100) / 7, 0.9)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("scores", "quantile", "said"),
    [
        ([], 0.9, "no held-out scores"),
        ([1.0, float("nan")], 0.9, "1 of 2 held-out scores are not finite"),
        ([1.0], 0.0, r"quantile must be in \(0, 1\], got 0.0"),
        ([1.0], 95, r"quantile must be in \(0, 1\], got 95"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(scores: list[float], quantile: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        calibrate(scores, quantile)


def test_an_evaluation_counts_and_judges(brightness: Make, splits: Splits) -> None:
    detector = brightness()
    calibration = calibrate(score_set(detector, splits.held_out, progress=False).image, 1.0)
    judged = evaluate(detector, splits, calibration, batch_size=3, progress=False)
    assert judged.protocol.name == "clean"
    assert judged.predicted.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    metrics = judged.metrics
    assert metrics["counts"] == {"train": 4, "held_out": 4, "test_normal": 4, "test_abnormal": 4}
    assert metrics["auroc"] == pytest.approx(12 / 16)
    assert (metrics["precision"], metrics["recall"], metrics["false_positive_rate"]) == (1.0, 0.5, 0.0)
    assert metrics["per_kind"] == {
        "dent": {"n": 2, "auroc": 1.0, "recall": 1.0},
        "stain": {"n": 2, "auroc": 0.5, "recall": 0.0},
    }
    assert metrics["threshold"]["source"] == "4 held-out normal images"
    assert metrics["pixel"] is None
    assert metrics["warnings"] == ["a warning"]


def test_the_test_set_does_not_move_the_threshold(
    brightness: Make, splits: Splits, gray: Callable[..., ImageSet]
) -> None:
    calibration = calibrate([0.0, 1.0])
    for test in (splits.test, gray((250, 1, "dent"), (251, 0, "good"))):
        judged = evaluate(brightness(), replace(splits, test=test), calibration, progress=False)
        assert judged.metrics["threshold"]["threshold"] == calibration.threshold


def test_what_is_written_reads_back(brightness: Make, splits: Splits, tmp_path: Path) -> None:
    folder = tmp_path / "eval ü"
    judged = evaluate(brightness(), splits, calibrate([-0.8]), progress=False)
    judged.write(folder)
    judged.write(folder)  # again over what is there
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.json", "scores.csv"]
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == judged.metrics
    assert judged.metrics["format"] == 1
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "kind", "group", "label", "score", "predicted"]
    assert [float(r["score"]) for r in rows] == judged.scores.tolist()
    assert [int(r["predicted"]) for r in rows] == judged.predicted.tolist()
    assert [(r["name"], r["kind"], r["group"], int(r["label"])) for r in rows] == [
        (i.name, i.kind, i.group, i.label) for i in splits.test.items
    ]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(brightness: Make, splits: Splits, tmp_path: Path) -> None:
    judged = evaluate(brightness(), splits, calibrate([0.0]), progress=False)
    judged.write(tmp_path)
    before = (tmp_path / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        replace(judged, metrics={**judged.metrics, "auroc": float("nan")}).write(tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_only_normal_test_images_are_judged_as_far_as_that_goes(
    brightness: Make, splits: Splits, gray: Callable[..., ImageSet], tmp_path: Path
) -> None:
    normal = replace(splits, test=gray((10, 0, "good"), (250, 0, "good")))
    judged = evaluate(brightness(), normal, calibrate([0.0]), progress=False)
    judged.write(tmp_path)
    read = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert read["auroc"] is None
    assert "all normal" in read["undefined"]["auroc"]
    assert read["false_positive_rate"] == 0.5
    assert read["per_kind"] == {}


def test_masks_give_pixel_metrics(brightness: Make, splits: Splits, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((8, 8), np.uint8)
    pixels[2:4, 2:5] = 200
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    marked = Source(Item("bad.png", 1, "dent", "bad"), pixels, tmp_path / "mask.png")
    normal = Source(Item("good.png", 0, "good", "good"), np.zeros((8, 8), np.uint8))
    test = ImageSet([marked, normal], channels=1, size=8)
    judged = evaluate(brightness(), replace(splits, test=test), calibrate([0.0]), progress=False)
    figures = {"auroc": 1.0, "auprc": 1.0, "pro_0.3": 1.0}
    assert judged.metrics["pixel"] == {
        **figures,
        "error_bound": 0.0,
        "defect_share": 6 / 128,
        "images": 2,
        "regions": 1,
    }


def test_file_names_that_are_no_text_are_written(
    brightness: Make, splits: Splits, gray: Callable[..., ImageSet], tmp_path: Path
) -> None:
    name = os.fsdecode(b"\xff.png")
    test = gray((10, 0, "good"), (200, 1, "dent"))
    test.items[0] = replace(test.items[0], name=name)
    judged = evaluate(brightness(), replace(splits, test=test, warnings=[name]), calibrate([0.0]), progress=False)
    judged.write(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["warnings"] == [name]
    assert name in (tmp_path / "scores.csv").read_text(encoding="utf-8", errors="surrogateescape")
