"""Metrics of image scores; scikit-learn computes what it has. Those of anomaly maps: :mod:`unblot.evaluation.pixels`.

Scores are taken as they are: never clamped, never flipped. The one exception is for comparison with the paper, which
computes F1 at 0.2 on scores (equation 13 and its text); it scales them over the test set, so that figure is not
reachable in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from unblot.calibration.thresholds import PAPER_THRESHOLD
from unblot.evaluation.pixels import PixelMetrics

__all__ = ["image_metrics", "pixel_metrics"]


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


def pixel_metrics(
    maps: Iterable[NDArray[np.float32]], masks: Iterable[NDArray[np.bool_] | None]
) -> dict[str, Any] | None:
    """Pixel AUROC, average precision and PRO of anomaly maps, pooled over all images that have a mask.

    The first two are scikit-learn's, exact or within ``error_bound`` (:class:`PixelMetrics`, which this feeds).

    Args:
        maps: N maps of shape (H, W), float32. May be a generator, like the masks: one of each is held at a time.
        masks: N bool arrays of shape (H, W), True on a defect; all False for a normal image; None leaves the image
            out.

    Returns:
        What :meth:`PixelMetrics.result` gives; None where no pixel or every pixel is a defect.

    Raises:
        ValueError: a mask of another type or shape, or a map that is not finite.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])
        >>> found = pixel_metrics(np.array([[[0.5, 0.9], [0.1, 0.2]]], np.float32), mask)
        >>> found["auprc"], round(found["auroc"], 3)
        (0.5, 0.667)
    """
    seen = PixelMetrics()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        if mask is not None:
            seen.add(anomaly_map, mask)
    return seen.result()
