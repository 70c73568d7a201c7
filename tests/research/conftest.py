"""Image sets of a few pixels, as a repository would hold them."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Repository = Callable[[dict[str, bytes]], tuple[Path, str]]


def picture(seed: int, size: tuple[int, int] = (12, 8), kind: str = "png") -> bytes:
    """An image of its own for each seed, (height, width)."""
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def git(folder: Path, *command: str) -> str:
    own = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *own, "-C", str(folder), *command], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Makes a repository whose first commit holds the files, and whose second has deleted them."""

    def make(files: dict[str, bytes]) -> tuple[Path, str]:
        folder = tmp_path / "clone"
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", "images")
        commit = git(folder, "rev-parse", "HEAD").strip()
        git(folder, "rm", "--quiet", "-r", ".")
        git(folder, "commit", "--quiet", "--allow-empty", "-m", "no images")
        return folder, commit

    return make
