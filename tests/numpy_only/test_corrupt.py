"""The corruption core in an environment that has NumPy alone: `make test-numpy-only` runs this without torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import unblot

LAYOUTS = [((4, 3, 32, 32), "NCHW"), ((4, 32, 32, 3), "NHWC")]


@pytest.mark.parametrize(("shape", "layout"), LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_boxes_are_filled_and_nothing_else(shape: tuple[int, ...], layout: str, dtype: type) -> None:
    images: NDArray[Any] = np.zeros(shape, dtype)
    out = unblot.corrupt(images, unblot.BoxNoise(base="white", mode="none"), layout=layout)
    inside = out.mask()[:, None] if layout == "NCHW" else out.mask()[..., None]
    assert np.array_equal(out.images, np.where(inside == 1, 255 if dtype == np.uint8 else 1, 0).astype(dtype) + images)
    assert not images.any()
    assert [sum(b.height * b.width for b in boxes) for boxes in out.boxes] == out.mask().sum((1, 2)).tolist()


def test_a_key_gives_the_same_pixels_in_any_batch() -> None:
    images = np.random.default_rng(0).random((6, 1, 24, 24), np.float32)
    spec = unblot.BoxNoise(base="image", mode="superimpose")
    whole = unblot.corrupt(images, spec, seed=3, keys=range(6)).images
    for i in range(6):
        assert np.array_equal(unblot.corrupt(images[i : i + 1], spec, seed=3, keys=[i]).images, whole[i : i + 1])


def test_names_that_need_torch_say_so() -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    with pytest.raises(ImportError, match="torch"):
        _ = unblot.BoxNoiseCollate


def test_the_command_without_its_extra_names_the_remedy() -> None:
    if importlib.util.find_spec("typer"):
        pytest.skip("the extra is installed here")
    command = [sys.executable, "-m", "unblot", "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 2
    assert "unblot[train]" in done.stderr
    assert "Traceback" not in done.stderr
