"""How the pixels of a run's images were read, and what these images were like.

A detector knows images as they were read for its training: which value of a 16-bit file is white, what shows through
where an image is transparent, how an image that is no square was fitted to one. A run keeps that, and so does its ONNX
file, so that a new image is read in the same way; and where a new image is of another kind than those of the training,
it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from unblot.data.fitting import FITS, STRETCH, TILE, Box, inside
from unblot.data.tiling import Tiling
from unblot.errors import UserError

__all__ = ["BEFORE", "DEPTHS", "Facts", "Reading", "bits_for", "pages_said"]

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of a value that cameras have; what is found is one of these."""

_BLACK, _DROP = "black", "drop"
_SHOWN = {
    "stretch": "they are stretched to the same square",
    "pad": "they are shown at another scale or with other margins",
    "crop": "they are shown at another scale, or more of them is cut away",
    "tile": "their tiles do not lie where those of the training images lay",
}
_LONG = 1 << 20  # side at which an aspect is exact enough
_ROOM = 0.05  # so much smaller or larger than those of the training an image may be without a word


@dataclass(frozen=True, slots=True)
class Facts:
    """What reading one image showed.

    Attributes:
        width, height: in pixels, upright.
        deep: its file holds more than 8 bits per value.
        gray: its file holds one channel.
        coloured: its pixels have colours.
        transparent: some of its pixels are transparent.
        pages: images in the file; the first is read.
        clipped: some values lie above the white of the reading.
    """

    width: int
    height: int
    deep: bool = False
    gray: bool = False
    coloured: bool = False
    transparent: bool = False
    pages: int = 1
    clipped: bool = False


@dataclass(frozen=True)
class Reading:
    """How images are read, and what those of the training were like.

    Attributes:
        bits: of a value in files of more than 8 bits: 2 ** bits - 1 is white. None: 16.
        alpha: "black": transparent pixels are laid over black. "drop": their hidden colours show (runs of before).
        fit: how an image becomes a square: "stretch", "pad" or "crop" (:mod:`unblot.data.fitting`), or squares: "tile".
        tile: side of a tile in pixels of the image, for "tile" alone.
        overlap: least share by which tiles overlap, for "tile" alone.
        depths: bits that the training images' files hold for a value, 8 or 16, or both.
        gray: whether a training image held one channel or no colours; None: not known, as all that follows.
        coloured: whether a training image had colours.
        transparent: whether a training image had transparent pixels.
        width, height, aspect: smallest and largest of the training images; aspect is width / height.

    Example:
        >>> Reading(bits=12).white
        4095
    """

    bits: int | None = None
    alpha: str = _BLACK
    fit: str = STRETCH
    tile: int | None = None
    overlap: float | None = None
    depths: tuple[int, ...] = ()
    gray: bool | None = None
    coloured: bool | None = None
    transparent: bool | None = None
    width: tuple[int, int] | None = None
    height: tuple[int, int] | None = None
    aspect: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UserError(f"bits must be 8 to 16, the bits of a value that the camera uses; got {self.bits}")
        if self.alpha not in (_BLACK, _DROP):
            raise UserError(f"alpha must be {_BLACK} or {_DROP}, got {self.alpha!r}")
        if self.fit not in FITS:
            raise UserError(f"fit must be {', '.join(FITS[:-1])} or {FITS[-1]}; got {self.fit!r}")
        if (self.fit == TILE) != (self.tile is not None and self.overlap is not None):
            raise UserError(f"fit {TILE} needs a tile and an overlap, others none; got {self.tile}, {self.overlap}")
        _ = self.tiling  # refuses numbers that cannot be

    @property
    def white(self) -> int:
        """The value of a file of more than 8 bits that becomes 255."""
        return int(2 ** (self.bits or 16) - 1)

    def learnt(self, facts: Sequence[Facts]) -> Reading:
        """The same reading with what its training images were like."""
        if not facts:
            return self

        def span(of: Callable[[Facts], Any]) -> Any:
            return min(map(of, facts)), max(map(of, facts))

        return Reading(
            self.bits,
            self.alpha,
            self.fit,
            self.tile,
            self.overlap,
            depths=tuple(sorted({16 if f.deep else 8 for f in facts})),
            gray=any(f.gray or not f.coloured for f in facts),
            coloured=any(f.coloured for f in facts),
            transparent=any(f.transparent for f in facts),
            width=span(lambda f: f.width),
            height=span(lambda f: f.height),
            aspect=span(lambda f: f.width / f.height),
        )

    @property
    def tiling(self) -> Tiling | None:
        """How images are cut into tiles; None where they are not."""
        return None if self.tile is None or self.overlap is None else Tiling(self.tile, self.overlap)

    def shown(self, size: int) -> Box:
        """The part of the square of side ``size`` that shows something of a training image; the rest is filled in all
        of them.

        Example:
            >>> Reading(fit="pad").learnt([Facts(400, 100), Facts(400, 200)]).shown(64)
            Box(left=0, top=16, right=64, bottom=48)
        """
        if self.aspect is None:
            return Box(0, 0, size, size)
        squarest = min(max(1.0, self.aspect[0]), self.aspect[1])
        return inside(self.fit, round(squarest * _LONG), _LONG, size)

    def differences(self, images: Iterable[tuple[str, Facts]]) -> list[str]:
        """Sentences on images that are of another kind than those trained on; empty where all are alike.

        Args:
            images: their names and what reading them showed.
        """
        images = list(images)
        return [said for check in (_shape, _colour, _depth, _clipped, _transparent) if (said := check(self, images))]

    def to_dict(self) -> dict[str, Any]:
        """JSON values by field name."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The inverse of :meth:`to_dict`; names of a newer version are passed over.

        Raises:
            UserError: a value that cannot be.
        """
        known = {f.name for f in fields(cls)}
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**given)


BEFORE = Reading(alpha=_DROP)
"""How images were read for runs and files that keep no reading of their own."""


def bits_for(highest: int) -> int:
    """The fewest usual bits that hold a value.

    Example:
        >>> bits_for(4095), bits_for(4096)
        (12, 14)
    """
    return next(bits for bits in DEPTHS if highest < 2**bits)


def pages_said(images: Iterable[tuple[str, Facts]]) -> list[str]:
    """A sentence where files hold several images."""
    images = list(images)
    odd = [(name, f.pages) for name, f in images if f.pages > 1]
    if not odd:
        return []
    return [
        f"{_count(odd, images)} hold several pages, of which the first is read and the others are not: "
        f"{_some(f'{name} ({pages})' for name, pages in odd)}; save each page as a file of its own"
    ]


def _shape(trained: Reading, images: list[tuple[str, Facts]]) -> str:
    if trained.width is None or trained.height is None or trained.aspect is None:
        return ""
    spans = (trained.width, trained.height, trained.aspect)

    def fits(f: Facts) -> bool:
        values = (f.width, f.height, f.width / f.height)
        return all(low * (1 - _ROOM) <= v <= high * (1 + _ROOM) for v, (low, high) in zip(values, spans, strict=True))

    odd = [f"{name} ({f.width} x {f.height})" for name, f in images if not fits(f)]
    if not odd:
        return ""
    (w, width), (h, height) = trained.width, trained.height
    was = f"{w} x {h}" if (w, h) == (width, height) else f"{w} to {width} x {h} to {height}"
    return (
        f"{_count(odd, images)} are of another shape or size than the training images ({was}, width x height): "
        f"{_some(odd)}; {_SHOWN[trained.fit]}, and their scores may mean little"
    )


def _colour(trained: Reading, images: list[tuple[str, Facts]]) -> str:
    said = []
    if trained.coloured is False and (odd := [name for name, f in images if f.coloured]):
        said.append(f"{_count(odd, images)} have colours, which no training image had: {_some(odd)}")
    if trained.gray is False and (odd := [name for name, f in images if f.gray]):
        said.append(f"{_count(odd, images)} are gray, the training images have colours: {_some(odd)}")
    return "; ".join(said)


def _depth(trained: Reading, images: list[tuple[str, Facts]]) -> str:
    odd = [name for name, f in images if trained.depths and (16 if f.deep else 8) not in trained.depths]
    if not odd:
        return ""
    if trained.depths == (8,):
        return (
            f"{_count(odd, images)} hold more than 8 bits per value, the training images 8: {_some(odd)}; "
            f"{trained.white} is "
            "taken for white. Convert them as the training images were"
        )
    return (
        f"{_count(odd, images)} hold 8 bits per value, the training images more, with {trained.white} for white: "
        f"{_some(odd)}; 255 is taken for white. Take them as the training images were taken"
    )


def _clipped(trained: Reading, images: list[tuple[str, Facts]]) -> str:
    odd = [name for name, f in images if f.clipped]
    if not odd:
        return ""
    return (
        f"{_count(odd, images)} hold values above {trained.white}, which is white here ({trained.bits or 16} bits), "
        "and they "
        f"are cut there: {_some(odd)}; if the camera uses more bits, train again with --bits"
    )


def _transparent(trained: Reading, images: list[tuple[str, Facts]]) -> str:
    odd = [name for name, f in images if trained.transparent is False and f.transparent]
    if not odd:
        return ""
    shown = "is laid over black" if trained.alpha == _BLACK else "shows its hidden colours"
    return (
        f"{_count(odd, images)} have transparent pixels, which no training image had: {_some(odd)}; what is "
        "transparent "
        f"{shown}"
    )


def _count(odd: Sequence[object], images: Sequence[object]) -> str:
    return f"{len(odd)} of {len(images)} images"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
