"""Types of the compiled core (``rust/python``); checked against the built module by mypy's stubtest."""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plan", "__version__", "available_threads", "corrupt", "mask", "philox4x32", "sampled_range"]

__version__: str

# One noise kind as the core takes it: (kind, ranges, flags).
#   ("gaussian",    [sigma, mean],            [])
#   ("laplace",     [scale, mean],            [])
#   ("salt_pepper", [amount, salt_vs_pepper], [per_channel])
#   ("poisson",     [peak, strength],         [additive])
#   ("paste",       [gain, offset, opacity],  [flip, from_batch])
_Noise = tuple[str, Sequence[tuple[float, float]], Sequence[bool]]

@final
class Plan:
    """A validated corruption, ready to draw from. Raises ValueError that names the parameter and the remedy."""

    def __new__(
        cls,
        *,
        scale: tuple[float, float],
        num_boxes: tuple[int, int],
        area_split: str,
        ratio: tuple[float, float],
        ratio_sampling: str,
        ratio_per: str,
        placement: str,
        overlap: str,
        base: str | Sequence[float],
        noise: Sequence[_Noise],
        weights: Sequence[float],
        mode: str,
        shapes: Sequence[str],
        shape_weights: Sequence[float],
        edge: float,
        p: float,
        full: bool,
    ) -> Plan: ...
    def draw(
        self, height: int, width: int, channels: int, seed: int, keys: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Boxes of len(keys) images, in image order, then in drawing order (a later box lies on top).

        Integers, shape (M, 13): image, y, x, height, width, kinds, flags, box, shape, then the patch that is pasted:
        image, y, x, turn.
        - kinds: 1 gaussian, 2 salt_pepper, 4 poisson, 8 laplace, 16 paste, summed;
        - flags: 1 Poisson is additive, 2 salt and pepper is per channel, and 4 times the entry of the noise list that
          Poisson takes its tables from;
        - box: number within its image;
        - shape: 0 rectangle, 1 scar, 2 blob;
        - turn: 1 mirrored top to bottom, 2 left to right, summed.

        Floats, shape (M, 11 + C): gaussian mean, sigma, laplace mean, scale, probability of salt, of pepper, Poisson
        peak, strength, then the base of each channel in [0, 1] (NaN: the image's own pixels), then gain, offset and
        opacity of the patch.
        """

    def covers(
        self, height: int, width: int, channels: int, seed: int, keys: NDArray[np.uint64]
    ) -> NDArray[np.float32]:
        """How much of each pixel of each box its shape covers, from 0 to 1: the boxes as ``draw`` gives them, each row
        by row, shape (sum of height * width,).
        """

    def poisson_tables(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.uint32], NDArray[np.float64], NDArray[np.uint32], NDArray[np.uint32]]:
        """The alias tables of E noise entries, with T tables of K columns in all.

        Steps (E,), entries (E + 1,), rates (T,), starts (T + 1,), columns (K, 3). Entry e has the tables entries[e] to
        entries[e + 1]. With a step above 0 they are a grid, whose table i has the rate i * step; else the rates that
        occur have one each. Table t has the columns starts[t] to starts[t + 1], a power of two, 2**b. The word w falls
        into column w >> (32 - b) of it: (threshold, below, above); it draws ``below`` where (w << b) mod 2**32 is at
        most the threshold, else ``above``.
        """

def corrupt(
    plan: Plan,
    dst: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32],
    src: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32] | None,
    dtype: str,
    value_range: tuple[float, float] | None,
    seed: int,
    keys: NDArray[np.uint64],
    threads: int,
    changed: tuple[float, NDArray[np.uint8]] | None = None,
) -> NDArray[np.int32]:
    """Fill ``dst`` with the corrupted images of ``src``; returns the first of what ``draw`` returns.

    Without ``src``, ``dst`` holds the images and is changed in place. Arrays are (N, C, H, W) views with any strides.
    ``dtype``: "uint8", "float16", "bfloat16" (both as uint16 bits), "float32". ``threads``: 1 runs in the caller, more
    uses this process's pool, 0 takes every core. ``changed``: a threshold in units of the value range, and a mask of
    shape (N, H, W) that receives 1 where a channel of a pixel changed by more, else 0. The GIL is released meanwhile.

    ``dst`` must hold no place of memory twice, nor share one with ``src`` or with what another call is working on.
    While boxes are drawn, signals are looked for: Ctrl-C ends the call before a pixel has changed.
    """

def mask(
    records: NDArray[np.int32], images: int, height: int, width: int, covers: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """1 in the boxes whose records ``corrupt`` returned, else 0; uint8 of shape (images, height, width). With
    ``covers``, as ``Plan.covers`` gives them, 1 where they are above 0.
    """

def sampled_range(images: NDArray[np.uint16] | NDArray[np.float32], dtype: str) -> tuple[float, float]:
    """Lowest and highest value among evenly spread pixels of each image, (N, C, H, W) with any strides: 64 of each or a
    few more, 16 in batches of 32 and more. Not-a-number is passed over; without any other value the lowest is above the
    highest. ``dtype``: "float16" and "bfloat16" (both as uint16 bits), "float32".
    """

def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int], rounds: int = 7) -> tuple[int, int, int, int]:
    """One block of Philox4x32, with seven rounds the generator behind every draw."""

def available_threads() -> int:
    """Cores that this process may use."""
