"""Which mask belongs to which image: by the path below a folder of masks, or beside the image.

A mask has its image's path below the folder of masks, with any suffix, and its name may have an ending such as "_mask"
or "_gt"; capitals count only where two masks differ by them alone. Beside its image a mask needs the ending.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path, PurePath

from unblot.data.items import ABNORMAL, Source
from unblot.data.meaning import mask_of
from unblot.data.pixels import in_threads, lossy
from unblot.errors import UserError

__all__ = ["RULE", "Masks", "beside", "said_of_masks", "spare_masks"]

RULE = (
    "a mask has its image's path below the folder, with any suffix, its name optionally ending in _mask, _gt, _label "
    "or "
    "_seg"
)


class Masks:
    """The masks in one folder.

    Args:
        folder: of masks.
        files: those in it, at any depth.

    Attributes:
        folder, files: as given.
    """

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self.folder, self.files = folder, list(files)
        self._levels: list[dict[str, Path]] = [{} for _ in range(4)]
        for path in sorted(self.files, key=lambda p: mask_of(p.stem) is None):  # an ending goes before none
            for level, key in zip(self._levels, _keys(path.relative_to(folder)), strict=True):
                level.setdefault(key, path)

    def of(self, image: PurePath) -> Path | None:
        """The mask of an image, by the image's path below the folder that its masks mirror."""
        stem = image.with_suffix("").as_posix()
        keys = (stem, stem, stem.casefold(), stem.casefold())
        return next((level[key] for level, key in zip(self._levels, keys, strict=True) if key in level), None)

    def spare(self, used: Container[Path | None], images: Iterable[PurePath]) -> tuple[list[Path], list[Path]]:
        """Masks that are not used: those whose name fits an image all the same, and those that fit none.

        Args:
            used: masks that an image has.
            images: paths of images below the folder that the masks mirror.
        """
        stems = {image.with_suffix("").as_posix().casefold() for image in images}
        left = [path for path in self.files if path not in used]
        fitting = [p for p in left if stems & {key.casefold() for key in _keys(p.relative_to(self.folder))}]
        return fitting, [path for path in left if path not in set(fitting)]


def _keys(below: PurePath) -> tuple[str, str, str, str]:
    """Names of the image that a mask may be of, the likeliest first."""
    stem = below.with_suffix("")
    full, bare = stem.as_posix(), stem.with_name(mask_of(stem.name) or stem.name).as_posix()
    return bare, full, bare.casefold(), full.casefold()


def spare_masks(
    given: Iterable[tuple[Masks, Path]], sources: Sequence[Source]
) -> tuple[list[Path], list[Path], list[Path]]:
    """Masks that no image has: those whose name fits none, those of abnormal images that have another, and all.

    Args:
        given: masks, each with the folder of images that they mirror.
        sources: all images, with the masks that they have.
    """
    used = {s.mask for s in sources}
    unused, second, every = list[Path](), list[Path](), list[Path]()
    for masks, folder in given:
        files = [(s.item.label, s.image) for s in sources if isinstance(s.image, Path)]
        below = [(label, file.relative_to(folder)) for label, file in files if file.is_relative_to(folder)]
        second += masks.spare(used, [path for label, path in below if label == ABNORMAL])[0]
        fitting, none = masks.spare(used, [path for _, path in below])
        unused += none
        every += sorted([*fitting, *none], key=masks.files.index)
    return unused, second, every


def beside(images: Sequence[Path]) -> dict[Path, Path]:
    """Masks that lie beside their images, by image: a file named as the mask of another one in the same folder."""
    there = {path.with_suffix(""): path for path in images}
    named = ((path, mask_of(path.stem)) for path in images)
    return {there[path.with_name(of)]: path for path, of in named if of and path.with_name(of) in there}


def said_of_masks(
    sources: Sequence[Source], unused: Sequence[Path], second: Sequence[Path], near: Sequence[Path]
) -> list[str]:
    """Sentences that the user must see.

    Args:
        sources: all images.
        unused: masks whose name fits no image.
        second: further masks of images that have one.
        near: masks that lay among the images.
    """
    said = []
    if near:
        said.append(
            f"{len(near)} files lie beside images and are named as their masks: {_some(near)}; they are read as masks, "
            "not as images. Rename those that are images"
        )
    if unused:
        said.append(f"{len(unused)} masks belong to no image and are not used: {_some(unused)}; {RULE}")
    if second:
        said.append(f"{len(second)} images have a second mask, which is not used: {_some(second)}; leave one of each")
    abnormal = [s for s in sources if s.item.label == ABNORMAL]
    bare = [s.item.name for s in abnormal if s.mask is None]
    if bare and len(bare) < len(abnormal):
        names = ", ".join(bare[:3]) + (", …" if len(bare) > 3 else "")
        said.append(
            f"{len(bare)} of {len(abnormal)} abnormal images have no mask and are left out of the pixel metrics: "
            f"{names}"
        )
    blurred = _lossy([s.mask for s in abnormal if s.mask])
    if blurred:
        said.append(
            f"{len(blurred)} masks are in a lossy format, which changes pixels at the edges of a defect: "
            f"{_some(blurred)}; a pixel counts as marked from half of 255. Save masks as PNG"
        )
    return said


def _lossy(masks: Sequence[Path]) -> list[Path]:
    def is_lossy(path: Path) -> bool:
        try:
            return lossy(path)
        except UserError:
            return False  # what cannot be read is named where it is read

    found = in_threads(is_lossy, masks, what="masks", progress=False)
    return [path for path, bad in zip(masks, found, strict=True) if bad]


def _some(paths: Sequence[Path]) -> str:
    return ", ".join("/".join(p.parts[-2:]) for p in paths[:3]) + (", …" if len(paths) > 3 else "")
