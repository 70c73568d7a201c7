"""Images in folders: the MVTec AD layout, plain folders of normal and abnormal images, and the listing of files.

MVTec AD: ``train/good``, ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/<stem>_mask.png``. Its test part is
kept as it is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unblot.data.config import DataConfig
from unblot.data.items import ABNORMAL, NORMAL, UNKNOWN, Found, Item, Source
from unblot.data.own import without_own
from unblot.data.pixels import ARCHIVES, SUFFIXES
from unblot.errors import UserError

__all__ = ["find", "list_images", "sources_of"]


def find(config: DataConfig) -> Found:
    """The images of a folder, by MVTec AD layout or by the folders named normal and abnormal."""
    root = Path(config.data)
    if config.normal or config.abnormal:
        return _plain(config, root)
    if config.masks:
        raise UserError(
            "masks belongs to folders given with normal and abnormal; the MVTec AD layout has ground_truth/"
        )
    return _mvtec(root)


def list_images(folder: Path) -> list[Path]:
    """Image files below ``folder``, sorted by path; hidden files and folders are passed over, and so are heat maps and
    other pictures that this program wrote there.

    Raises:
        UserError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    files = [
        p for p in folder.rglob("*") if p.is_file() and not any(x.startswith(".") for x in p.relative_to(folder).parts)
    ]
    images, own = without_own(p for p in files if p.suffix.lower() in SUFFIXES)
    if images:
        return sorted(images, key=lambda p: p.relative_to(folder).as_posix())
    if own:
        raise UserError(f"no images in {folder}, only {own} pictures that unblot wrote (heat maps, previews)")
    others = Counter(p.suffix or p.name for p in files).most_common(3)
    held = ", ".join(f"{n} {suffix}" for suffix, n in others) if others else "it is empty"
    raise UserError(f"no images in {folder} ({held}); accepted: {', '.join(SUFFIXES)}")


def sources_of(paths: Iterable[str | Path]) -> list[Source]:
    """Images of unknown label from files (of any suffix) and folders, each file once.

    Raises:
        UserError: a path that does not exist, or a folder without images.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found |= dict.fromkeys(list_images(path) if path.is_dir() else [path])
    if missing := [str(p) for p in found if not p.is_file()]:
        raise UserError(f"no such file or folder: {', '.join(missing[:5])}")
    if archives := [str(p) for p in found if p.suffix.lower() in ARCHIVES]:
        raise UserError(f"archives are not opened: {', '.join(archives[:5])}; unpack them and give the folder")
    images, own = without_own(found)
    if own and not images:
        raise UserError(f"nothing to look at: all {own} pictures given are heat maps or previews that unblot wrote")
    return [_source(p, p.as_posix(), UNKNOWN, "unknown") for p in images]


def _mvtec(root: Path) -> Found:
    good = root / "train" / "good"
    if not good.is_dir():
        inside = sorted(p.name for p in root.iterdir())
        held = ", ".join(inside[:8]) + (", …" if len(inside) > 8 else "")
        raise UserError(
            f"{root} has no folder train/good (it holds: {held or 'nothing'}). Either arrange it as MVTec AD "
            "(train/good, test/good, test/<defect>, ground_truth/<defect>), or name the folders: "
            "--normal DIR --abnormal DIR"
        )
    train = [_source(p, p.relative_to(root).as_posix(), NORMAL, "good") for p in list_images(good)]
    if not (root / "test").is_dir():
        return Found(root.resolve().name, train, notes=["no folder test: its normal images are taken from train/good"])
    truth = root / "ground_truth"
    masks = _by_stem(truth) if truth.is_dir() else {}
    test = []
    for path in list_images(root / "test"):
        kind, *rest = path.relative_to(root / "test").parts
        if not rest:
            raise UserError(
                f"{path} lies in no folder of test/; normal images belong in test/good, others in test/<defect>"
            )
        label = NORMAL if kind == "good" else ABNORMAL
        stem = path.relative_to(root / "test").with_suffix("").as_posix()
        test.append(_source(path, path.relative_to(root).as_posix(), label, kind, masks.get(stem) if label else None))
    name = f"{root.resolve().name} (MVTec AD layout)"
    return Found(name, train, test, spare_masks=_spare(masks.values(), test), warnings=_without_mask(test))


def _plain(config: DataConfig, root: Path) -> Found:
    if not config.normal:
        raise UserError("folders of abnormal images were given, but none of normal images; add --normal DIR")
    normal, abnormal, masks = (
        [_inside(root, given) for given in names] for names in (config.normal, config.abnormal, config.masks)
    )
    base = _base(root.resolve(), normal + abnormal)
    pool: dict[Path, Source] = {}
    all_masks = _masks(abnormal, masks)
    for label, folder, mask_of in (
        *((NORMAL, folder, {}) for folder in normal),
        *((ABNORMAL, folder, found) for folder, found in zip(abnormal, all_masks, strict=True)),
    ):
        for path in list_images(folder):
            if path in pool:
                raise UserError(f"{path} was found twice; the folders given as normal and abnormal must not overlap")
            below = path.relative_to(folder)
            defect = below.parts[0] if len(below.parts) > 1 else folder.name
            pool[path] = _source(
                path,
                path.relative_to(base).as_posix(),
                label,
                defect if label == ABNORMAL else "normal",
                mask_of.get(below.with_suffix("").as_posix()),
            )
    sources = list(pool.values())
    if masks and not any(s.mask for s in sources):
        raise UserError(
            f"no mask in {', '.join(config.masks)} belongs to an abnormal image; a mask has its image's path below the "
            "folder, with any suffix, its name optionally ending in _mask"
        )
    spare = _spare((mask for found in all_masks for mask in found.values()), sources)
    return Found(root.resolve().name, sources, spare_masks=spare, warnings=_without_mask(sources))


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


def _masks(abnormal: list[Path], masks: list[Path]) -> list[dict[str, Path]]:
    """The masks of each abnormal folder: from a folder each, or from folders of the same names within one."""
    if not masks:
        return [{} for _ in abnormal]
    if len(masks) == len(abnormal):
        return [_by_stem(folder) for folder in masks]
    if len(masks) == 1:
        return [_by_stem(masks[0] / folder.name) for folder in abnormal]
    raise UserError(
        f"{len(masks)} folders of masks for {len(abnormal)} folders of abnormal images; give one for each, in the same "
        "order, or a single one with a folder of the same name for each"
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    """Mask files by their path below ``folder``, without suffix and "_mask"."""
    return {p.relative_to(folder).with_suffix("").as_posix().removesuffix("_mask"): p for p in list_images(folder)}


def _spare(masks: Iterable[Path], sources: Iterable[Source]) -> list[Path]:
    """Those of the masks that no image has."""
    used = {s.mask for s in sources}
    return [mask for mask in masks if mask not in used]


def _without_mask(sources: Iterable[Source]) -> list[str]:
    abnormal = [s for s in sources if s.item.label == ABNORMAL]
    bare = [s.item.name for s in abnormal if s.mask is None]
    if not bare or len(bare) == len(abnormal):
        return []
    names = ", ".join(bare[:3]) + (", …" if len(bare) > 3 else "")
    return [
        f"{len(bare)} of {len(abnormal)} abnormal images have no mask and are left out of the pixel metrics: {names}"
    ]


def _source(path: Path, name: str, label: int, kind: str, mask: Path | None = None) -> Source:
    return Source(Item(name, label, kind, group=name), path, mask)
