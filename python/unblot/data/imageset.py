"""A list of images as a torch data set of uint8 pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from unblot.data.items import ABNORMAL, NORMAL, Source
from unblot.data.pixels import decode, decode_mask, in_threads

__all__ = ["CACHE_BYTES", "ImageSet"]

CACHE_BYTES = 2 << 30


class ImageSet(Dataset[dict[str, Any]]):
    """Images of one size, in a fixed order.

    All images are decoded and resized once, when the set is built, if they fit into ``cache_bytes``; else each is
    decoded when it is asked for. The pixels are the same. (:mod:`unblot.data.pixels` says how images are resized.)

    Args:
        sources: the images.
        channels: 1 or 3.
        size: height and width in pixels.
        cache_bytes: most memory that the decoded images may take.
        progress: None shows a progress bar where stderr is a terminal and there are many images, True always, False
            never.

    Attributes:
        items: names, labels, kinds and groups, in order.
        channels, size: as given.

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
        cache_bytes: int = CACHE_BYTES,
        progress: bool | None = None,
    ) -> None:
        self.items = [s.item for s in sources]
        self.channels = channels
        self.size = size
        self._images = [s.image for s in sources]
        self._masks = [s.mask for s in sources]
        self._decode = partial(decode, channels=channels, size=size)
        self._group: NDArray[np.int64] = np.unique([i.group for i in self.items], return_inverse=True)[1]
        self._pixels: Tensor | None = None  # a tensor, so that spawned workers share it instead of copying it
        shape = (len(sources), channels, size, size)
        if np.prod(shape, dtype=object) <= cache_bytes:
            self._pixels = torch.empty(shape, dtype=torch.uint8)
            for row, pixels in zip(
                self._pixels.numpy(),
                in_threads(self._decode, self._images, what="decoding", progress=progress),
                strict=True,
            ):
                row[...] = pixels

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``image``: uint8 tensor (channels, size, size), a copy; ``index``, ``group`` (number in this set): int."""
        index = range(len(self))[index]
        image = (
            torch.from_numpy(self._decode(self._images[index])) if self._pixels is None else self._pixels[index].clone()
        )
        return {"image": image, "index": index, "group": int(self._group[index])}

    def first(self, count: int) -> ImageSet:
        """A set of the first ``count`` images, or of all where there are fewer."""
        some = copy(self)
        some.items, some._images, some._masks = self.items[:count], self._images[:count], self._masks[:count]
        some._group = self._group[:count]
        some._pixels = None if self._pixels is None else self._pixels[:count]
        return some

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 normal, 1 abnormal, -1 unknown; shape (N,)."""
        return np.array([i.label for i in self.items], dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Number of each image's group in this set; shape (N,)."""
        return self._group

    @property
    def has_masks(self) -> bool:
        """Whether any image has a pixel mask."""
        return any(m is not None for m in self._masks)

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """Where the defect lies, shape (size, size); all False: a normal image of a set with masks; None: not known."""
        path = self._masks[index]
        if path is not None:
            return decode_mask(path, self.size)
        if self.items[index].label == NORMAL and self.has_masks:
            return np.zeros((self.size, self.size), dtype=np.bool_)
        return None

    def digests(self, progress: bool | None = None) -> list[bytes]:
        """A hash of every image's pixels; equal where two images are the same bit for bit."""
        if self._pixels is not None:
            return [blake2b(row.tobytes(), digest_size=16).digest() for row in self._pixels.numpy()]
        decoded = in_threads(self._decode, self._images, what="hashing", progress=progress)
        return [blake2b(pixels.tobytes(), digest_size=16).digest() for pixels in decoded]

    def describe(self) -> str:
        """One line: the number of images by kind and of groups."""
        if not self.items:
            return "no images"
        kinds = Counter((i.label, i.kind) for i in self.items)
        shown = ", ".join(
            f"{n} {k}{' (abnormal)' if label == ABNORMAL else ''}" for (label, k), n in sorted(kinds.items())
        )
        return f"{len(self)} images in {self._group.max() + 1} groups: {shown}"
