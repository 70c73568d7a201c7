"""Features of training images that are kept in memory from the pass that computed them to the calibration.

So no training image is seen by the network a second time. Kept are the first images of a shuffled pass, which are a
fair draw of all, in half precision: as many as a threshold needs, whatever the size of the training set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["KeptFeatures"]

IMAGES = 1_000  # more would move a 0.95 quantile little
BYTES = 2**29
HALF = torch.finfo(torch.float16).max


class KeptFeatures:
    """Features of at most 1000 images and 512 MiB, with the images' groups and places in the training set.

    Example:
        >>> kept = KeptFeatures()
        >>> kept.add([torch.zeros(3, 8, 4, 4), torch.zeros(3, 16, 2, 2)], torch.arange(3), torch.arange(3))
        >>> len(kept), [tuple(f.shape) for f, _ in kept.batches(2) for f in f]
        (3, [(2, 8, 4, 4), (2, 16, 2, 2), (1, 8, 4, 4), (1, 16, 2, 2)])
    """

    def __init__(self) -> None:
        self._features: list[list[Tensor]] = []  # by batch
        self._groups: list[Tensor] = []
        self._index: list[Tensor] = []
        self._bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def add(self, features: Sequence[Tensor], groups: Tensor, index: Tensor) -> None:
        """Keep the features of a batch, each of shape (N, C, H, W), its groups and places, shape (N,), while there is
        room.
        """
        each = sum(f[0].numel() * 2 for f in features)
        room = min(IMAGES - len(self), (BYTES - self._bytes) // each, len(groups))
        if room > 0:
            self._features.append([f[:room].clamp(-HALF, HALF).half().cpu() for f in features])
            self._groups.append(groups[:room].cpu())
            self._index.append(index[:room].cpu())
            self._bytes += room * each

    @property
    def groups(self) -> Tensor:
        """Groups of all images, int64, shape (n,)."""
        return torch.cat(self._groups) if self._groups else torch.zeros(0, dtype=torch.int64)

    @property
    def index(self) -> Tensor:
        """Places of all images in the training set, int64, shape (n,)."""
        return torch.cat(self._index) if self._index else torch.zeros(0, dtype=torch.int64)

    def batches(self, size: int = 16) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Features, float32, and groups, in the order in which they were kept."""
        for features, groups in zip(self._features, self._groups, strict=True):
            for parts in zip(*(torch.split(t, size) for t in (*features, groups)), strict=True):
                yield [f.float() for f in parts[:-1]], parts[-1]

    def clear(self) -> None:
        """Forget all."""
        self.__init__()  # type: ignore[misc]
