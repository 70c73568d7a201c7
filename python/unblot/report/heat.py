"""Heat maps: anomaly maps as pictures in the colours of matplotlib's "inferno" (CC0), without matplotlib."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unblot.data.own import mark
from unblot.files import replacing

__all__ = ["heat", "heat_map_names", "write_heat_map"]

# Every fifteenth of the 256 colours, from black over violet and orange to pale yellow; between them lie straight lines.
_ANCHORS = np.array(
    [
        *[(0, 0, 3), (9, 6, 33), (29, 12, 69), (55, 9, 97), (80, 13, 108), (104, 22, 110), (128, 31, 107)],
        *[(152, 39, 101), (175, 49, 91), (197, 61, 77), (217, 77, 61), (232, 97, 43), (243, 121, 24), (250, 147, 6)],
        *[(251, 176, 20), (248, 205, 55), (241, 233, 104), (252, 254, 164)],
    ],
    np.float64,
)
_COLOURS = np.stack(
    [np.interp(np.arange(256), np.arange(0, 256, 15), _ANCHORS[:, channel]).round() for channel in range(3)], axis=1
).astype(np.uint8)
_NO_VALUE = 96  # a gray that is none of the colours


def heat(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Colour an anomaly map: shape (H, W) to RGB (H, W, 3), ``low`` black, ``high`` and above pale yellow; gray where
    there is no value (NaN).
    """
    scaled = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    colours: NDArray[np.uint8] = _COLOURS[(np.nan_to_num(scaled.clip(0.0, 1.0)) * 255).round().astype(np.uint8)]
    colours[np.isnan(values)] = _NO_VALUE
    return colours


def heat_map_names(names: Iterable[str]) -> list[str]:
    """File names for heat maps of images: the stem of each, with a number where stems repeat.

    Example:
        >>> heat_map_names(["a/x.png", "b/X.jpg", "b/y.tif"])
        ['x.png', 'X-2.png', 'y.png']
    """
    taken: set[str] = set()  # in lower case: some file systems do not tell it from upper case
    tried: dict[str, int] = {}
    files = []
    for name in names:
        stem = PurePath(name).stem
        for n in count(tried.get(stem.lower(), 1)):
            file = f"{stem}.png" if n == 1 else f"{stem}-{n}.png"
            if file.lower() not in taken:
                break
        tried[stem.lower()] = n
        taken.add(file.lower())
        files.append(file)
    return files


def write_heat_map(path: Path, values: NDArray[np.float32], low: float, high: float) -> None:
    """Write one heat map as a PNG that is known again as such (:mod:`unblot.data.own`); a file that stands there is
    replaced whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as beside:
        Image.fromarray(heat(values, low, high)).save(beside, format="PNG", pnginfo=mark("heat map"))
