"""Frames of a railway, generated: sleepers, two rails, a bolt at each side of them, ballast between.

The patent's example (paragraph 33) inspects key parts of a railway in frames of 2 048 × 2 048 pixels. These are no
photographs. They have what such frames have: parts at known places that are small in a large frame, on a texture
without order, and defects of a few dozen pixels (a bolt that is missing, a crack in a rail, a thing that lies there).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["DEFECTS", "frame"]

DEFECTS = ("missing", "crack", "thing")
PERIOD = 256  # pixels from sleeper to sleeper
_SLEEPER, _RAIL, _BOLT = 110, 70, 22  # height, width and radius in pixels


def frame(
    number: int, width: int = 2048, height: int = 2048, *, defect: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A gray frame and where its defect lies.

    Args:
        number: draws all that differs from frame to frame.
        width: in pixels, 400 or more.
        height: in pixels, 256 or more.
        defect: one of :data:`DEFECTS`; None: a normal frame.

    Returns:
        uint8 and bool, shape (height, width).
    """
    rng = np.random.default_rng([7, number])
    pixels = _ballast(rng, width, height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = rng.normal(0, 4, 2)
    rails = [width * share + shift[0] for share in (0.25, 0.75)]
    sleepers = np.arange(PERIOD / 2 + shift[1], height, PERIOD)
    wood = ndimage.gaussian_filter1d(rng.normal(0, 14, (height, width)).astype(np.float32), 12, axis=1) * 3
    for at in sleepers:
        on = np.abs(y - at) < _SLEEPER / 2
        pixels[on] = 95 + wood[on]
    for at in rails:
        on = np.abs(x - at) < _RAIL / 2
        pixels[on] = (170 + 40 * np.cos((x - at) / _RAIL * np.pi * 1.4) + rng.normal(0, 3, (height, 1)))[on]
    bolts = [(row, at + side) for row in sleepers for at in rails for side in (-75, 75) if _fits(row, height)]
    lost = int(rng.integers(len(bolts)))
    mask = np.zeros((height, width), np.bool_)
    for number_of, (row, column) in enumerate(bolts):
        near = (y - row) ** 2 + (x - column) ** 2 < _BOLT**2
        if defect == "missing" and number_of == lost:
            mask |= near
            continue
        turn = rng.uniform(0, np.pi)
        pixels[near] = (60 + 25 * np.sign(np.sin(3 * np.arctan2(y - row, x - column) + turn)))[near]
    if defect == "crack":
        mask = _crack(rng, x, y, rails[int(rng.integers(2))], height)
        pixels[mask] = 70
    if defect == "thing":
        row, column = rng.uniform(60, height - 60), rng.uniform(60, width - 60)
        mask = (np.abs(y - row) < rng.uniform(14, 26)) & (np.abs(x - column) < rng.uniform(14, 26))
        pixels[mask] = rng.uniform(150, 230) + wood[mask]
    light = rng.normal(1, 0.04)
    noisy = pixels * light + rng.normal(0, 4, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), mask


def _ballast(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Stones: noise of two scales."""
    coarse = ndimage.zoom(rng.normal(0, 1, (height // 16 + 2, width // 16 + 2)).astype(np.float32), 16, order=1)
    fine = ndimage.zoom(rng.normal(0, 1, (height // 4 + 2, width // 4 + 2)).astype(np.float32), 4, order=1)
    stones: NDArray[np.float32] = 120 + 25 * coarse[:height, :width] + 18 * fine[:height, :width]
    return stones


def _fits(row: float, height: int) -> bool:
    return bool(_BOLT < row < height - _BOLT)


def _crack(
    rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32], rail: float, height: int
) -> NDArray[np.bool_]:
    """A dark line across a rail, three pixels wide."""
    row, slope = rng.uniform(40, height - 40), rng.uniform(-0.5, 0.5)
    across: NDArray[np.bool_] = np.abs(x - rail) < _RAIL / 2
    return across & (np.abs(y - row - slope * (x - rail)) < 2.5)
