"""Thresholds and metrics over drawn scores: against scikit-learn, against the definition, and what must not matter."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from unblot.calibration import Calibration, calibrate, fewest, paper_threshold
from unblot.evaluation import image_metrics, pixel_metrics

# Of few values, so that ties are the rule, or of any.
SCORES = st.lists(st.integers(-3, 3).map(float) | st.floats(-1e9, 1e9), min_size=1, max_size=60)
QUANTILE = st.floats(0.001, 1.0)
JUDGED = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3).map(float) | st.floats(-1e9, 1e9)), max_size=40)


@settings(deadline=None, max_examples=100)
@given(SCORES, QUANTILE, st.randoms())
def test_a_threshold_is_a_held_out_score_with_at_most_its_share_above(
    scores: list[float], quantile: float, r: Any
) -> None:
    found = calibrate(scores, quantile)
    assert found.threshold in scores
    above = sum(score > found.threshold for score in scores)
    n = len(scores)
    assert above <= (1 - quantile) * n + 1e-9
    if n >= fewest(min(quantile, 1 - 1e-6)):  # counting the new image as one more above
        assert above + 1 <= (1 - quantile) * (n + 1) + 1e-6
    # The next lower score would leave too many above it, the new image among them.
    lower = sum(score >= found.threshold for score in scores)
    if lower < n:
        assert lower + 1 > (1 - quantile) * (n + 1) - 1e-6
    shuffled = list(scores)
    r.shuffle(shuffled)
    assert calibrate(shuffled, quantile) == found
    assert calibrate(np.array(scores) * 2, quantile).threshold == 2 * found.threshold
    assert calibrate(scores, 1.0).threshold == max(scores)


@settings(deadline=None)
@given(SCORES, QUANTILE, QUANTILE)
def test_a_higher_quantile_never_lowers_the_threshold(scores: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert calibrate(scores, low).threshold <= calibrate(scores, high).threshold


@settings(deadline=None)
@given(SCORES, QUANTILE)
def test_a_threshold_comes_back_from_its_file(scores: list[float], quantile: float) -> None:
    for found in (calibrate(scores, quantile), paper_threshold(scores)):
        assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@settings(deadline=None)
@given(SCORES)
def test_the_papers_threshold_lies_in_the_range_and_moves_with_it(scores: list[float]) -> None:
    found = paper_threshold(scores).threshold
    assert min(scores) <= found <= max(scores)
    assert paper_threshold(np.array(scores) / 4).threshold == pytest.approx(found / 4)


@settings(deadline=None, max_examples=100)
@given(JUDGED, st.floats(-5, 5))
def test_image_metrics_are_scikit_learns_where_it_has_them(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = np.array([y for y, _ in rows], int), np.array([s for _, s in rows], float)
    out = image_metrics(labels, scores, threshold)
    called = scores > threshold
    if len(set(labels.tolist())) == 2:
        assert out["auroc"] == pytest.approx(roc_auc_score(labels, scores))
        assert out["auprc"] == pytest.approx(average_precision_score(labels, scores))
        assert out["recall"] == pytest.approx(recall_score(labels, called))
        assert out["f1"] == pytest.approx(f1_score(labels, called, zero_division=0.0))
        if called.any():
            assert out["precision"] == pytest.approx(precision_score(labels, called))
    # Nothing is left out without a word, nothing defined is called undefined, and JSON can hold it.
    assert set(out["undefined"]) == {key for key, value in out.items() if value is None}
    assert all(out["undefined"].values())
    assert all(0 <= value <= 1 for key, value in out.items() if key != "undefined" and value is not None)
    json.dumps(out, allow_nan=False)


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    shape = draw(array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))
    levels = st.integers(0, 4).map(float) | st.floats(-1e6, 1e6, width=32)
    return draw(arrays(np.float32, shape, elements=levels)), draw(arrays(np.bool_, shape))


@settings(deadline=None, max_examples=80)
@given(maps_and_masks())
def test_pixel_metrics_are_scikit_learns_and_pros_definition(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    maps, masks = drawn
    out = pixel_metrics(maps, masks)
    if masks.all() or not masks.any():
        assert out is None
        return
    assert out is not None
    assert out["auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    assert out["auprc"] == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()))
    assert out["pro_0.3"] == pytest.approx(pro(maps, masks), abs=1e-9)
    assert out["defect_share"] == pytest.approx(masks.mean())
    # Order of the images, mirrored images, a monotone change of scores: nothing of it is in the definition.
    for same in (
        pixel_metrics(maps[::-1], masks[::-1]),
        pixel_metrics(maps[:, :, ::-1], masks[:, :, ::-1]),
        pixel_metrics(ranks(maps), masks),
    ):
        assert same == pytest.approx(out)


def ranks(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.unique(maps, return_inverse=True)[1].reshape(maps.shape)
    return (found.astype(np.float32) + 1) ** 2


def pro(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """By the words of the paper: every threshold in turn, mean overlap over false-positive rate, up to 0.3."""
    regions = []
    for of_image, mask in zip(maps, masks, strict=True):
        label, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [of_image[label == region] for region in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append((float((maps[~masks] >= threshold).mean()), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 <= x0 or x0 >= 0.3:
            continue
        end = min(x1, 0.3)
        area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / 0.3


@pytest.mark.parametrize(
    ("maps", "masks", "said"),
    [
        (np.zeros((1, 2, 2), np.float32), np.array([[[0, 1], [0, 0]]], np.uint8), "must be bool.*uint8"),
        (np.zeros((1, 2, 2), np.float32), np.ones((1, 3, 2), bool), r"\(3, 2\).*\(2, 2\)"),
        (np.full((1, 2, 2), np.nan, np.float32), np.array([[[False, True], [False, False]]]), "4 .*not finite"),
    ],
)
def test_maps_and_masks_that_do_not_go_together_are_named(maps: Any, masks: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pixel_metrics(maps, masks)
