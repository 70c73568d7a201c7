"""Counts of float32 values in bounded memory: what quantiles and curves over billions of pixels are taken from.

A float32 has 2^32 values, and their bits, read as a whole number after a turn of the negative ones, stand in the same
order as they do. So a table of (key, counts) holds a distribution exactly as long as it has at most :data:`MOST`
different values. Where there are more, all keys lose their lowest bit, and again, until they fit. How many bits are
lost depends on the values alone and not on their order; neighbours that then share a key are at most 2^(lost - 23) of
their size apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST", "Values", "from_keys", "to_keys"]

MOST = 1 << 19  # keys of a table
BUFFER = 1 << 21  # values that are sorted at a time


def to_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the values; -0 and 0 are one.

    Example:
        >>> to_keys(np.array([-1, -0.0, 0, 2], np.float32)).tolist()
        [1082130431, 2147483648, 2147483648, 3221225472]
    """
    bits = (np.ascontiguousarray(values, np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)


def from_keys(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The inverse of :func:`to_keys`."""
    bits = np.where(keys >> 31, keys & np.uint32(0x7FFF_FFFF), ~keys).astype(np.uint32)
    return bits.view(np.float32)


class Values:
    """How often each value was seen, and what it weighs.

    Args:
        most: different keys at most.

    Example:
        >>> seen = Values()
        >>> seen.add(np.array([3, 1, 1], np.float32))
        >>> keys, weights = seen.table()
        >>> from_keys(keys).tolist(), weights.tolist()
        ([1.0, 3.0], [2.0, 1.0])
    """

    def __init__(self, most: int = MOST) -> None:
        self.most, self._lost = most, 0
        self._keys = np.empty(0, np.uint32)
        self._weights = np.empty(0, np.float64)
        self._waiting: list[tuple[NDArray[np.uint32], NDArray[np.float64] | None]] = []
        self._count = 0

    def add(self, values: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> None:
        """Take finite values of any shape into account, each with a weight of its own or with 1."""
        self._waiting.append((to_keys(values).ravel(), None if weights is None else weights.ravel()))
        self._count += values.size
        if self._count >= BUFFER:
            self._settle()

    @property
    def lost(self) -> int:
        """Lowest bits that the keys have lost; 0: the table is exact."""
        self._settle()
        return self._lost

    def table(self, lost: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """Keys, ascending and without their lowest ``max(lost, self.lost)`` bits, and the sum of weights of each."""
        self._settle()
        if lost <= self._lost:
            return self._keys, self._weights
        return _summed(self._keys & _mask(lost), self._weights)

    def quantile(self, share: float) -> float:
        """The lowest value that at least this share of the weight does not exceed."""
        keys, weights = self.table()
        total = np.cumsum(weights)
        return float(from_keys(keys[[np.searchsorted(total, share * total[-1])]])[0])

    def _settle(self) -> None:
        if not self._waiting:
            return
        keys = np.concatenate([keys for keys, _ in self._waiting])
        plain = all(weights is None for _, weights in self._waiting)
        keys &= _mask(self._lost)
        if plain:
            keys, counts = np.unique(keys, return_counts=True)
            weights = counts.astype(np.float64)
        else:
            each = [np.ones(len(part)) if own is None else own for part, own in self._waiting]
            keys, weights = _summed_unsorted(keys, np.concatenate(each))
        self._waiting, self._count = [], 0
        self._keys, self._weights = _summed_unsorted(
            np.concatenate([self._keys, keys]), np.concatenate([self._weights, weights])
        )
        while len(self._keys) > self.most:
            self._lost += 1
            self._keys, self._weights = _summed(self._keys & _mask(self._lost), self._weights)


def _mask(lost: int) -> np.uint32:
    return np.uint32(0xFFFF_FFFF << lost & 0xFFFF_FFFF)


def _summed_unsorted(
    keys: NDArray[np.uint32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    order = np.argsort(keys, kind="stable")
    return _summed(keys[order], weights[order])


def _summed(keys: NDArray[np.uint32], weights: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Equal neighbours as one, their weights added up."""
    if not len(keys):
        return keys, weights
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], np.add.reduceat(weights, first)
