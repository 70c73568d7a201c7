"""Magnetic tile defects (github.com/abin24/Magnetic-tile-defect-datasets.): 952 defect-free and 392 defective images
with masks.

Folders ``MT_Free``, ``MT_Blowhole``, ``MT_Break``, ``MT_Crack``, ``MT_Fray``, ``MT_Uneven``, each with ``Imgs/*.jpg``
and a mask ``*.png`` of the same stem. Names are ``exp<E>_num_<N>``: each tile was photographed under six exposures E,
and numbers N of one capture lie close together. So numbers within 200 of each other, over all images, are one group:
202 groups (150 if only defect-free images are looked at).
"""

from __future__ import annotations

from pathlib import Path

from unblot.data.classes import choose_classes
from unblot.data.config import DataConfig
from unblot.data.items import Found, Item, Source
from unblot.data.listing import list_images
from unblot.errors import UserError

__all__ = ["GROUP", "GROUP_GAP", "find"]

GROUP, GROUP_GAP = r"exp\d+_num_(\d+)", 200


def find(config: DataConfig) -> Found:
    """All kinds of defect are abnormal unless some are named; masks are pixel ground truth."""
    if config.root is None:
        raise UserError("magnetic-tile needs --root DIR: the folder that holds MT_Free, MT_Blowhole, …")
    root = Path(config.root)
    kinds = {p.name.removeprefix("MT_"): p for p in sorted(root.glob("MT_*")) if p.is_dir()}
    if "Free" not in kinds or len(kinds) < 2:
        raise UserError(
            f"{root} does not hold the magnetic tile set: MT_Free and at least one of MT_Blowhole, MT_Break, MT_Crack, "
            "MT_Fray, MT_Uneven must be there. It is at github.com/abin24/Magnetic-tile-defect-datasets."
        )
    normal, abnormal = choose_classes(list(kinds), config.normal or ("Free",), config.abnormal)
    pool, spare = [], []
    for kind in (*normal, *abnormal):
        for path in (p for p in list_images(kinds[kind] / "Imgs") if p.suffix.lower() != ".png"):
            name, label, mask = path.relative_to(root).as_posix(), int(kind in abnormal), path.with_suffix(".png")
            if label and not mask.is_file():
                raise UserError(f"{path} has no mask {mask.name} beside it; get the file again or move the image out")
            pool.append(Source(Item(name, label, kind, group=name), path, mask if label else None))
            spare += [mask] if mask.is_file() and not label else []  # they mark nothing, if all is well
    return Found("magnetic-tile", pool, group=GROUP, group_gap=GROUP_GAP, spare_masks=spare)
