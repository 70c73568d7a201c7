"""Pictures to write: small, and each different from the others."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., Path]


@pytest.fixture
def picture() -> Picture:
    """Write a picture of (height, width[, 3]) to a path; its pixels follow from the path, so no two are alike."""

    def write(path: Path, shape: tuple[int, ...] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(zlib.crc32(path.as_posix().encode()))
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def mask() -> Picture:
    """Write a mask of (height, width) whose upper left quarter is a defect."""

    def write(path: Path, shape: tuple[int, int] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros(shape, np.uint8)
        values[: shape[0] // 2, : shape[1] // 2] = 255
        Image.fromarray(values).save(path)
        return path

    return write
