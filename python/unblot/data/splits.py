"""Splitting: images of one physical part or capture session never stand on both sides of a random split.

The order in which groups are drawn is a hash of (seed, purpose, group name). It needs no random generator, so it is the
same on every machine and version, and does not depend on the order in which the files were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from unblot.errors import UserError

__all__ = ["Parts", "draw_limit", "split_by_group"]


@dataclass(frozen=True)
class Parts:
    """Positions of the images of each part, ascending; every image stands in exactly one."""

    train: list[int]
    held_out: list[int]
    test: list[int]


def split_by_group(
    groups: Sequence[str], abnormal: Sequence[bool], *, held_out: float, test: float | None, seed: int
) -> Parts:
    """Split images into train and held-out (normal) and test (normal and abnormal), never dividing a group.

    A group with an abnormal image goes to test whole; its normal images count towards the test share. Then groups are
    drawn for test, and of the rest for held-out: each is taken while it brings the number of images nearer to the share
    asked for, so the result is off by at most half a group, and exact where every image is its own group. Every part
    that is wanted gets at least one normal group.

    Args:
        groups: group of each image.
        abnormal: whether each image is abnormal.
        held_out: share of the normals left for training; 0: none is wanted.
        test: share of all normals; None: no test part is wanted.
        seed: decides which groups are drawn.

    Raises:
        UserError: too few groups of normal images to fill every part.

    Example:
        >>> split_by_group(["a", "a", "b", "c", "d"], [False] * 5, held_out=0.3, test=0.2, seed=0).test
        [4]
    """
    marked = {g for g, bad in zip(groups, abnormal, strict=True) if bad}
    size = Counter(g for g in groups if g not in marked)
    beside = sum(g in marked and not bad for g, bad in zip(groups, abnormal, strict=True))
    needed = ["train"] + ["held-out"] * (held_out > 0) + ["test"] * (test is not None and not beside)
    if len(size) < len(needed):
        raise UserError(
            f"the normal images form {len(size)} group(s) without an abnormal image, but {', '.join(needed)} need "
            f"one each ({len(needed)} in all). Add normal images, or give group an expression that makes finer groups"
        )
    least = 1 + (held_out > 0)  # groups that are not for testing
    chosen = set(marked)
    if test is not None:
        wanted = round(test * (beside + size.total()))
        chosen |= _draw(size, wanted - beside, not beside, leave=least, order=_order(size, seed, "test"))
    rest = Counter({g: n for g, n in size.items() if g not in chosen})
    kept = _draw(rest, round(held_out * rest.total()), held_out > 0, leave=1, order=_order(rest, seed, "held out"))
    side = ["test" if g in chosen else "held_out" if g in kept else "train" for g in groups]
    return Parts(*([i for i, s in enumerate(side) if s == part] for part in ("train", "held_out", "test")))


def draw_limit(groups: Sequence[str], limit: int, seed: int) -> list[int]:
    """Positions of at most ``limit`` images: whole groups in drawn order, the last one cut; ascending."""
    rank = {g: i for i, g in enumerate(_order(groups, seed, "limit"))}
    return sorted(sorted(range(len(groups)), key=lambda i: rank[groups[i]])[:limit])


def _order(groups: Iterable[str], seed: int, purpose: str) -> list[str]:
    def place(group: str) -> bytes:
        return blake2b(f"{seed}/{purpose}/{group}".encode(errors="surrogateescape"), digest_size=16).digest()

    return sorted(set(groups), key=place)


def _draw(size: Counter[str], wanted: int, some: bool, *, leave: int, order: Sequence[str]) -> set[str]:
    """Groups, in ``order``, whose images come nearest to ``wanted``; at least one if ``some``; ``leave`` stay."""
    taken: set[str] = set()
    have = 0
    for group in order:
        if len(order) - len(taken) > leave and abs(have + size[group] - wanted) < abs(have - wanted):
            taken.add(group)
            have += size[group]
    return taken if taken or not some else {min(order, key=size.__getitem__)}
