"""Sessions in the order of files: are nearest neighbours also neighbours in name?

Images that come in sessions (one part under several exposures, one writer, one day) look like those of their session,
and sessions leave their trace in names: files are numbered as they are taken. If names say nothing about content, the
nearest training image of a test image is as likely to be any other: the chance that it is one of the ``NEAR`` that are
nearest in name is ``NEAR`` over the number of training images of its kind. A much larger share says that a random
split cuts through sessions. Names are compared in natural order (2 before 10) and by each number that all of them hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unblot.evaluation.audit.findings import FAKE, FINE, WARNING, Finding
from unblot.evaluation.audit.neighbours import nearest
from unblot.evaluation.audit.sample import Sample

__all__ = ["Order", "orders", "sessions"]

NEAR = 10
_FEWEST = 5 * NEAR  # training images of a kind; with fewer, near in name means nothing
_NOTED, _MOST = 0.1, 0.5  # excess over chance: worth a look; more than half of all images
_COLUMNS = 8


@dataclass(frozen=True)
class Order:
    """One way to put names in order.

    Attributes:
        name: for people.
        keys: a number for each name, shape (N,).
        pattern: regular expression whose capture is the key; None for the order of files.
    """

    name: str
    keys: NDArray[np.float64]
    pattern: str | None = None


def orders(names: Sequence[str]) -> list[Order]:
    r"""The natural order of names, and one for each number that all of them hold.

    Example:
        >>> [(o.pattern, o.keys.tolist()) for o in orders(["e1_num_10", "e2_num_9"])[1:]]
        [('e(\\d+)', [1.0, 2.0]), ('_num_(\\d+)', [10.0, 9.0])]
    """
    natural = [re.sub(r"\d+", lambda m: m.group().zfill(20), name) for name in names]
    found = [Order("file order", np.unique(natural, return_inverse=True)[1].astype(np.float64))]
    numbers = [re.findall(r"\d+", name) for name in names]
    columns = len(numbers[0]) if names else 0
    if not 0 < columns <= _COLUMNS or any(len(row) != columns for row in numbers):
        return found
    for column in range(columns):
        digits = [row[column] for row in numbers]
        if len(set(digits)) > 1 and max(map(len, digits)) <= 15:
            pattern = _pattern(names, digits, column)
            found.append(Order(f"the number in {pattern}", np.array(digits, dtype=np.float64), pattern))
    return found


def _pattern(names: Sequence[str], digits: Sequence[str], column: int) -> str:
    """A short expression that captures these digits in all names: by the text before them, else by their place."""
    before = re.match(rf"(?:\D*\d+){{{column}}}(\D*)", names[0])
    text = before[1].rpartition("/")[2] if before else ""
    short = re.escape(text).replace(r"\-", "-") + r"(\d+)"
    if text and all((m := re.search(short, n)) and m[1] == d for n, d in zip(names, digits, strict=True)):
        return short
    return rf"^(?:\D*\d+){{{column}}}\D*(\d+)" if column else r"^\D*(\d+)"


def sessions(sample: Sample) -> Finding | None:
    """How often the nearest training image of a normal test image is near it in name.

    Returns:
        None where no kind has enough training images.
    """
    kinds = np.array([item.kind for item in sample.reference_items])
    pools = {kind: np.flatnonzero(kinds == kind) for kind in set(kinds.tolist())}
    pools = {kind: pool for kind, pool in pools.items() if len(pool) >= _FEWEST}
    if not pools or not len(sample.queries):
        return None
    found = nearest(sample.query_vectors, sample.reference_vectors, 1)[1][:, 0]
    pairs = [
        (i, int(j)) for i, j in enumerate(found) if (kind := sample.query_items[i].kind) in pools and kinds[j] == kind
    ]
    if not pairs:
        return None
    names = [item.name for item in (*sample.query_items, *sample.reference_items)]
    measured = [_measure(order, pairs, sample, kinds, pools) for order in orders(names)]
    best = max(measured, key=lambda m: m.excess)
    sure = best.share > best.chance + 4 * math.sqrt(best.chance / len(pairs))
    level = FINE if not sure or best.excess < _NOTED else WARNING if best.excess < _MOST else FAKE
    text = (
        f"The nearest training image of a normal test image is among the {NEAR} nearest by {best.order.name} "
        f"in {best.share:.1%} of {len(pairs)} cases; by chance it would be in {best.chance:.1%}."
    )
    remedy = ""
    if level != FINE:
        text += " So the images come in sessions, and the split cuts through them."
        joined = f" --group-gap {best.gap}" if best.gap else ""
        flag = f"--group '{best.order.pattern}'{joined}" if best.order.pattern else "--group FILE.csv"
        remedy = f"If a session shows one part, split by session, such as {flag}."
    figures = {
        "order": best.order.name,
        "share": best.share,
        "chance": best.chance,
        "excess": best.excess,
        "images": len(pairs),
        "gap": best.gap,
        "fakes_from": _MOST,
    }
    return Finding("sessions in the order of names", level, text + sample.note, remedy, figures)


@dataclass(frozen=True)
class _Measured:
    """What one order says: share of neighbours near in name, chance, and how far apart those that are near lie."""

    order: Order
    share: float
    chance: float
    gap: int

    @property
    def excess(self) -> float:
        return (self.share - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0


def _measure(
    order: Order,
    pairs: Sequence[tuple[int, int]],
    sample: Sample,
    kinds: NDArray[np.str_],
    pools: dict[str, NDArray[np.int64]],
) -> _Measured:
    queries, references = order.keys[: len(sample.queries)], order.keys[len(sample.queries) :]
    ordered = {kind: np.sort(references[pool]) for kind, pool in pools.items()}
    hits, chances, steps = 0, 0.0, []
    for i, j in pairs:
        there = ordered[str(kinds[j])]
        near, share = _near(there, queries[i])
        step = abs(references[j] - queries[i])
        hits += step <= near
        chances += share
        if step <= near:
            steps.append(step)
    gap = math.ceil(np.quantile(steps, 0.95)) if steps else 0
    return _Measured(order, hits / len(pairs), chances / len(pairs), gap)


def _near(ordered: NDArray[np.float64], key: float) -> tuple[float, float]:
    """How far from ``key`` the ``NEAR`` nearest of the ordered keys reach, and the share of all that is so near."""
    at = int(np.searchsorted(ordered, key))
    window = np.sort(np.abs(ordered[max(0, at - NEAR) : at + NEAR] - key))
    reach = float(window[NEAR - 1])
    low, high = np.searchsorted(ordered, key - reach), np.searchsorted(ordered, key + reach, side="right")
    return reach, float(high - low) / len(ordered)
