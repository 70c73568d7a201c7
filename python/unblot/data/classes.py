"""Class names of the named data sets: which are normal, which abnormal; and what all sets of classes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unblot.data.config import DataConfig
from unblot.data.items import Found, Item, Source
from unblot.errors import UserError

__all__ = ["choose_classes", "did_you_mean", "found_classes", "leave_out", "sources_of_arrays"]


def choose_classes(
    known: Sequence[str],
    normal: Sequence[str],
    abnormal: Sequence[str],
    *,
    aliases: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str]]:
    """Normal and abnormal classes; one that is left empty takes all that the other leaves.

    Raises:
        UserError: a class that does not exist or stands on both sides, or none left on a side.

    Example:
        >>> choose_classes(["a", "b", "c"], normal=[], abnormal=["b"])
        (['a', 'c'], ['b'])
    """
    names = {**{k: k for k in known}, **(aliases or {})}
    for given in (*normal, *abnormal):
        if given not in names:
            raise UserError(f"no class named {given!r}{did_you_mean(given, names)}; classes: {', '.join(known)}")
    chosen = [[k for k in known if k in {names[g] for g in side}] for side in (normal, abnormal)]
    if both := set(chosen[0]) & set(chosen[1]):
        raise UserError(f"class {', '.join(sorted(both))} is given as normal and as abnormal")
    normals = chosen[0] or [k for k in known if k not in chosen[1]]
    abnormals = chosen[1] or [k for k in known if k not in chosen[0]]
    if not normals or not abnormals or set(normals) & set(abnormals):
        raise UserError(f"at least one class must be normal and one abnormal; classes: {', '.join(known)}")
    return normals, abnormals


def leave_out(
    config: DataConfig, known: Sequence[str], *, aliases: Mapping[str, str] | None = None, root: str
) -> tuple[Path, dict[str, int]]:
    """The root, and the label (0 normal, 1 abnormal) of every class that takes part, normal ones first.

    Args:
        config: names the data set, its root and its classes.
        known: all classes.
        aliases: other names of classes.
        root: what ``--root`` is for, for the user who left it out.

    Raises:
        UserError: no class chosen, a wrong one, or no root.
    """
    if not config.abnormal and not config.normal:
        raise UserError(
            f"{config.data} needs to know which class is abnormal: --abnormal CLASS, one of {', '.join(known)}"
        )
    normal, abnormal = choose_classes(known, config.normal, config.abnormal, aliases=aliases)
    if config.root is None:
        raise UserError(f"{config.data} needs --root DIR: {root}")
    return Path(config.root), {**dict.fromkeys(normal, 0), **dict.fromkeys(abnormal, 1)}


def sources_of_arrays(
    part: str, images: NDArray[np.uint8], targets: Iterable[int], known: Sequence[str], label: Mapping[str, int]
) -> list[Source]:
    """Those images of one part of a data set whose class takes part, named "<part>/<class>/<number in the part>".

    Args:
        part: "train" or "test".
        images: shape (N, H, W) or (N, H, W, 3).
        targets: N numbers of classes in ``known``.
        known: all classes.
        label: label by class, from :func:`leave_out`.
    """
    named = [
        (f"{part}/{known[t]}/{n:05d}", known[t], image)
        for n, (image, t) in enumerate(zip(images, targets, strict=True))
    ]
    return [Source(Item(name, label[kind], kind, group=name), image) for name, kind, image in named if kind in label]


def found_classes(name: str, pool: list[Source]) -> Found:
    """The pooled images of a set of classes: one sixth of the normals is for testing, as 9 000 of CIFAR-10's 54 000."""
    notes = ["training and test part are pooled and split anew, one sixth of the normals for testing"]
    return Found(name, pool, test_share=1 / 6, ungrouped="which show one object is not known", notes=notes)


def did_you_mean(given: str, known: Sequence[str] | Mapping[str, str]) -> str:
    """A question that names the closest known name, or nothing where none is close."""
    close = get_close_matches(given.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
