"""The bench of fits compares what it says: margins filled in three ways, and each way trains and is judged."""

from pathlib import Path

import numpy as np
import pytest
from benches.fits import WAYS, filled, row, sources
from PIL import Image

from unblot.data import Reading
from unblot.data.pixels import decode


@pytest.mark.parametrize("fill", ["mirrored", "repeated", "mean"])
def test_margins_are_filled_as_the_row_says(fill: str) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    with filled(fill):
        found = decode(pixels, channels=1, size=6, reading=Reading(fit="pad"))[0]
    assert (found[1:5] == pixels).all()
    wanted = {"mirrored": pixels[0], "repeated": pixels[0], "mean": np.full(6, int(pixels.mean()))}[fill]
    assert (found[0] == wanted).all()
    assert (decode(pixels, channels=1, size=6, reading=Reading(fit="pad"))[0][0] == pixels[0]).all(), "and back"


@pytest.mark.slow
@pytest.mark.parametrize(("fit", "fill"), WAYS)
def test_each_row_is_measured(fit: str, fill: str, tmp_path: Path) -> None:
    parts = sources(512, 256, tmp_path, {"train": 4, "held out": 2, "normal": 2, "abnormal": 3})
    found = row(parts, 64, "memory", fit, fill)
    assert 0 <= found["AUROC"] <= 1
    assert Image.open(next(tmp_path.iterdir())).size == (512, 256)
