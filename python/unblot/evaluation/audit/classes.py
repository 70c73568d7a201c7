"""Is a class that is left out as abnormal set apart at all? Neighbourhood class leakage of class-split data.

A set of classes of which one is called abnormal (CIFAR-10 without birds) asks a question that may have no answer:
where the left-out class lies among the normal ones, scores fall to chance or turn over, whatever the detector
(arXiv 2606.02601, which names the effect score-direction instability, and neighbourhood class leakage as a diagnostic
that needs no training). Only that paper's abstract was at hand; what is computed here is our reading of it:

- **leakage** of a class: among images of all classes, equally many of each, the share of the ``k`` nearest neighbours
  of its images that belong to another class. Chance is its value where classes say nothing about neighbours. Near
  chance the class lies among the others, near 0 it is apart. It is computed in pixels (Euclidean distance at no more
  than 32 x 32), once for every class, so that the left-out class can be compared with what the normal ones have;
- **distance AUROC** of the split: how well the distance to the nearest training image, in the same pixels, tells
  left-out from normal test images. 0.5: not at all; below 0.5 the left-out class is the more ordinary one, and a
  detector that goes by such distances is turned over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from unblot.data import ImageSet, Splits
from unblot.evaluation.audit.findings import FINE, WARNING, Finding
from unblot.evaluation.audit.neighbours import draw, nearest, stack

__all__ = ["ClassLeakage", "class_leakage", "class_split", "leakage_of"]

NEIGHBOURS = 10
PER_CLASS = 500
REFERENCES = 10_000
_SIDE = 32
_MIXED = 0.5  # most neighbours are of another class
_TOLD = 0.6  # distance AUROC below which the split is said to be near chance


@dataclass(frozen=True)
class ClassLeakage:
    """Neighbourhood class leakage of a class-split data set; see the module for what is computed.

    Attributes:
        leakage: of each class, in [0, 1].
        chance: leakage of a class whose neighbours are any images.
        left_out: mean leakage of the abnormal classes.
        normal: mean leakage of the normal classes.
        distance_auroc: of the distance to the nearest training image on the test part.
        neighbours: k.
        per_class: images of each class at most.
    """

    leakage: dict[str, float]
    chance: float
    left_out: float
    normal: float
    distance_auroc: float
    neighbours: int
    per_class: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return asdict(self)


def leakage_of(
    vectors: NDArray[np.float32], classes: Sequence[str], k: int = NEIGHBOURS
) -> tuple[dict[str, float], float]:
    """Leakage of each class, and chance.

    Args:
        vectors: shape (N, D), equally many of each class; N > k.
        classes: of each.
        k: number of neighbours.

    Example:
        >>> two_apart = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], np.float32)
        >>> leakage_of(two_apart, list("aaabbb"), k=2)
        ({'a': 0.0, 'b': 0.0}, 0.6)
        >>> leakage_of(two_apart, list("ababab"), k=2)[0]
        {'a': 0.66..., 'b': 0.66...}
    """
    names, codes = np.unique(np.asarray(classes), return_inverse=True)
    own = np.arange(len(vectors))
    _, positions = nearest(vectors, vectors, k, apart=(own, own))
    others = (codes[positions] != codes[:, None]).mean(1)
    counts = np.bincount(codes)
    chance = float(np.mean((len(vectors) - counts) / (len(vectors) - 1)))
    return {str(name): float(others[codes == c].mean()) for c, name in enumerate(names)}, chance


def class_leakage(splits: Splits, *, k: int = NEIGHBOURS, seed: int = 0) -> ClassLeakage:
    """Leakage of every class of a class-split data set, and the distance AUROC of its split.

    Args:
        splits: kinds are classes; the test part holds normal and left-out classes.
        k: number of neighbours.
        seed: draws the images that are looked at: equally many of each class, at most 500, and at most 10 000
            training images for the distance AUROC.

    Raises:
        ValueError: a label is missing in the test part, or a class has no more than ``k`` images.

    Example:
        >>> from unblot.data import DataConfig, load_data
        >>> found = class_leakage(load_data(DataConfig("digits", abnormal=("0",))))
        >>> found.leakage["0"] < found.normal < found.chance, found.distance_auroc > 0.9
        (True, True)
    """
    from sklearn.metrics import roc_auc_score

    parts = (splits.train, splits.held_out, splits.test)
    where: dict[str, list[tuple[ImageSet, int]]] = {}
    for part in parts:
        for i, item in enumerate(part.items):
            where.setdefault(item.kind, []).append((part, i))
    fewest = min(map(len, where.values()))
    if fewest <= k or len({*splits.test.labels.tolist()}) < 2:
        raise ValueError(
            f"class leakage needs normal and abnormal test images and more than {k} images of each class; "
            f"the smallest class has {fewest}"
        )
    each = min(fewest, PER_CLASS)
    vectors, classes = [], []
    for kind, images in sorted(where.items()):
        chosen = [images[i] for i in draw(len(images), each, seed)]
        vectors += [_pixels(part, [i for p, i in chosen if p is part]) for part in parts]
        classes += [kind] * each
    leakage, chance = leakage_of(np.concatenate(vectors), classes, k)
    left_out = {item.kind for item in splits.test.items if item.label == 1}
    test = np.concatenate([np.flatnonzero(splits.test.labels == label)[: PER_CLASS * 4] for label in (0, 1)])
    references = _pixels(splits.train, draw(len(splits.train), REFERENCES, seed))
    distance = nearest(_pixels(splits.test, test), references, 1)[0][:, 0]
    return ClassLeakage(
        leakage,
        chance,
        left_out=float(np.mean([leakage[kind] for kind in sorted(left_out)])),
        normal=float(np.mean([value for kind, value in leakage.items() if kind not in left_out])),
        distance_auroc=float(roc_auc_score(splits.test.labels[test], distance)),
        neighbours=k,
        per_class=each,
    )


def class_split(splits: Splits) -> Finding:
    """The leakage of a class-split data set as a finding; never worse than a warning: a low score is honest here."""
    found = class_leakage(splits)
    left_out = ", ".join(sorted({item.kind for item in splits.test.items if item.label == 1}))
    mixed = found.left_out >= _MIXED or found.distance_auroc < _TOLD
    text = (
        f"Left out as abnormal: {left_out}. {found.left_out:.0%} of its {found.neighbours} nearest neighbours are of "
        f"another class (normal classes: {found.normal:.0%}; chance: {found.chance:.0%}). The distance to the nearest "
        f"training image, in pixels, tells it with AUROC {found.distance_auroc:.3f}."
    )
    remedy = (
        "The left-out class lies among the normal ones: detectors fall to chance here or are turned over. Print these "
        "figures beside such a table."
        if mixed
        else ""
    )
    return Finding("neighbourhood class leakage", WARNING if mixed else FINE, text, remedy, found.to_dict())


def _pixels(images: ImageSet, chosen: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Pixels in [0, 1], shape (n, D)."""
    if not len(chosen):
        return np.empty((0, images.channels * min(images.size, _SIDE) ** 2), np.float32)
    pixels = stack(images, chosen).float() / 255
    if images.size > _SIDE:
        pixels = F.interpolate(pixels, size=(_SIDE, _SIDE), mode="area")
    return np.asarray(pixels.flatten(1).numpy(), dtype=np.float32)
