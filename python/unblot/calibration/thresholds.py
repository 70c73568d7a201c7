"""Thresholds: the deployable one, a quantile of the scores of held-out normal images, and the paper's for comparison.

No abnormal and no test image takes part (``docs/design.md``), so the threshold is what a user without a single defect
image can have. Of n held-out scores and with quantile q it is the one of rank ceil(q (n + 1)), counted from the lowest:
a new normal image that is no other than those held out lies above it with a probability of at most 1 - q, however few
they are and however their scores are distributed (split conformal prediction: Papadopoulos et al., ECML 2002; Lei et
al., arXiv 1604.04173). Fewer than :func:`fewest` cannot promise that, and the largest is taken. Training images that a
detector scores as if it had not seen them count as held out (``training/threshold.py``).

From fewer scores than a rank needs there is another way, where it is asked for: the prediction bound of a normal
distribution, mean + t s sqrt(1 + 1/n), s being the scores' standard deviation and t the quantile of Student's
distribution with n - 1 degrees of freedom. It holds if scores of normal images are normally distributed, which so few
cannot show.

The paper's is 0.2 of the range of the test scores (its equations 6 and 13): not reachable in use.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unblot.calibration.tiles import TilePlaces

__all__ = [
    "PAPER_THRESHOLD",
    "PROMISES",
    "WAYS",
    "Calibration",
    "calibrate",
    "expected_above",
    "fewest",
    "paper_threshold",
]

PAPER_THRESHOLD = 0.2
PROMISES = {
    "split": "at most {share} % of new normal images like the held-out ones lie above it (split conformal prediction)",
    "cross": "about {share} % of new normal images like these lie above it, {double} % at most in theory "
    "(cross-conformal prediction)",
    "none": "nothing is promised for new images",
    "chosen": "about {share} % of new normal images may lie above it; nothing is promised, for the weights were chosen "
    "on the same held-out images",
    "normal": "about {asked} % of new normal images lie above it if their scores are normally distributed, which {n} "
    "scores cannot show (prediction bound by Student's t)",
}
"""What a threshold promises, by kind; ``share`` and ``double`` are in percent."""
WAYS = ("rank", "normal")  # to take a threshold from scores
ROUNDING = 1e-9  # 0.95 / (1 - 0.95) is a little below or above 19


@dataclass(frozen=True)
class Calibration:
    """A threshold and where it comes from; a score above ``threshold`` is called abnormal.

    Attributes:
        threshold: in units of the detector's score.
        quantile: of the held-out normal scores, in (0, 1]; None where the threshold comes from elsewhere.
        n: number of images that it comes from.
        left_out: how many of these are training images, each scored as if its group had not been trained on; the others
            are held out.
        method: how the quantile was taken, or the rule that took its place.
        promise: what holds for new normal images, one of :data:`PROMISES`.
        map_range: lowest value and 99.9 % quantile of the pixels of held-out normal maps, which heat maps are coloured
            by; None where it was not measured.
        tiles: what tiles of normal frames score at each place, where frames are cut into tiles; None elsewhere.
        scores: of those images, ascending, so that the threshold can be moved and a score be ranked among them; empty
            where they were not kept.
    """

    threshold: float
    quantile: float | None
    n: int
    method: str = "conformal"
    left_out: int = 0
    promise: str = "none"
    map_range: tuple[float, float] | None = None
    tiles: TilePlaces | None = None
    scores: tuple[float, ...] = ()

    @property
    def promised(self) -> str:
        """What holds for new normal images, in a sentence.

        Example:
            >>> Calibration(1.5, 0.95, 300, promise="split").promised
            'at most 5 % of new normal images like the held-out ones lie above it (split conformal prediction)'
        """
        if self.quantile is None:
            return PROMISES[self.promise].format(share="", double="", asked="", n=self.n)
        share = 100 * expected_above(self.quantile, self.n)
        asked = f"{100 * (1 - self.quantile):.3g}"
        return PROMISES[self.promise].format(share=f"{share:.3g}", double=f"{2 * share:.3g}", asked=asked, n=self.n)

    def sources(self) -> str:
        """Which images it comes from, in words.

        Example:
            >>> Calibration(1.5, 0.95, 300, left_out=200).sources()
            '100 held-out normal images and 200 of training, each scored by what was learnt from other groups'
        """
        held_out = f"{self.n - self.left_out} held-out normal images"
        if not self.left_out:
            return held_out
        return f"{held_out} and {self.left_out} of training, each scored by what was learnt from other groups"

    def moved(self, share: float) -> Calibration:
        """The threshold above which about this share of new normal images lies, from the same scores in the same way.

        Raises:
            ValueError: the share is not above 0 and below 1, or the scores were not kept.

        Example:
            >>> calibrate(range(1, 100)).moved(0.2).threshold
            80.0
        """
        if not 0 < share < 1:
            raise ValueError(f"the share of false alarms must be above 0 and below 1, got {share:g}")
        if not self.scores:
            raise ValueError("the scores that the threshold comes from were not kept")
        by = "normal" if self.promise == "normal" else "rank"
        made = calibrate(self.scores, 1 - share, left_out=self.left_out, promise=self.promise, by=by)
        return replace(self, threshold=made.threshold, quantile=made.quantile)

    def p_value(self, score: float) -> float | None:
        """The share of left-out normal images, and of this one, that score as high: a conformal p value in (0, 1].

        At most a share p of new normal images like these has a p value of p or less, however scores are distributed
        (twice that in theory for a "cross" promise). It says nothing of how sure a defect is. None where the scores
        were not kept.

        Example:
            >>> calibrate([1.0, 2.0, 3.0]).p_value(2.5)
            0.5
        """
        if not self.scores:
            return None
        above = len(self.scores) - bisect_left(self.scores, score)
        return (1 + above) / (1 + len(self.scores))

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return {**asdict(self), "scores": list(self.scores)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of :meth:`to_dict`; ignores fields that it does not know.

        Raises:
            KeyError: a field is missing.
            ValueError: a value that no training writes, such as a threshold that is not finite: no image would lie
                above it, whatever it shows.
        """
        quantile, n, left_out = values["quantile"], values["n"], values.get("left_out", 0)
        threshold, span = _number("threshold", values["threshold"]), values.get("map_range")
        if quantile is not None and not 0 < _number("quantile", quantile) <= 1:
            raise ValueError(f"quantile must be above 0 and at most 1, got {quantile!r}")
        for name, count in (("n", n), ("left_out", left_out)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ValueError(f"{name} must be a whole number, 0 or more; got {count!r}")
        if left_out > n:
            raise ValueError(f"left_out must be at most n = {n}, got {left_out}")
        if span is not None:
            if not isinstance(span, list | tuple) or len(span) != 2:
                raise ValueError(f"map_range must hold two numbers, got {span!r}")
            span = (_number("map_range", span[0]), _number("map_range", span[1]))
        promise = values.get("promise", "none")
        if promise not in PROMISES:
            raise ValueError(f"promise must be one of {', '.join(PROMISES)}; got {promise!r}")
        scores = tuple(sorted(_number("scores", score) for score in values.get("scores") or ()))
        if scores and len(scores) != n:
            raise ValueError(f"scores must be as many as n = {n}, got {len(scores)}")
        quantile = None if quantile is None else float(quantile)
        tiles = None if values.get("tiles") is None else TilePlaces.from_dict(values["tiles"])
        return cls(threshold, quantile, n, str(values["method"]), left_out, promise, span, tiles, scores)


def _number(name: str, value: Any) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def fewest(quantile: float) -> int:
    """How many held-out scores a quantile in (0, 1) takes: the highest of them is then passed as seldom as it says.

    Example:
        >>> fewest(0.95)
        19
    """
    return math.ceil(quantile / (1 - quantile) - ROUNDING)


def expected_above(quantile: float, n: int) -> float:
    """Share of new normal images, like the n held out, that lies above the threshold at most.

    Example:
        >>> expected_above(0.95, 9)
        0.1
    """
    return max(1 - quantile, 1 / (n + 1))


def calibrate(
    scores: ArrayLike, quantile: float = 0.95, *, left_out: int = 0, promise: str = "split", by: str = "rank"
) -> Calibration:
    """Threshold from the scores of held-out normal images.

    Args:
        scores: shape (N,), finite.
        left_out: how many of them are of training images that were left out of what they are scored by.
        promise: what holds of such scores, one of :data:`PROMISES`.
        quantile: in (0, 1]; above the threshold lies a new normal image with a probability of 1 - quantile at most.
        by: "rank" takes a score of that rank; "normal" the prediction bound of a normal distribution, which takes
            two scores and a quantile below 1, and has a promise of its own.

    Raises:
        ValueError: no scores, a score that is not finite, a quantile out of range, or another ``by``.

    Example:
        >>> calibrate([0.1, 0.2, 0.3, 0.4], quantile=0.6).threshold
        0.3
        >>> round(calibrate([0.1, 0.2, 0.3, 0.4], by="normal").threshold, 3)
        0.59
    """
    if by not in WAYS:
        raise ValueError(f"by must be one of {', '.join(WAYS)}; got {by!r}")
    values = np.asarray(scores, dtype=np.float64).ravel()
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must be in (0, 1], got {quantile!r}")
    if values.size == 0:
        raise ValueError("no held-out scores to take a threshold from; keep some normal images out of training")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} held-out scores are not finite")
    kept = tuple(np.sort(values).tolist())
    if by == "normal":
        method, promise, threshold = "prediction bound", "normal", _prediction_bound(values, quantile)
    else:
        method = "conformal"
        threshold = kept[min(values.size, math.ceil(quantile * (values.size + 1) - ROUNDING)) - 1]
    return Calibration(threshold, quantile, values.size, method, left_out, promise, scores=kept)


def _prediction_bound(values: NDArray[np.float64], quantile: float) -> float:
    from scipy.special import stdtrit  # comes with scikit-learn; the rank takes neither

    n = values.size
    if n < 2 or quantile == 1:
        raise ValueError(
            f"a normal distribution's bound takes at least 2 scores and a quantile below 1, got {n} and {quantile:g}"
        )
    student = float(stdtrit(n - 1, quantile))
    return float(values.mean() + student * values.std(ddof=1) * math.sqrt(1 + 1 / n))


def paper_threshold(scores: ArrayLike) -> Calibration:
    """The paper's threshold: 0.2 of the way from the lowest to the highest test score.

    Args:
        scores: of the test images, shape (N,), N > 0.

    Example:
        >>> paper_threshold([0.0, 1.0, 5.0]).threshold
        1.0
    """
    values = np.asarray(scores, dtype=np.float64).ravel()
    low, high = float(values.min()), float(values.max())
    return Calibration(low + PAPER_THRESHOLD * (high - low), None, values.size, f"{PAPER_THRESHOLD} of the range")
