"""Photographs of one thing on both sides of a split: near-duplicates, found without knowing any group.

**When are two images too close?** No distance says so by itself: digits lie close together, photographs of birds far
apart. But images of different things fill their neighbourhood evenly. If the neighbours of an image lie as a Poisson
process in D dimensions (locally uniform, D unknown), at distances d_1 ≤ d_2 ≤ …, then

    s_j = j · log(d_{j+1} / d_j),   j = 1 … K

are independent and exponential with one and the same mean 1/D (Rényi's representation; the estimates of D by Levina and
Bickel and by TwoNN rest on it). Several photographs of one thing break that: m of them lie close by, then comes a gap,
and s_m stands out. The largest share of one among K such variables, g = max s_j / Σ s_j, has a distribution without D
(Fisher's test, 1929): P(g > x) ≤ K (1 − x)^(K − 1), exact for x > 1/2. An image with P below ``CHANCE`` has
near-duplicates: its first m neighbours. Nothing in this was fitted to a data set. K must be larger than the number of
photographs of one thing, smaller than a class, whose edge is a gap as well, and a small part of all images, for the
last of them are spread thinly.

Photographs of some other part lie close to each other as well, and behind them is a gap for everyone who happens to
look that way. So two images are near-duplicates only if each lies before the gap of the other.

Real images are no Poisson process, so no single image condemns a split: the share of images does (``SHARE``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unblot.evaluation.audit.findings import FAKE, FINE, NOTED, SHARE, WARNING, Finding, Shown
from unblot.evaluation.audit.neighbours import nearest
from unblot.evaluation.audit.sample import Sample

__all__ = ["CHANCE", "NEIGHBOURS", "Bursts", "bursts", "near_copies", "near_duplicates"]

NEIGHBOURS = 40
FEWEST, FEWEST_INSIDE = 10, 5  # neighbours, across the split and among training images
CHANCE = 1e-4
_SAME = 1e-3  # of vectors of length 1: below it, differences of float32 are rounding
EXAMPLES = 12


@dataclass(frozen=True)
class Bursts:
    """For each image, whether its nearest neighbours stand apart from all others.

    Attributes:
        p: probability of so large a gap among images of different things, shape (N,).
        size: how many neighbours lie before the largest gap, shape (N,).
    """

    p: NDArray[np.float64]
    size: NDArray[np.int64]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which images have near-duplicates, shape (N,)."""
        return self.p < CHANCE


def bursts(distances: NDArray[np.float64]) -> Bursts:
    """Test the gaps between neighbours.

    Args:
        distances: to the K + 1 nearest neighbours, ascending, finite, shape (N, K + 1), K ≥ 2.

    Example:
        >>> even = np.arange(1.0, 22.0) ** (1 / 10)  # as in 10 dimensions
        >>> bursts(even[None]).found
        array([False])
        >>> two_close = bursts(np.r_[0.3, 0.31, even][None])
        >>> two_close.found, two_close.size
        (array([ True]), array([2]))
    """
    d = np.maximum(distances, _SAME)
    steps = np.arange(1, d.shape[1])
    spacings = steps * np.log(d[:, 1:] / d[:, :-1])
    total = spacings.sum(1)
    share = np.divide(spacings.max(1), total, out=np.ones_like(total), where=total > 0)  # K + 1 equal images: a burst
    p = np.minimum(1.0, len(steps) * (1.0 - share) ** (len(steps) - 1))
    even = (d[:, 0] > _SAME) & (d[:, -1] < d[:, 0] * (1 + _SAME))  # the gaps are rounding: a constant image
    return Bursts(np.where(even, 1.0, p), spacings.argmax(1) + 1)


def near_duplicates(sample: Sample) -> Finding | None:
    """How many normal test images have near-duplicates in training, compared with those inside training.

    Returns:
        None where there are too few training images to tell.
    """
    k = min(NEIGHBOURS, len(sample.references) // 4)
    if k < FEWEST or not len(sample.queries):
        return None
    nobody, everybody = np.full(len(sample.queries), -1), np.arange(len(sample.references))
    across = _near(sample.query_vectors, sample.reference_vectors, k, (nobody, everybody))
    share = float(across.found.mean())
    inside, other = _inside(sample, k)
    fine_groups = other is not None and other >= SHARE
    level = FAKE if share >= SHARE else WARNING if share >= NOTED or fine_groups else FINE
    text = (
        f"{across.found.sum()} of {len(across.p)} normal test images ({share:.1%}) have near-duplicates in training: "
        f"neighbours that stand apart from all other images, as photographs of one thing do. {inside:.1%} of the "
        f"training images have some in training{'' if other is None else f', {other:.1%} in another group'}."
    )
    remedy = ""
    if level == FAKE:
        remedy = "Name the part or session that an image shows with --group, and no split will divide it."
    elif share >= NOTED:
        remedy = f"Look at the pairs. So few can move AUROC by {share / 2:.3f} or so."
    elif fine_groups:
        remedy = "Some groups may show one thing; another --split-seed may put them on both sides."
    shown = [i for i in np.argsort(across.p, kind="stable") if across.found[i]][:EXAMPLES]
    figures = {
        "share": share,
        "images": len(across.p),
        "median_number": float(np.median(across.size[across.found])) if across.found.any() else None,
        "share_inside_training": inside,
        "share_inside_training_other_group": other,
        "compared_with": len(sample.references),
        "neighbours": k,
        "chance": CHANCE,
        "fakes_from": SHARE,
    }
    rows = [_row(sample, int(i), across.positions[i], int(across.size[i])) for i in shown]
    return Finding("near-duplicates across the split", level, text + sample.note, remedy, figures, rows)


def near_copies(sample: Sample) -> Finding | None:
    """How many training and held-out images have near-duplicates there in another group.

    Returns:
        None where there are too few training images to tell.
    """
    k = min(NEIGHBOURS, len(sample.references) // 4)
    if k < FEWEST_INSIDE:
        return None
    inside, other = _inside(sample, k)
    share = inside if other is None else other
    looked_at = len(sample.some_references)
    level = WARNING if share >= SHARE else FINE
    text = (
        f"{round(share * looked_at)} of {looked_at} training and held-out images have near-copies among them in "
        "another group: neighbours that stand apart from all other images, as photographs of one thing do."
    )
    remedy = (
        "So held-out images are not new to the detector, and its threshold is too low for new parts. Name with "
        "--group the part or session that an image shows."
        if level == WARNING
        else ""
    )
    return Finding("near-copies in training", level, text, remedy, {"share": share, "images": looked_at})


@dataclass(frozen=True)
class _Near:
    """Neighbours of some images (nearest first), the chance of their gap, which have near-duplicates, and how many."""

    positions: NDArray[np.int64]
    p: NDArray[np.float64]
    found: NDArray[np.bool_]
    size: NDArray[np.int64]


def _near(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    k: int,
    apart: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> _Near:
    """Near-duplicates of the queries among the references; ``apart`` as for :func:`nearest`."""
    distances, positions = nearest(queries, references, k + 1, apart=apart)
    # A query whose own group is nearly everything has too few neighbours to tell.
    enough = np.asarray(np.isfinite(distances).all(axis=1))
    gaps = bursts(np.where(enough[:, None], distances, 1.0))
    found: NDArray[np.bool_] = np.logical_and(gaps.found, enough)
    at = np.flatnonzero(found)
    first, step = positions[at, 0], distances[at, :1]
    back, whose = nearest(references[first], references, k + 1, apart=(apart[0][at], apart[1]))
    back = np.where(whose == first[:, None], np.inf, back)  # an image is no neighbour of its own
    seen = np.sort(np.concatenate([back, step], axis=1), axis=1)[:, :-1]
    # Mutual: so many images are nearer to the neighbour than the query is, and its gap must lie behind the query.
    rank = (seen < step).sum(1)
    found[at] = np.isfinite(seen).all(1) & (rank < bursts(np.where(np.isfinite(seen), seen, 1.0)).size)
    return _Near(positions, gaps.p, found, gaps.size)


def _inside(sample: Sample, k: int) -> tuple[float, float | None]:
    """Share of training images with near-duplicates among all others, and among those of other groups."""
    some, vectors, groups = sample.some_references, sample.reference_vectors, sample.reference_groups
    own = np.arange(len(vectors))
    share = float(_near(vectors[some], vectors, k, (own[some], own)).found.mean())
    if len(set(groups.tolist())) in (1, len(groups)):  # all are one group, or each image is its own
        return share, None
    return share, float(_near(vectors[some], vectors, k, (groups[some], groups)).found.mean())


def _row(sample: Sample, i: int, positions: NDArray[np.int64], size: int) -> list[Shown]:
    """A test image, up to three of its near-duplicates, and the first image beyond the gap."""
    near = [sample.show_reference(int(j), "in training") for j in positions[: min(size, 3)]]
    beyond = sample.show_reference(int(positions[size]), f"neighbour {size + 1}, beyond the gap")
    return [sample.show_query(i, "test"), *near, beyond]
