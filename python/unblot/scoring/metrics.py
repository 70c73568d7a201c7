"""Metrics of image scores and of anomaly maps; scikit-learn computes what it has.

Scores are taken as they are: never clamped, never flipped. The one exception is for comparison with the paper, which
computes F1 at 0.2 on scores (equation 13 and its text); it scales them over the test set, so that figure is not
reachable in use.

Per-region overlap (PRO, Bergmann et al., "Uninformed students", CVPR 2020): the share of each connected defect region
that lies above a threshold, averaged over regions, integrated over the false-positive rate of pixels up to 30 % and
divided by 0.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from unblot.scoring.thresholds import PAPER_THRESHOLD

__all__ = ["image_metrics", "pixel_metrics"]

PRO_LIMIT = 0.3
STRIPS = 1 << 20  # pixels whose part of a curve is worked out at a time


def image_metrics(labels: ArrayLike, scores: ArrayLike, threshold: float) -> dict[str, Any]:
    """Metrics of one score per image.

    Args:
        labels: shape (N,), 0 normal, 1 abnormal.
        scores: shape (N,), finite, larger is more anomalous.
        threshold: an image is called abnormal when its score is above.

    Returns:
        auroc, auprc; precision, recall, f1 and false_positive_rate (share of normals called abnormal) at ``threshold``;
        precision_minmax_0.2, recall_minmax_0.2, f1_minmax_0.2: the same above 0.2 of the scores scaled to [0, 1] over
        these very images (not reachable in use). A value that is not defined is None, and ``undefined`` says why, by
        key.

    Raises:
        ValueError: shapes differ, a label other than 0 and 1, or a score that is not finite.

    Example:
        >>> image_metrics([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9], threshold=0.35)["auroc"]
        0.75
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"labels and scores must have one and the same length, got shapes {y.shape} and {s.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels must be 0 (normal) or 1 (abnormal), got {sorted(set(y.tolist()) - {0, 1})[:5]}")
    if not np.isfinite(s).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(s))} of {s.size} scores are not finite")
    span = np.ptp(s) if s.size else 0.0
    scaled = (s - s.min()) / span if span > 0 else np.zeros_like(s)
    out: dict[str, Any] = {"auroc": None, "auprc": None, **_at(y, s > threshold)}
    at_paper = _at(y, scaled > PAPER_THRESHOLD)
    out |= {f"{key}_minmax_{PAPER_THRESHOLD}": at_paper[key] for key in ("precision", "recall", "f1")}
    if 0 < y.sum() < y.size:
        out |= {"auroc": float(roc_auc_score(y, s)), "auprc": float(average_precision_score(y, s))}
    out["undefined"] = {key: _why(key, y) for key, value in out.items() if value is None}
    return out


def _at(y: NDArray[Any], called: NDArray[np.bool_]) -> dict[str, float | None]:
    """Precision, recall, F1 and false-positive rate of a decision; None where not defined."""
    out: dict[str, float | None] = dict.fromkeys(("precision", "recall", "f1", "false_positive_rate"))
    normal, abnormal = y == 0, y == 1
    if normal.any():
        out["false_positive_rate"] = float(called[normal].mean())
    if abnormal.any():
        out["recall"] = float(called[abnormal].mean())
    if normal.any() and abnormal.any():
        precision, _, f1, _ = precision_recall_fscore_support(y, called, average="binary", zero_division=0.0)
        out["f1"] = float(f1)
        out["precision"] = float(precision) if called.any() else None
    return out


def _why(key: str, y: NDArray[Any]) -> str:
    if y.size == 0:
        return "no images"
    if y.sum() == 0:
        return "the images are all normal"
    if y.sum() == y.size:
        return "the images are all abnormal"
    return f"no image lies above the threshold, so {key} divides by zero"


def pixel_metrics(maps: NDArray[np.float32], masks: Iterable[NDArray[np.bool_] | None]) -> dict[str, Any] | None:
    """Pixel AUROC, average precision and PRO of anomaly maps, pooled over all images that have a mask.

    All are exact, the first two equal to scikit-learn's, which would need a dozen copies of the maps (in AUROC and PRO
    ties count half). Memory: two copies of the maps and little more.

    Args:
        maps: shape (N, H, W).
        masks: N bool arrays of shape (H, W), True on a defect; all False for a normal image; None leaves the image
            out. May be a generator: one mask is held at a time.

    Returns:
        auroc, auprc (average precision; guessing gives the share of defect pixels, ``defect_share``), pro_0.3, and the
        numbers of images and regions; None where no pixel or every pixel is a defect.

    Raises:
        ValueError: a mask of another type or shape, or a map that is not finite.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])
        >>> found = pixel_metrics(np.array([[[0.5, 0.9], [0.1, 0.2]]], np.float32), mask)
        >>> found["auprc"], round(found["auroc"], 3)
        (0.5, 0.667)
    """
    positive: list[NDArray[np.float32]] = []
    weight: list[NDArray[np.float64]] = []
    negative: list[NDArray[np.float32]] = []
    images = regions = 0
    for number, (anomaly_map, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask is None:
            continue
        if mask.dtype != np.bool_ or mask.shape != anomaly_map.shape:
            raise ValueError(
                f"mask {number} must be bool and of its map's shape, got {mask.dtype} of shape {mask.shape} for a map "
                f"of shape {anomaly_map.shape}; mask > 0 makes numbers bool"
            )
        if bad := np.count_nonzero(~np.isfinite(anomaly_map)):
            raise ValueError(f"{bad} of {anomaly_map.size} pixels of anomaly map {number} are not finite")
        images += 1
        negative.append(anomaly_map[~mask])
        if mask.any():
            label, count = ndimage.label(mask, structure=np.ones((3, 3)))
            inside = label[mask]
            positive.append(anomaly_map[mask])
            weight.append(1 / np.bincount(inside)[inside])  # every region weighs 1, whatever its area
            regions += count
    if not positive or not sum(n.size for n in negative):
        return None
    high, low = np.concatenate(positive), np.concatenate(negative)
    negative.clear()
    low.sort()
    return {
        "auroc": _area_under_roc(high, np.ones(high.size), low, 1.0),
        "auprc": _average_precision(high, low),
        f"pro_{PRO_LIMIT}": _area_under_roc(high, np.concatenate(weight), low, PRO_LIMIT),
        "defect_share": high.size / (high.size + low.size),
        "images": images,
        "regions": regions,
    }


def _average_precision(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Mean over the positives of the precision where all that scores at least as high is called; ``negative`` sorted.

    This is scikit-learn's ``average_precision_score``: recall grows at values that a positive has, and nowhere else.
    """
    values, count = np.unique(positive, return_counts=True)
    called = np.cumsum(count[::-1])[::-1]
    false = negative.size - np.searchsorted(negative, values, side="left")
    return float((count * (called / (called + false))).sum() / positive.size)


def _area_under_roc(
    positive: NDArray[np.float32], weight: NDArray[np.float64], negative: NDArray[np.float32], limit: float
) -> float:
    """Mean weighted true-positive rate over false-positive rates 0..limit; ``negative`` is sorted.

    Every negative pixel is a strip of the curve. Its height is the weight of the positives above it, half the weight of
    those tied with it. Only the tie that the limit cuts is different: of a straight piece of the curve its lower part
    counts.
    """
    order = np.argsort(positive, kind="stable")
    positive, weight = positive[order], weight[order]
    below = np.concatenate(([0.0], np.cumsum(weight)))
    total = below[-1]

    def height(strips: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        over = total - below[np.searchsorted(positive, strips, side="right")]
        return over, total - below[np.searchsorted(positive, strips, side="left")] - over

    inside = limit * negative.size  # strips, perhaps with a fraction of one
    top = negative[negative.size - int(np.ceil(inside)) :]
    edge = top[0]
    ties = int(np.searchsorted(negative, edge, side="right") - np.searchsorted(negative, edge, side="left"))
    whole = top[np.searchsorted(top, edge, side="right") :]
    area = 0.0
    for start in range(0, whole.size, STRIPS):
        over, tied = height(whole[start : start + STRIPS])
        area += float((over + tied / 2).sum())
    cut = inside - whole.size  # strips of the tie at the limit that count
    over, tied = height(top[:1])
    area += float(cut * (over[0] + tied[0] * cut / ties / 2))
    return area / (inside * float(total))
