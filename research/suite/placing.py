"""Writing a set the way MVTec AD lies: ``train/good``, ``test/good``, ``test/KIND`` and, where there are masks,
``ground_truth/KIND/NAME_mask.png``.
"""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.suite.source import Source, SourceError

__all__ = ["Placed", "Recipe", "as_it_lies", "is_marked", "layout", "mask_png", "png", "smaller", "spread"]

T = TypeVar("T")


@dataclass(frozen=True)
class Placed:
    """One file of a laid-out set: its path below the set's folder, and its bytes."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Recipe:
    """How one set is made.

    Attributes:
        name: folder and row of the table.
        title: what the images show.
        repository: owner/name on GitHub; empty for a set that a package bundles.
        commit: 40 hex digits.
        division: what is for training and what for testing.
        dropped: what is left out, and why.
        group: expression for ``--group``, or None where each image is its own.
        place: makes the files from a source, in any order.
    """

    name: str
    title: str
    repository: str
    commit: str
    division: str
    place: Callable[[Source], Iterator[Placed]]
    dropped: str = ""
    group: str | None = None


def layout(recipe: Recipe, source: Source, out: Path) -> dict[str, int]:
    """Write a set to ``out`` and return how many images each part has.

    The set is written beside ``out`` and renamed at the end, so a folder that is there is whole. ``out/set.json`` keeps
    the recipe's name, source, group expression and counts for ``run``.

    Raises:
        SourceError: ``out`` exists and is not empty, or the source lacks what the recipe wants.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SourceError(f"--out {out} exists already; name a new folder, or remove that one")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        counts = _written(recipe, source, part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    about = {"name": recipe.name, "repository": recipe.repository, "commit": recipe.commit, "group": recipe.group}
    (part / "set.json").write_text(json.dumps({**about, "counts": dict(counts)}, indent=2) + "\n")
    if out.exists():
        out.rmdir()
    part.replace(out)
    return dict(counts)


def _written(recipe: Recipe, source: Source, folder: Path) -> Counter[str]:
    """Write the files and count them by part."""
    counts: Counter[str] = Counter()
    for placed in recipe.place(source):
        path = folder / placed.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise SourceError(f"recipe {recipe.name} names {placed.path} twice; its names must keep images apart")
        path.write_bytes(placed.data)
        top, kind = placed.path.split("/")[:2]
        counts["masks" if top == "ground_truth" else f"{top} {'good' if kind == 'good' else 'bad'}"] += 1
    if missing := [p for p in ("train good", "test good", "test bad") if not counts[p]]:
        raise SourceError(
            f"{source.where} gave no images for {', '.join(missing)} of {recipe.name}; "
            f"it needs github.com/{recipe.repository} at commit {recipe.commit}"
        )
    return counts


def spread(items: Sequence[T], number: int) -> list[T]:
    """At most ``number`` items at even distances, in their order.

    Example:
        >>> spread(range(10), 5)
        [0, 2, 4, 6, 8]
    """
    return list(items) if len(items) <= number else [items[i * len(items) // number] for i in range(number)]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A grey (H, W) or RGB (H, W, 3) uint8 array as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def mask_png(marks: Iterable[bytes]) -> bytes:
    """Masks of one image (any image files of one size, non-zero where defective) as one black and white PNG."""
    together: NDArray[np.bool_] | None = None
    for data in marks:
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L")) > 0
        together = pixels if together is None else together | pixels
    assert together is not None, "a mask needs at least one file"
    return png(together.astype(np.uint8) * 255)


def is_marked(mask: bytes) -> bool:
    """Whether a mask marks any pixel."""
    return bool(np.asarray(Image.open(io.BytesIO(mask))).any())


def smaller(placed: Iterable[Placed], side: int) -> Iterator[Placed]:
    """The same images with their longer side reduced to ``side`` pixels, as PNG; masks keep each marked spot."""
    for one in placed:
        image: Image.Image = Image.open(io.BytesIO(one.data))
        share = side / max(image.size)
        size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        stem = one.path.rpartition(".")[0]
        if one.path.startswith("ground_truth/"):
            grey = np.asarray(image.convert("L")).astype(np.float32)
            reduced = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX)) >= 64
            yield Placed(f"{stem}.png", png(reduced.astype(np.uint8) * 255))
        else:
            image = image if image.mode in ("L", "RGB") else image.convert("RGB")
            yield Placed(f"{stem}.png", png(np.asarray(image.resize(size, Image.Resampling.BOX))))


def as_it_lies(source: Source, folder: str) -> Iterator[Placed]:
    """A folder that lies as MVTec AD does, as it is."""
    for path in source.paths(f"{folder}/", ".png"):
        yield Placed(path.removeprefix(f"{folder}/"), source.read(path))
