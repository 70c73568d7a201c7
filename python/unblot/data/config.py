"""What the user asked for about data: one value that a run stores and reads back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from unblot.data.fitting import FITS, STRETCH, TILE
from unblot.data.groups import check_rule
from unblot.data.tiling import OVERLAP, Tiling
from unblot.data.tiling import TILE as SIDE
from unblot.errors import UserError

__all__ = ["DataConfig"]


@dataclass(frozen=True)
class DataConfig:
    """Which images, at what size, and how they are split.

    Attributes:
        data: a named data set ("digits", "cifar10", "fashion-mnist", "magnetic-tile") or a
            folder.
        root: where a named data set lies (or is downloaded to).
        normal: classes of a named data set, or folders of normal images (looked for inside ``data`` first).
        abnormal: the same for abnormal images.
        masks: folders of pixel masks, one for each of ``abnormal`` in the same order, or one with a folder of the same
            name for each; a mask has its image's path below the folder, with any suffix, optionally "_mask" before it.
        fit: how an image that is no square becomes one: "stretch" squeezes it, "pad" fills margins, "crop" cuts them
            away (:mod:`unblot.data.fitting`). "tile" cuts it into squares (:mod:`unblot.data.tiling`).
        tile: side of a tile in pixels of the image, for "tile" alone: a multiple of 4, at least 32. None: 512.
        overlap: least share of its side by which a tile overlaps the next one, for "tile" alone: 0 to 0.75. None: 0.25.
        size: height and width in pixels that every image, or every tile, is resized to. None: what the images have
            (:func:`~unblot.data.native_size`), or the side of a tile.
        channels: 1 (grayscale), 3 (RGB) or None: found from the training images.
        bits: of a value in files of more than 8 bits (such as a 12-bit camera's 16-bit PNG), 8 to 16: 2 ** bits - 1 is
            white. None: found from the training images.
        group: rule for the physical part or capture session that an image shows: a regular expression searched in its
            relative path (what it captures names the group), "folder:N", a .csv file, or "none" for every image its
            own (:mod:`unblot.data.groups`). None: the data set's own rule, or every image its own where it has none.
        group_gap: the last capture of ``group`` is a number, and numbers at most this far apart are one group.
        held_out: share of the training normals kept out of training, for the threshold; in [0, 1). None, 0, is
            for few images and detectors that leave groups out by themselves (``memory``, ``subspace``, ``auto``).
        test: share of the normals for testing where the data set has no test split of its own; in (0, 1).
        split_seed: seed of every random split.
        limit: at most so many training images.
        test_limit: at most so many test images, drawn with the test part's shares of normal and abnormal ones.

    Raises:
        UserError: a value out of range, or a rule of grouping that can hold for no image.

    Example:
        >>> DataConfig("digits", abnormal=("3",), size=16).to_dict()["abnormal"]
        ['3']
    """

    data: str = "digits"
    root: str | None = None
    normal: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    fit: str = STRETCH
    tile: int | None = None
    overlap: float | None = None
    size: int | None = None
    channels: int | None = None
    bits: int | None = None
    group: str | None = None
    group_gap: int | None = None
    held_out: float = 0.1
    test: float = 0.2
    split_seed: int = 0
    limit: int | None = None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("normal", "abnormal", "masks"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(map(str, value)))
        if not self.data:
            raise UserError("data is empty; give the name of a data set or a folder")
        if self.fit not in FITS:
            raise UserError(f"fit must be {', '.join(FITS[:-1])} or {FITS[-1]}; got {self.fit!r}")
        if self.fit == TILE:
            tiling = Tiling(SIDE if self.tile is None else self.tile, OVERLAP if self.overlap is None else self.overlap)
            size = tiling.tile if self.size is None else self.size
            for name, value in (("tile", tiling.tile), ("overlap", tiling.overlap), ("size", size)):
                object.__setattr__(self, name, value)
        elif self.tile is not None or self.overlap is not None:
            raise UserError(f"tile and overlap belong to fit {TILE!r}, but fit is {self.fit!r}; add --fit {TILE}")
        if self.size is not None and self.size < 1:
            raise UserError(f"size must be at least 1 pixel, or left out, got {self.size}")
        if self.channels not in (None, 1, 3):
            raise UserError(f"channels must be 1 (grayscale) or 3 (RGB), or left out, got {self.channels}")
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UserError(
                f"bits must be 8 to 16, the bits of a value that the camera uses, or left out; got {self.bits}"
            )
        if not 0 < self.test < 1:
            raise UserError(f"test is a share between 0 and 1 (both excluded), got {self.test}")
        if not 0 <= self.held_out < 1:
            raise UserError(f"held_out is a share from 0 (none is held out) to below 1, got {self.held_out}")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit must be at least 1 image, got {self.limit}")
        if self.test_limit is not None and self.test_limit < 2:
            raise UserError(f"test_limit must be at least 2 images, one normal, one abnormal; got {self.test_limit}")
        if self.group is not None:
            check_rule(self.group)
        if self.group_gap is not None and self.group_gap < 0:
            raise UserError(f"group_gap must not be negative, got {self.group_gap}")

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataConfig:
        """The inverse of :meth:`to_dict`; missing fields take their defaults.

        Raises:
            UserError: a name that is no field.
        """
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise UserError(f"unknown data setting {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**values)
