"""Metrics of anomaly maps against defect masks, one map at a time: no map is kept.

Per-region overlap (PRO, Bergmann et al., "Uninformed students", CVPR 2020): the share of each connected defect region
that lies above a threshold, averaged over regions, integrated over the false-positive rate of pixels up to 30 % and
divided by 0.3.

Pixels are counted by value (:mod:`unblot.evaluation.values`). As long as no two different values share a key, all
figures are exact, and in AUROC and PRO ties count half. Beyond that, values of one key are taken for tied. A figure
can then differ from the exact one by at most ``error_bound``, which is worked out from the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unblot.evaluation.values import MOST, Values

__all__ = ["PRO_LIMIT", "PixelMetrics"]

PRO_LIMIT = 0.3


class PixelMetrics:
    """Pixel AUROC, average precision and PRO, pooled over all images that have a mask.

    Args:
        most: different values of pixels that are told apart, at most; more memory for more of them.

    Example:
        >>> seen = PixelMetrics()
        >>> seen.add(np.array([[0.5, 0.9], [0.1, 0.2]], np.float32), np.array([[True, False], [False, False]]))
        >>> found = seen.result()
        >>> found["auprc"], round(found["auroc"], 3)
        (0.5, 0.667)
    """

    def __init__(self, most: int = MOST) -> None:
        self.images = self.regions = 0
        self._negative, self._positive, self._weight = Values(most), Values(most), Values(most)

    def add(self, anomaly_map: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Take one image into account.

        Args:
            anomaly_map: shape (H, W), finite.
            mask: bool, shape (H, W), True on a defect; all False for a normal image.

        Raises:
            ValueError: a mask of another type or shape, or a map that is not finite.
        """
        if mask.dtype != np.bool_ or mask.shape != anomaly_map.shape:
            raise ValueError(
                f"mask {self.images} must be bool and of its map's shape, got {mask.dtype} of shape {mask.shape} for a "
                f"map of shape {anomaly_map.shape}; mask > 0 makes numbers bool"
            )
        if bad := np.count_nonzero(~np.isfinite(anomaly_map)):
            raise ValueError(f"{bad} of {anomaly_map.size} pixels of anomaly map {self.images} are not finite")
        self.images += 1
        self._negative.add(anomaly_map[~mask])
        if mask.any():
            label, count = ndimage.label(mask, structure=np.ones((3, 3)))
            inside = label[mask]
            self._positive.add(anomaly_map[mask])
            # Every region weighs 1, whatever its area.
            self._weight.add(anomaly_map[mask], 1 / np.bincount(inside)[inside])
            self.regions += count

    def result(self) -> dict[str, Any] | None:
        """The figures so far.

        Returns:
            auroc, auprc (average precision; guessing gives the share of defect pixels, ``defect_share``), pro_0.3,
            ``error_bound`` of the three (0: exact), and the numbers of images and regions; None where no pixel or every
            pixel is a defect.
        """
        parts = (self._negative, self._positive, self._weight)
        lost = max(part.lost for part in parts)
        (low, negative), (high, positive), (_, weight) = (part.table(lost) for part in parts)
        if not len(low) or not len(high):
            return None
        keys = np.union1d(low, high)[::-1]  # the highest first: thresholds that fall
        counts = [np.zeros(len(keys)) for _ in range(3)]
        for count, values, at in zip(counts, (negative, positive, weight), (low, high, high), strict=True):
            count[len(keys) - 1 - np.searchsorted(keys[::-1], at)] = values
        negatives, positives, weights = counts
        roc = _under_roc(positives, negatives, 1.0)
        pro = _under_roc(weights, negatives, PRO_LIMIT)
        precision = _average_precision(positives, negatives)
        bounds = (roc.error, pro.error, precision.error)
        return {
            "auroc": roc.value,
            "auprc": precision.value,
            f"pro_{PRO_LIMIT}": pro.value,
            "error_bound": max(bounds) if lost else 0.0,
            "defect_share": float(positives.sum() / (positives.sum() + negatives.sum())),
            "images": self.images,
            "regions": self.regions,
        }


@dataclass(frozen=True)
class _Figure:
    """A value, and how far it can be from that of pixels whose order within a key is known."""

    value: float
    error: float


def _average_precision(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> _Figure:
    """Mean over the positives of the precision where all that scores at least as high is called; highest keys first.

    This is scikit-learn's ``average_precision_score``: recall grows at values that a positive has, and nowhere else.
    """
    called, false = np.cumsum(positive), np.cumsum(negative)
    some = positive > 0
    count, called, false, tied = positive[some], called[some], false[some], negative[some]
    at = called / (called + false)
    best = called / (called + false - tied)  # every positive of the key before its negatives
    first = called - count + 1
    worst = first / (first + false)  # and after them
    total = count.sum()
    error = max(float((count * (best - at)).sum()), float((count * (at - worst)).sum())) / total
    return _Figure(float((count * at).sum() / total), float(error))


def _under_roc(positive: NDArray[np.float64], negative: NDArray[np.float64], limit: float) -> _Figure:
    """Mean share of the positives' weight over false-positive rates 0..limit; highest keys first.

    Every negative pixel is a strip of the curve. Its height is the weight of the positives above it, half the weight of
    those tied with it. Only the tie that the limit cuts is different: of a straight piece of the curve its lower part
    counts.
    """
    above = np.cumsum(positive) - positive
    before = np.cumsum(negative) - negative
    inside = limit * negative.sum()
    strips = np.clip(inside - before, 0, negative)  # of each key, those that count
    part = np.divide(strips, negative, out=np.zeros_like(strips), where=negative > 0)
    area = (strips * (above + positive * part / 2)).sum()
    error = (strips * positive * np.where(part < 1, 1, 0.5)).sum()
    scale = inside * positive.sum()
    return _Figure(float(area / scale), float(error / scale))
