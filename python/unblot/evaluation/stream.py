"""Scores of image files as they come: what is held at a time is a batch, however many files there are.

The one way from files to scores, for a run and for an exported file alike. It knows neither torch nor onnxruntime, only
a function from bytes to scores and maps. A file that cannot be read costs its own score and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from unblot.calibration.tiles import TilePlaces
from unblot.data.decoded import Decoded, decode_one, digest_of
from unblot.data.items import Source
from unblot.data.pixels import in_threads, read_frame
from unblot.data.reading import Facts, Reading
from unblot.data.tiling import Tiling
from unblot.errors import UserError
from unblot.evaluation.frames import FrameScore, at_once

__all__ = ["FileScore", "ScoreBatch", "score_files"]

ScoreBatch: TypeAlias = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.float32]]]
"""uint8 images (N, C, size, size) to scores (N,) and maps (N, size, size)."""


@dataclass(frozen=True)
class FileScore:
    """What is known about one file.

    Attributes:
        name: as :func:`unblot.data.folders.sources_of` gives it.
        score: larger is more anomalous; None where there is none.
        map: anomaly map, float32, shape (size, size); of a frame that is cut into tiles a cell for each 4 × 4 pixels.
            None where there is no score.
        problem: why there is no score, one sentence; None where there is one.
        facts: what reading the file showed; None where it cannot be read.
        digest: a hash of its pixels as the detector sees them; empty where it cannot be read.
    """

    name: str
    score: float | None
    map: NDArray[np.float32] | None
    problem: str | None = None
    facts: Facts | None = None
    digest: bytes = b""


def score_files(
    score: ScoreBatch,
    sources: Sequence[Source],
    *,
    channels: int,
    size: int,
    batch_size: int,
    reading: Reading | None = None,
    tiles: TilePlaces | None = None,
    progress: bool | None = None,
) -> Iterator[list[FileScore]]:
    """Score files batch by batch, in order; a batch is decoded while the one before it is scored.

    Args:
        score: the detector.
        sources: the files.
        channels: 1 or 3, as the detector takes them.
        size: height and width that they are resized to.
        batch_size: files, or at most so many tiles, at a time; does not change a score by more than rounding.
        reading: how the detector's images are read; None takes 65535 of a 16-bit file for white.
        tiles: what tiles of normal frames score at each place, where frames are cut into tiles.
        progress: None shows a bar where stderr is a terminal and there are many files, True always, False never.

    Yields:
        One list for each batch, an entry for each file. Of a file that cannot be read, or whose score or map is not
        finite, the entry says why it has no score.

    Raises:
        ValueError: ``batch_size`` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if reading is not None and reading.tiling is not None:
        yield from _score_frames(score, sources, reading, reading.tiling, tiles, (channels, size, batch_size), progress)
        return

    def read(source: Source) -> Decoded | str:
        try:
            return decode_one(source, channels=channels, size=size, reading=reading)
        except UserError as error:
            return str(error)

    pixels = in_threads(read, sources, what="scoring", progress=progress)
    for start in range(0, len(sources), batch_size):
        part = sources[start : start + batch_size]
        yield _scored(score, [source.item.name for source in part], [next(pixels) for _ in part])


def _scored(score: ScoreBatch, names: Sequence[str], found: Sequence[Decoded | str]) -> list[FileScore]:
    """The entries of one batch."""
    whole = [image.pixels for image in found if not isinstance(image, str) and image.pixels is not None]
    results: Iterator[tuple[float, NDArray[np.float32]]] = iter(())
    if whole:
        scores, maps = score(np.stack(whole))
        results = zip(scores.tolist(), maps, strict=True)
    entries = []
    for name, image in zip(names, found, strict=True):
        if isinstance(image, str):
            entries.append(FileScore(name, None, None, image))
            continue
        value, anomaly_map = next(results)
        entries.append(_entry(name, value, anomaly_map, image.facts, image.digest))
    return entries


def _entry(name: str, value: float, anomaly_map: NDArray[np.float32], facts: Facts, digest: bytes) -> FileScore:
    if np.isfinite(value) and np.isfinite(anomaly_map).all():
        return FileScore(name, value, anomaly_map, None, facts, digest)
    why = f"the score of {name} is not finite; the training has probably diverged: train again"
    return FileScore(name, None, None, why, facts, digest)


def _score_frames(
    score: ScoreBatch,
    sources: Sequence[Source],
    reading: Reading,
    tiling: Tiling,
    places: TilePlaces | None,
    shape: tuple[int, int, int],
    progress: bool | None,
) -> Iterator[list[FileScore]]:
    """Frames that are cut into tiles, one by one; the next one is decoded meanwhile."""
    channels, size, batch_size = shape

    def read(source: Source) -> tuple[NDArray[np.uint8], Facts, bytes] | str:
        try:
            small, pixels, facts = read_frame(source.image, channels=channels, size=size, reading=reading)
        except UserError as error:
            return str(error)
        return pixels, facts, digest_of(small)

    found = in_threads(read, sources, what="scoring", progress=progress, threads=1)
    for source, image in zip(sources, found, strict=True):
        if isinstance(image, str):
            yield [FileScore(source.item.name, None, None, image)]
            continue
        pixels, facts, digest = image
        grid = tiling.grid(facts.width, facts.height)
        frame = FrameScore(grid, facts.width, facts.height)
        step = at_once(batch_size, size)
        for start in range(0, len(grid), step):
            part = grid.boxes[start : start + step]
            scores, maps = score(np.stack([tiling.cut(pixels, box, size) for box in part]))
            for place, (value, anomaly_map) in enumerate(zip(scores.tolist(), maps, strict=True), start):
                frame.add(place, value, anomaly_map)
        yield [_entry(source.item.name, frame.score(places), frame.map(), facts, digest)]
