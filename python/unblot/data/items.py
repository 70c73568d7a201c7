"""What is known about one image before and after it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unblot.data.listing import Passed

__all__ = ["ABNORMAL", "NORMAL", "UNKNOWN", "Found", "Item", "Source"]

NORMAL, ABNORMAL, UNKNOWN = 0, 1, -1


@dataclass(frozen=True, slots=True)
class Item:
    """One image by name.

    Attributes:
        name: posix path relative to the data set's root (or the like); unique within a data set.
        label: 0 normal, 1 abnormal, -1 unknown.
        kind: class or kind of defect.
        group: physical part or capture session; images of one group never stand on both sides of a random split.
    """

    name: str
    label: int
    kind: str
    group: str


@dataclass(frozen=True, slots=True)
class Source:
    """An item and where its pixels come from.

    Attributes:
        item: the image by name.
        image: a file, or pixels: uint8, shape (H, W) or (H, W, 3).
        mask: file of the defect's mask (nonzero: defect), same size as the image.
    """

    item: Item
    image: Path | NDArray[np.uint8]
    mask: Path | None = None


@dataclass
class Found:
    """What a data set holds, before grouping and splitting; every data set's module returns one.

    Attributes:
        name: of the data set, for the user.
        pool: images to be split at random by group. With ``test``, the training part: normal images alone.
        test: the data set's own test part; None where it has none.
        test_share: the share of normals for testing, where the data set's convention fixes it.
        group: the data set's own grouping rule, as in :class:`DataConfig`; the user's goes first.
        group_gap: belongs to ``group``.
        ungrouped: what the user should know where there is no rule.
        spare_masks: files of masks that belong to no abnormal image.
        passed: what lies there and is not used, by reason.
        notes: sentences for ``describe()``.
        warnings: sentences that the user must see.
    """

    name: str
    pool: list[Source]
    test: list[Source] | None = None
    test_share: float | None = None
    group: str | None = None
    group_gap: int | None = None
    ungrouped: str = "if several images show one part, say so with --group"
    spare_masks: list[Path] = field(default_factory=list)
    passed: Passed = field(default_factory=Passed)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
