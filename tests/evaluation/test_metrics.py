"""Metrics against values worked out by hand, against scikit-learn, and where they are not defined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from unblot.evaluation import image_metrics, pixel_metrics


def test_values_worked_out_by_hand() -> None:
    labels, scores = [0, 0, 0, 1, 1], [0.0, 1.0, 3.0, 2.0, 10.0]
    out = image_metrics(labels, scores, threshold=1.0)
    assert out["auroc"] == pytest.approx(5 / 6)  # 5 of 6 pairs in order
    assert out["auprc"] == pytest.approx((1 + 2 / 3) / 2)  # precision at the two positives, in falling order
    assert out["precision"] == pytest.approx(2 / 3)  # above 1.0: 3, 2, 10; 1.0 itself is not
    assert out["recall"] == 1.0
    assert out["f1"] == pytest.approx(0.8)
    assert out["false_positive_rate"] == pytest.approx(1 / 3)
    assert out["precision_minmax_0.2"] == pytest.approx(
        1 / 2
    )  # scaled: 0, .1, .3, .2, 1; above .2: the third, the last
    assert out["recall_minmax_0.2"] == pytest.approx(1 / 2)
    assert out["undefined"] == {}


judged = st.lists(st.tuples(st.integers(0, 1), st.integers(-50, 50)), min_size=4, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@settings(deadline=None)
@given(judged)
def test_a_monotone_change_of_scores_changes_nothing(rows: list[tuple[int, int]]) -> None:
    labels = [label for label, _ in rows]
    scores = np.array([float(score) for _, score in rows])
    one = image_metrics(labels, scores, threshold=0.5)
    other = image_metrics(labels, scores**3 + 7, threshold=0.125 + 7)
    for key in ("auroc", "auprc", "precision", "recall", "f1", "false_positive_rate"):
        assert one[key] == pytest.approx(other[key])


@settings(deadline=None)
@given(judged)
def test_the_sign_is_never_flipped(rows: list[tuple[int, int]]) -> None:
    labels = [label for label, _ in rows]
    scores = np.array([float(score) for _, score in rows])
    assert image_metrics(labels, scores, 0)["auroc"] == pytest.approx(1 - image_metrics(labels, -scores, 0)["auroc"])


@pytest.mark.parametrize(("label", "why"), [(0, "all normal"), (1, "all abnormal")])
def test_one_kind_of_image_leaves_metrics_undefined_with_a_reason(label: int, why: str) -> None:
    out = image_metrics([label] * 4, [1.0, 2.0, 3.0, 4.0], threshold=3.0)
    for key in ("auroc", "auprc", "f1", "precision"):
        assert out[key] is None
        assert why in out["undefined"][key]
    assert out["recall" if label else "false_positive_rate"] == 0.25
    assert out["false_positive_rate" if label else "recall"] is None


def test_nothing_above_the_threshold_leaves_precision_undefined() -> None:
    out = image_metrics([0, 1], [1.0, 2.0], threshold=5.0)
    assert (out["precision"], out["recall"], out["f1"]) == (None, 0.0, 0.0)
    assert "no image lies above the threshold" in out["undefined"]["precision"]


def test_equal_scores_are_a_coin_toss() -> None:
    out = image_metrics([0, 1, 1], [2.0, 2.0, 2.0], threshold=2.0)
    assert out["auroc"] == 0.5
    assert out["f1_minmax_0.2"] == 0.0


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([0, 1], [1.0], "same length"),
        ([0, -1], [1.0, 2.0], r"labels must be 0 \(normal\) or 1 \(abnormal\), got \[-1\]"),
        ([0, 1], [1.0, np.nan], "1 of 2 scores are not finite"),
    ],
)
def test_wrong_input_is_named(labels: list[int], scores: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        image_metrics(labels, scores, 0.0)


def made(seed: int, levels: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Maps and masks of six images; few levels make many ties."""
    rng = np.random.default_rng(seed)
    masks = ndimage.uniform_filter(rng.random((6, 12, 12)), (0, 3, 3)) > 0.6
    masks[0] = False
    maps = np.round((rng.random((6, 12, 12)) + 0.3 * masks) * levels).astype(np.float32)
    return maps, masks


@pytest.mark.parametrize("levels", [1, 4, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_pixel_metrics_agree_with_the_whole_curve(seed: int, levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, masks = made(seed, levels)
    out = pixel_metrics(maps, iter(masks))
    assert out is not None
    assert out["auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    assert out["auprc"] == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()))
    assert out["defect_share"] == pytest.approx(masks.mean())
    weight = np.ones(masks.shape)
    regions = 0
    for mask, of_image in zip(masks, weight, strict=True):
        label, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += count
        for region in range(1, count + 1):
            of_image[label == region] = 1 / np.count_nonzero(label == region)
    fpr, overlap, _ = roc_curve(masks.ravel(), maps.ravel(), sample_weight=weight.ravel(), drop_intermediate=False)
    at_limit = np.interp(0.3, fpr, overlap)
    inside = fpr < 0.3
    pro = auc(np.append(fpr[inside], 0.3), np.append(overlap[inside], at_limit)) / 0.3
    assert out["pro_0.3"] == pytest.approx(pro)
    assert (out["images"], out["regions"]) == (6, regions)


def test_pro_by_hand_one_threshold_after_the_other() -> None:
    """Two regions of one and three pixels among ten normal ones, all values different: every threshold is tried."""
    mask = np.zeros((1, 2, 7), bool)
    mask[0, 0, 0] = mask[0, 0, 4:] = True
    maps = np.array([[[9, 13, 8, 1, 12, 10, 2], [11, 7, 6, 5, 4, 3, 0]]], np.float32)
    regions, normal = [[9.0], [12.0, 10.0, 2.0]], sorted(maps[~mask].tolist(), reverse=True)
    assert len(normal) == 10
    # Each false alarm is a strip of width 0.1; its height is the overlap of what scores above it.
    overlap = [np.mean([np.mean([v > edge for v in region]) for region in regions]) for edge in normal[:3]]
    assert overlap == pytest.approx([0, (0 + 1 / 3) / 2, (1 + 2 / 3) / 2])  # above 13, above 11, above 8
    out = pixel_metrics(maps, mask)
    assert out is not None
    assert out["pro_0.3"] == pytest.approx(np.mean(overlap))


def test_small_regions_weigh_as_much_as_large_ones_in_pro() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, :10, :10] = mask[0, 19, 19] = True
    maps = mask.astype(np.float32)
    maps[0, 19, 19] = -1  # the small region is missed entirely
    out = pixel_metrics(maps, mask)
    assert out is not None
    assert out["pro_0.3"] == pytest.approx(0.5 + 0.5 * 0.5 * 0.3, abs=0.08)
    assert out["auroc"] > 0.98


def test_images_without_a_known_mask_are_left_out() -> None:
    maps, masks = made(0, 10)
    out = pixel_metrics(maps, [None, *masks[1:]])
    assert out == pixel_metrics(maps[1:], masks[1:])
    assert pixel_metrics(maps, [None] * 6) is None
    assert pixel_metrics(maps[:1], [np.ones((12, 12), bool)]) is None
