"""Whether scores in use still look like those of the normal images that gave the threshold.

Each new score is ranked among the left-out normal scores and all scores before it. As long as new images are no other
than those, these p values are independent and uniform, however scores are distributed (conformal test martingales:
Vovk, Nouretdinov and Gammerman, ICML 2003). A bet against that is multiplied up image by image: ``e p ** (e - 1)`` wins
where scores rise (p small), the same of 1 - p where they fall. Each bet is begun anew with every image
(Shiryaev-Roberts), so a change is found after any number of quiet images. The mean of all bets less the number of
images is a martingale; so on average at least as many images pass before a false alarm as the sum that raises it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVERY", "Watch", "watch"]

EVERY = 10_000
_EXPONENTS = (0.2, 0.5, 0.8)  # of the bets: far from normal, and near to it
_LEAST = 1e-12


@dataclass(frozen=True)
class Watch:
    """What was seen of a series of scores.

    Attributes:
        p_values: of each image, float64, shape (N,), uniform while nothing changes.
        evidence: after each image, float64, shape (N,); an alarm is raised at ``every``.
        every: images that pass before a false alarm, on average at least.
        alarm: number of the image at which the alarm was raised, from 0; None where there was none.
        start: the image from which on the scores are most likely others; None without an alarm.
        rising: whether they rise; else they fall.
    """

    p_values: NDArray[np.float64]
    evidence: NDArray[np.float64]
    every: float
    alarm: int | None = None
    start: int | None = None
    rising: bool = True


def watch(known: Iterable[float], scores: Iterable[float], *, every: float = EVERY, seed: int = 0) -> Watch:
    """Look for the first image at which scores are no longer what they were.

    Args:
        known: left-out normal scores, at least one.
        scores: of images in the order in which they came, finite.
        every: images that pass before a false alarm, on average at least; above 1.
        seed: of the draw that ranks equal scores.

    Raises:
        ValueError: no known scores, a score that is not finite, or ``every`` out of its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = watch(rng.normal(size=200), [*rng.normal(size=300), *rng.normal(3, 1, size=50)])
        >>> found.alarm is not None and 300 <= found.start <= found.alarm < 320
        True
    """
    pool, series = sorted(map(float, known)), np.asarray(list(scores), np.float64)
    if not pool:
        raise ValueError("there are no left-out normal scores to compare with")
    if not every > 1:
        raise ValueError(f"every must be above 1, got {every:g}")
    if not (np.isfinite(series).all() and np.isfinite(pool).all()):
        raise ValueError("scores must be finite")
    chance = np.random.default_rng(seed).random(len(series))
    p_values = np.empty(len(series))
    for i, score in enumerate(series.tolist()):
        above, equal = len(pool) - bisect_right(pool, score), bisect_right(pool, score) - bisect_left(pool, score)
        p_values[i] = (above + chance[i] * (equal + 1)) / (len(pool) + 1)
        insort(pool, score)
    gains = _log_gains(p_values)
    evidence, alarm, best = np.empty(len(series)), None, 0
    sums = np.zeros(len(gains))
    for i, gain in enumerate(np.exp(gains).T):
        sums = np.minimum((1 + sums) * gain, 1e300)
        evidence[i] = sums.mean()
        if alarm is None and evidence[i] >= every:
            alarm, best = i, int(sums.argmax())
    if alarm is None:
        return Watch(p_values, evidence, every)
    path = np.concatenate([[0.0], gains[best].cumsum()])
    start = int(path[: alarm + 1].argmin())
    return Watch(p_values, evidence, every, alarm, start, rising=best < len(_EXPONENTS))


def _log_gains(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of what each bet gains at each image, shape (bets, N): bets on rising scores, then on falling ones."""
    sides = np.stack([p_values, 1 - p_values]).clip(_LEAST, 1)
    return np.stack([np.log(e) + (e - 1) * np.log(side) for side in sides for e in _EXPONENTS])
