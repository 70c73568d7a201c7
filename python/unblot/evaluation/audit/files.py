"""Files that cannot be used or show nothing: unreadable and constant images, masks that do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unblot.data import Found, Source, Splits
from unblot.data.pixels import decode, decode_mask, in_threads, probe
from unblot.errors import UserError
from unblot.evaluation.audit.findings import FAKE, FINE, SHARE, WARNING, Finding, Shown

__all__ = ["constant_images", "files_findings", "masks", "usable"]

_MARKED = 0.95  # share of an image that no defect covers
_SMALL = 8  # side at which files are tried


def usable(found: Found, *, progress: bool | None = None) -> tuple[Found, list[Finding]]:
    """What is left without unreadable images and masks that do not fit, and what was wrong with them.

    Reads every file once.
    """
    sources = found.pool + (found.test or [])
    tried = list(in_threads(_trouble, sources, what="reading", progress=progress))
    unread = {s.item.name: image for s, (image, _) in zip(sources, tried, strict=True) if image}
    unfit = {s.item.name: mask for s, (_, mask) in zip(sources, tried, strict=True) if mask}

    def kept(part: list[Source]) -> list[Source]:
        read = [s for s in part if s.item.name not in unread]
        return [replace(s, mask=None) if s.item.name in unfit else s for s in read]

    left = replace(found, pool=kept(found.pool), test=None if found.test is None else kept(found.test))
    return left, files_findings(len(sources), unread, unfit)


def files_findings(
    count: int, unread: Mapping[str, str] | None = None, unfit: Mapping[str, str] | None = None
) -> list[Finding]:
    """Findings about ``count`` images of which some, by name, cannot be read or have a mask that does not fit."""
    return [
        _files_finding("unreadable images", unread or {}, count, "Repair them or move them out; train refuses them."),
        _files_finding(
            "masks of another size", unfit or {}, count, "Make each the size of its image; train refuses them."
        ),
    ]


def _trouble(source: Source) -> tuple[str, str]:
    """What is wrong with an image, and with its mask; empty where nothing is."""
    try:
        decode(source.image, channels=1, size=_SMALL)
        size = probe(source.image)[1]
    except UserError as error:
        return str(error), ""
    try:
        if source.mask is None or (fits := probe(source.mask)[1]) == size:
            return "", ""
    except UserError as error:
        return "", str(error)
    return "", f"{source.mask} is {fits[0]} x {fits[1]}, its image {size[0]} x {size[1]} (width x height)"


def _files_finding(check: str, wrong: Mapping[str, str], count: int, remedy: str) -> Finding:
    if not wrong:
        return Finding(check, FINE, f"None among {count}.", figures={"count": 0})
    text = f"{len(wrong)} of {count}: {_some(list(wrong.values()))}."
    return Finding(check, WARNING, text, remedy, {"count": len(wrong), "names": sorted(wrong)})


def constant_images(splits: Splits) -> Finding:
    """Images all of whose pixels are alike, as loaded."""
    parts = {"training": [splits.train, splits.held_out], "test": [splits.test]}
    names: dict[str, list[str]] = {part: [] for part in parts}
    rows = []
    for part, sets in parts.items():
        for images in sets:
            for i, item in enumerate(images.items):
                pixels = images[i]["image"]
                if bool((pixels == pixels[:, :1, :1]).all()):
                    names[part].append(item.name)
                    rows.append([Shown(item.name, pixels.numpy(), f"constant, in {part}")])
    count, total = sum(map(len, names.values())), sum(len(s) for sets in parts.values() for s in sets)
    if not count:
        return Finding("constant images", FINE, f"None among {total}.", figures={"count": 0})
    share = max(len(names[part]) / sum(map(len, sets)) for part, sets in parts.items())
    return Finding(
        "constant images",
        FAKE if share >= SHARE else WARNING,
        f"{count} of {total} images have pixels of one value alone: {_some([*names['training'], *names['test']])}.",
        "Move them out: masks among the images, or failed exposures?",
        {"count": count, "share_of_a_part": share, "names": names},
        rows[:3],
    )


def masks(found: Found, splits: Splits, *, progress: bool | None = None) -> Finding | None:
    """Masks that mark nothing or nearly everything, and masks of images that are not abnormal.

    Returns:
        None where there is no mask.
    """
    test = splits.test
    found_masks = ((int(i), test.mask(int(i))) for i in np.flatnonzero(test.labels == 1))
    share = {i: float(mask.mean()) for i, mask in found_masks if mask is not None}
    if not share and not found.spare_masks:
        return None
    empty = [i for i, marked in share.items() if marked == 0]
    full = [i for i, marked in share.items() if marked > _MARKED]
    marks = in_threads(_marks, found.spare_masks, what="masks", progress=progress)
    spare = [str(path) for path, bad in zip(found.spare_masks, marks, strict=True) if bad]
    wrong = {
        "mark nothing": [test.items[i].name for i in empty],
        f"mark more than {_MARKED:.0%} of the image": [test.items[i].name for i in full],
        "mark something and belong to no abnormal image": spare,
    }
    figures = {"masks": len(share), "wrong": wrong}
    if not any(wrong.values()):
        return Finding("masks", FINE, f"All {len(share)} masks mark a part of their image.", figures=figures)
    text = " ".join(f"{len(names)} {what}: {_some(names)}." for what, names in wrong.items() if names)
    remedy = "Pixel figures count such masks as they are: correct them, or leave the masks out."
    rows = [
        [Shown(test.items[i].name, test[i]["image"].numpy(), f"mask marks {share[i]:.1%}")] for i in (*empty, *full)[:3]
    ]
    return Finding("masks", WARNING, text, remedy, figures, rows)


def _marks(path: Path) -> bool:
    try:
        return bool(decode_mask(path, _SMALL).any())
    except UserError:
        return True  # what cannot be read is said to be wrong as well


def _some(names: Sequence[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
