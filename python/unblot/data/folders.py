"""Images in folders: plain folders of normal and abnormal images, and files and folders given one by one.

:mod:`unblot.data.mvtec` reads the MVTec AD layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from unblot.data import mvtec
from unblot.data.config import DataConfig
from unblot.data.items import ABNORMAL, NORMAL, UNKNOWN, Found, Item, Source
from unblot.data.listing import ARCHIVES, Passed, list_images, no_images
from unblot.data.masks import RULE, Masks, beside, said_of_masks, spare_masks
from unblot.data.meaning import may_be_normal, means_abnormal
from unblot.data.own import without_own
from unblot.errors import UserError

__all__ = ["find", "sources_of"]


def find(config: DataConfig) -> Found:
    """The images of a folder, by MVTec AD layout or by the folders named normal and abnormal."""
    root = Path(config.data)
    if config.normal or config.abnormal:
        return _plain(config, root)
    if config.masks:
        raise UserError(
            "masks belongs to folders given with normal and abnormal; the MVTec AD layout has ground_truth/"
        )
    return mvtec.find(root)


def sources_of(paths: Iterable[str | Path], passed: Passed | None = None) -> list[Source]:
    """Images of unknown label from files (of any suffix) and folders, each file once.

    Args:
        paths: files and folders.
        passed: counts what lies in the folders and is not used.

    Raises:
        UserError: a path that does not exist, or a folder without images.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found |= dict.fromkeys(list_images(path, passed) if path.is_dir() else [path])
    if missing := [str(p) for p in found if not p.is_file()]:
        raise UserError(f"no such file or folder: {', '.join(missing[:5])}")
    if archives := [str(p) for p in found if p.suffix.lower() in ARCHIVES]:
        raise UserError(f"archives are not opened: {', '.join(archives[:5])}; unpack them and give the folder")
    images, own = without_own(found)
    if own and not images:
        raise UserError(f"nothing to look at: all {own} pictures given are heat maps or previews that unblot wrote")
    return [Source(Item(p.as_posix(), UNKNOWN, "unknown", group=p.as_posix()), p) for p in images]


def _plain(config: DataConfig, root: Path) -> Found:
    if not config.normal:
        raise UserError("folders of abnormal images were given, but none of normal images; add --normal DIR")
    normal, abnormal, masks = (
        [_inside(root, given) for given in names] for names in (config.normal, config.abnormal, config.masks)
    )
    base = _base(root.resolve(), normal + abnormal)
    passed, pool, near, doubts = Passed(), dict[Path, Source](), list[Path](), list[str]()
    all_masks = _masks(abnormal, masks, passed)
    for label, folder, mask_of in (
        *((NORMAL, folder, None) for folder in normal),
        *((ABNORMAL, folder, found) for folder, found in zip(abnormal, all_masks, strict=True)),
    ):
        files = list_images(folder, passed, empty=True)
        by_image = beside(files)
        near += by_image.values()
        for path in sorted(set(files) - set(by_image.values()), key=files.index):
            if path in pool:
                raise UserError(f"{path} was found twice; the folders given as normal and abnormal must not overlap")
            below = path.relative_to(folder)
            defect = below.parts[0] if len(below.parts) > 1 else folder.name
            kind = defect if label == ABNORMAL else "normal"
            mask = (mask_of and mask_of.of(below)) or by_image.get(path) if label == ABNORMAL else None
            name = path.relative_to(base).as_posix()
            pool[path] = Source(Item(name, label, kind, group=name), path, mask)
        doubts += _doubtful(folder, label, files)
    sources = list(pool.values())
    if not any(s.item.label == NORMAL for s in sources):
        raise no_images(normal[0], passed)
    if masks and abnormal and any(s.item.label for s in sources) and not any(s.mask for s in sources):
        raise UserError(f"no mask in {', '.join(config.masks)} belongs to an abnormal image; {RULE}")
    given = [(found, folder) for found, folder in zip(all_masks, abnormal, strict=True) if found]
    unused, second, spare = spare_masks(given, sources)
    warnings = [*doubts, *said_of_masks(sources, unused, second, near)]
    return Found(root.resolve().name, sources, spare_masks=spare, passed=passed, warnings=warnings)


def _inside(root: Path, given: str) -> Path:
    return (root / given if (root / given).is_dir() else Path(given)).resolve()


def _base(root: Path, folders: list[Path]) -> Path:
    """What names are relative to: ``root``, or where folders lie outside it, the folder that holds them all."""
    if all(f.is_relative_to(root) for f in folders):
        return root
    try:
        return Path(os.path.commonpath([f.parent for f in folders]))
    except ValueError as error:
        raise UserError(f"folders must lie on one drive: {', '.join(map(str, folders))}") from error


def _masks(abnormal: list[Path], masks: list[Path], passed: Passed) -> list[Masks | None]:
    """The masks of each abnormal folder: from a folder each, or from folders of the same names within one."""

    def read(folder: Path) -> Masks:
        return Masks(folder, list_images(folder, passed, empty=True))

    if not masks:
        return [None for _ in abnormal]
    if len(masks) == len(abnormal):
        return [read(folder) for folder in masks]
    if len(masks) == 1:
        return [read(masks[0] / folder.name) for folder in abnormal]
    raise UserError(
        f"{len(masks)} folders of masks for {len(abnormal)} folders of abnormal images; give one for each, in the same "
        "order, or a single one with a folder of the same name for each"
    )


def _doubtful(folder: Path, label: int, files: list[Path]) -> list[str]:
    """A question where a folder's name, or that of one in it, says the opposite of what it was given as."""
    opposite = means_abnormal if label == NORMAL else may_be_normal
    inner = {path.relative_to(folder).parts[:-1] for path in files}
    odd = sorted({"/".join((folder.name, *parts)) for parts in inner if any(map(opposite, (folder.name, *parts)))})
    if not odd:
        return []
    given, sounds = ("normal", "abnormal") if label == NORMAL else ("abnormal", "normal")
    return [
        f"{', '.join(odd[:3])}{', …' if len(odd) > 3 else ''} was given as {given}, but sounds like {sounds} images: "
        "are "
        "--normal and --abnormal what you mean?"
    ]
