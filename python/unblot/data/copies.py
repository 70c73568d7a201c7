"""Images that are the same pixel for pixel: one group of a split, for a copy of a training image judges nothing.

An image of which a copy was trained on scores too low. Where a threshold is taken from such images, every new part lies
above it. So copies never stand on both sides of a split, whatever the rule of groups says, and they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unblot.data.decoded import Decoded
from unblot.data.items import Source
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data.imageset import ImageSet

__all__ = ["joined", "refuse_one_image", "said_of_copies", "said_of_variation"]

_FLAT = 4  # of 255: what differs by no more is noise of a camera that saw nothing
_DARK = 64  # of 255: the brightest pixel of a set that uses a quarter of its range


def joined(groups: Sequence[str], digests: Sequence[bytes]) -> list[str]:
    """Groups after all those that share an equal image are made one, which has the name of the first of them.

    Args:
        groups: of each image.
        digests: of each image's pixels.

    Example:
        >>> joined(["a", "b", "c", "d"], [b"1", b"2", b"2", b"1"])
        ['a', 'b', 'b', 'a']
    """
    first: dict[bytes, str] = {}
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while (up := parent.get(group, group)) != group:
            parent[group] = group = parent.get(up, up)
        return group

    for group, digest in zip(groups, digests, strict=True):
        one, other = sorted((root(first.setdefault(digest, group)), root(group)))
        if one != other:
            parent[other] = one
    return [root(group) for group in groups]


def said_of_copies(sources: Sequence[Source], decoded: Sequence[Decoded], size: int, *, apart: bool) -> list[str]:
    """Sentences on equal images.

    Args:
        sources: images of one pool.
        decoded: theirs.
        size: at which they were compared.
        apart: copies could not be made one group.
    """
    first: dict[bytes, Source] = {}
    pairs: list[tuple[str, str]] = []
    labels: dict[bytes, set[int]] = {}
    for source, found in zip(sources, decoded, strict=True):
        labels.setdefault(found.digest, set()).add(source.item.label)
        if (known := first.setdefault(found.digest, source)) is not source:
            pairs.append((source.item.name, known.item.name))
    said = []
    if pairs:
        shown = ", ".join(f"{a} = {b}" for a, b in pairs[:3]) + (", …" if len(pairs) > 3 else "")
        done = (
            "too few groups would be left if copies were one group, so they stand on both sides of the split, and the "
            "threshold is too low"
            if apart
            else "copies count as one group"
        )
        said.append(
            f"{len(pairs)} of {len(sources)} images are copies of others, pixel for pixel at {size} x {size}: "
            f"{shown}; {done}. "
            "Leave one of each; say with --group which images show one part"
        )
    if both := sum(len(found) > 1 for found in labels.values()):
        said.append(
            f"{both} images stand among the normal and among the abnormal ones, pixel for pixel; correct the labels"
        )
    return said


def said_of_variation(training: Sequence[Decoded], size: int) -> list[str]:
    """Sentences on training images that show nothing or too little."""
    number, kinds = len(training), len({found.digest for found in training})
    if number > 1 and kinds == 1:
        return [_same(number, size)]
    said = []
    if blank := sum(found.contrast <= _FLAT for found in training):
        all_ = "all" if blank == number else f"{blank} of"
        said.append(
            f"{all_} {number} training images are blank: no two pixels differ by more than {_FLAT} of 255; move failed "
            "exposures out, or check the camera"
        )
    if blank < number and (top := max(found.high for found in training)) < _DARK:
        said.append(
            f"the training images are dark: no pixel is brighter than {top} of 255, so few gray levels are left. Check "
            "the exposure and in how many bits the files were saved (--bits)"
        )
    return said


def refuse_one_image(images: ImageSet) -> None:
    """Refuse a training on images that are all one and the same.

    Raises:
        UserError: they are.
    """
    if len(images) > 1 and len(set(images.digests())) == 1:
        raise UserError(f"{_same(len(images), images.size)}. Give images of several parts")


def _same(number: int, size: int) -> str:
    return (
        f"all {number} training images are the same, pixel for pixel at {size} x {size}: from images without variation "
        "nothing is learnt, and a threshold from them says nothing"
    )
