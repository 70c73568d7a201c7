"""A list of images as a torch data set of uint8 pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from copy import copy
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from unblot.data.decoded import CACHE_BYTES, Decoded, decode_one, in_one_array
from unblot.data.fitting import PAD, fitted_mask, inside
from unblot.data.items import ABNORMAL, NORMAL, Source
from unblot.data.pixels import decode, in_threads, read_mask, whole
from unblot.data.reading import Facts, Reading
from unblot.data.tileset import TileSet
from unblot.data.tiling import cells

__all__ = ["CACHE_BYTES", "ImageSet"]

_Values = TypeVar("_Values", bound=np.generic)


class ImageSet(Dataset[dict[str, Any]]):
    """Images of one size, in a fixed order.

    All images are decoded and resized once, when the set is built, if they fit into ``cache_bytes``; else each is
    decoded when it is asked for. The pixels are the same. (:mod:`unblot.data.fitting` says how images are resized.)

    Args:
        sources: the images.
        channels: 1 or 3.
        size: height and width in pixels.
        reading: how the images are read; None takes 65535 of a 16-bit file for white.
        decoded: what is known of the images already, in their order; None decodes them.
        cache_bytes: most memory that the decoded images may take.
        progress: None shows a progress bar where stderr is a terminal and there are many images, True always, False
            never.

    Attributes:
        items: names, labels, kinds and groups, in order.
        channels, size, reading: as given.
        warnings: sentences that the user must see, where the images were looked for (:func:`unblot.data.load_paths`).

    Raises:
        UserError: an image that cannot be read.

    Example:
        >>> import numpy as np
        >>> from unblot.data.items import Item
        >>> black = Source(Item("a", label=0, kind="good", group="part 1"), np.zeros((8, 8), np.uint8))
        >>> ImageSet([black], channels=1, size=4)[0]["image"].shape
        torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        channels: int,
        size: int,
        reading: Reading | None = None,
        decoded: Sequence[Decoded] | None = None,
        cache_bytes: int = CACHE_BYTES,
        progress: bool | None = None,
    ) -> None:
        self.items = [s.item for s in sources]
        self.channels = channels
        self.size = size
        self.reading = reading or Reading()
        self.warnings: list[str] = []
        self._sources = list(sources)
        self._decode = partial(decode, channels=channels, size=size, reading=self.reading)
        self._group: NDArray[np.int64] = np.unique([i.group for i in self.items], return_inverse=True)[1]
        self._pixels: Tensor | None = None  # a tensor, so that spawned workers share it instead of copying it
        self._known: list[tuple[bytes, Facts]] | None = (
            None if decoded is None else [(d.digest, d.facts) for d in decoded]
        )
        shape = (len(sources), channels, size, size)
        if math.prod(shape) > cache_bytes:
            return
        if decoded is not None and (block := in_one_array(decoded)) is not None:
            self._pixels = torch.from_numpy(block)
        else:
            self._pixels = torch.empty(shape, dtype=torch.uint8)
            rows = list(decoded) if decoded is not None else [None] * len(sources)
            self._known = self._fill(self._pixels.numpy(), rows, progress)

    def _fill(
        self, out: NDArray[np.uint8], rows: Sequence[Decoded | None], progress: bool | None
    ) -> list[tuple[bytes, Facts]]:
        """Write the pixels of all images, decoding what is not there; digests and facts."""
        one = partial(decode_one, channels=self.channels, size=self.size, reading=self.reading)

        def whole(pair: tuple[Source, Decoded | None]) -> Decoded:
            source, row = pair
            return row if row is not None and row.pixels is not None else one(source)

        known = []
        found = in_threads(whole, list(zip(self._sources, rows, strict=True)), what="decoding", progress=progress)
        for row, decoded in zip(out, found, strict=True):
            assert decoded.pixels is not None
            row[...] = decoded.pixels
            known.append((decoded.digest, decoded.facts))
        return known

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``image``: uint8 tensor (channels, size, size), a copy; ``index``, ``group`` (number in this set): int."""
        index = range(len(self))[index]
        image = (
            torch.from_numpy(self._decode(self._sources[index].image))
            if self._pixels is None
            else self._pixels[index].clone()
        )
        return {"image": image, "index": index, "group": int(self._group[index])}

    @property
    def sources(self) -> list[Source]:
        """Where the pixels of each image come from."""
        return list(self._sources)

    def whole(self, index: int) -> NDArray[np.uint8]:
        """The image at its own size, read like the others: uint8, shape (H, W, channels)."""
        return whole(self._sources[index].image, channels=self.channels, reading=self.reading)

    def first(self, count: int) -> ImageSet:
        """A set of the first ``count`` images, or of all where there are fewer."""
        some = copy(self)
        some.__dict__.pop("inputs", None)  # those of all images
        some.items, some._sources, some._group = self.items[:count], self._sources[:count], self._group[:count]
        some._known = None if self._known is None else self._known[:count]
        some._pixels = None if self._pixels is None else self._pixels[:count]
        return some

    @property
    def kept_bytes(self) -> int:
        """Memory that decoded images take; 0 where each is decoded when it is asked for."""
        return 0 if self._pixels is None else self._pixels.nbytes

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 normal, 1 abnormal, -1 unknown; shape (N,)."""
        return np.array([i.label for i in self.items], dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Number of each image's group in this set; shape (N,)."""
        return self._group

    @property
    def masked(self) -> int:
        """How many images have a pixel mask."""
        return sum(s.mask is not None for s in self._sources)

    @property
    def has_masks(self) -> bool:
        """Whether any image has a pixel mask."""
        return self.masked > 0

    @cached_property
    def inputs(self) -> ImageSet | TileSet:
        """What a detector sees: the images themselves, or their tiles where they are cut."""
        return self if self.reading.tiling is None else TileSet(self, self.reading.tiling)

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """Where the defect lies, of the shape of the image's map: (size, size), or a cell for each 4 × 4 pixels of a
        frame that is cut into tiles. All False: a normal image of a set with masks; None: not known.
        """
        path = self._sources[index].mask
        if path is None and not (self.items[index].label == NORMAL and self.has_masks):
            return None
        facts = self._looked_at(None)[index][1]
        found = np.zeros((facts.height, facts.width), np.bool_) if path is None else read_mask(path)
        return cells(found) if self.reading.tiling else fitted_mask(found, self.reading.fit, self.size)

    def unfilled(self, index: int, values: NDArray[_Values]) -> NDArray[_Values]:
        """The part that shows the image of its loaded pixels or of a map of it, shape (..., S, S), for any S."""
        if self.reading.fit != PAD:
            return values
        facts = self._looked_at(None)[index][1]
        place = inside(PAD, facts.width, facts.height, values.shape[-1])
        return values[..., place.rows, place.columns]

    def digests(self, progress: bool | None = None) -> list[bytes]:
        """A hash of every image's pixels; equal where two images are the same bit for bit."""
        return [digest for digest, _ in self._looked_at(progress)]

    def facts(self, progress: bool | None = None) -> list[Facts]:
        """What reading every image showed."""
        return [facts for _, facts in self._looked_at(progress)]

    def _looked_at(self, progress: bool | None) -> list[tuple[bytes, Facts]]:
        if self._known is None:
            one = partial(decode_one, channels=self.channels, size=self.size, reading=self.reading)
            found = in_threads(one, self._sources, what="hashing", progress=progress)
            self._known = [(d.digest, d.facts) for d in found]
        return self._known

    def describe(self) -> str:
        """One line: the number of images by kind and of groups."""
        if not self.items:
            return "no images"
        kinds = Counter((i.label, i.kind) for i in self.items)
        shown = ", ".join(
            f"{n} {k}{' (abnormal)' if label == ABNORMAL else ''}" for (label, k), n in sorted(kinds.items())
        )
        return f"{_counted(len(self), 'image')} in {_counted(int(self._group.max()) + 1, 'group')}: {shown}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
