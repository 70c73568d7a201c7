"""Whether an exported graph scores as its run does, over real images, as they are read and as a camera gives them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unblot.data import ImageSet, load_data, load_paths
from unblot.data.items import UNKNOWN, Item, Source
from unblot.data.tileset import TileSet
from unblot.deploy.runtime import OnnxDetector, load_onnx
from unblot.evaluation import image_scores, score_batches, score_files, score_set
from unblot.training import Run

__all__ = ["MAP_TOLERANCE", "TOLERANCE", "Gap", "Parity", "check", "check_images", "frames_of", "gap"]

TOLERANCE = 1e-4  # largest relative difference of a score that passes
MAP_TOLERANCE = 1e-2  # the same of a map, where rounding may choose another of two entries that are equally near
TILED = 4  # frames that are compared tile by tile
FRAMES = 6  # images that are compared as frames, too
SHAPES = (
    (1.5, 2.05),
    (1.1, 1.9),
    (2.3, 3.1),
)  # height and width of frames that are made, in units of the network's size


@dataclass(frozen=True)
class Gap:
    """How far the graph is from the run, over the same images.

    Attributes:
        images: how many.
        score: largest difference of a score, relative to the larger of that score and the median score (both without
            sign), so that a score near zero does not decide.
        map: largest difference of a map's value, relative to the largest value of all maps.
        judged: how many images lie on the other side of the threshold; those are left out that the run itself scores
            so near to it that rounding decides.
    """

    images: int
    score: float
    map: float
    judged: int

    @property
    def passed(self) -> bool:
        """Whether scores agree within :data:`TOLERANCE`, maps within :data:`MAP_TOLERANCE`, and all decisions."""
        return self.score <= TOLERANCE and self.map <= MAP_TOLERANCE and self.judged == 0


@dataclass(frozen=True)
class Parity:
    """How far the graph is from the run, on the two ways that images take.

    Attributes:
        resized: images that are resized when they are read: the graph gets them at the network's size.
        frames: images as cameras give them, larger than that and not square: the run reads and resizes them, the graph
            resizes them itself.
        torch_speed: images of the first kind per second of the run, decoding excluded.
        graph_speed: images of the first kind per second of the graph, decoding excluded.
    """

    resized: Gap
    frames: Gap
    torch_speed: float
    graph_speed: float

    @property
    def passed(self) -> bool:
        """Whether both agree."""
        return self.resized.passed and self.frames.passed


def check_images(run: Run, paths: Sequence[str | Path] | None, limit: int = 64) -> ImageSet:
    """Real images to compare on: those given, else the first test images of the run's own data.

    Raises:
        UserError: the run does not know its data, or they are gone.
    """
    detector = run.detector
    if paths:
        return load_paths(paths, channels=detector.channels, size=detector.size, reading=run.reading)
    config = replace(run.data, channels=detector.channels, size=detector.size)
    test = load_data(config, reading=run.reading, progress=False).test
    return test.first(limit if run.reading.tiling is None else TILED)


def frames_of(images: ImageSet) -> list[NDArray[np.uint8]]:
    """The first images as frames of a camera: larger than the network's size on both sides, not square, of several
    sizes.

    An image that is no such frame is enlarged to one. A tall one is laid on its side: of tall images a byte may differ
    by one, which says nothing of the graph.

    Returns:
        uint8, shape (H, W, channels) each.
    """
    found = []
    for number in range(min(FRAMES, len(images))):
        frame = images.whole(number)
        if frame.shape[0] > frame.shape[1]:
            frame = np.ascontiguousarray(np.rot90(frame))
        height, width = frame.shape[:2]
        if not images.size < height < width:
            tall, wide = SHAPES[number % len(SHAPES)]
            shape = (round(wide * images.size), round(tall * images.size))
            picture = Image.fromarray(frame if images.channels == 3 else frame[..., 0])
            frame = np.array(picture.resize(shape, Image.Resampling.BICUBIC)).reshape(*shape[::-1], images.channels)
        found.append(frame)
    return found


def gap(
    ours: NDArray[np.float64],
    found: NDArray[np.float64],
    apart: float,
    largest: float,
    threshold: float | None,
) -> Gap:
    """Compare scores.

    Args:
        ours: of the run, shape (N,).
        found: of the graph, shape (N,).
        apart: largest difference of two maps.
        largest: value of the run's maps, without sign.
        threshold: of the run; None where it has none.

    Example:
        >>> gap(np.array([1.0, 3.0]), np.array([1.0, 1.5]), 0.0, 1.0, threshold=2.0)
        Gap(images=2, score=0.5, map=0.0, judged=1)
    """
    size = np.maximum(np.maximum(np.abs(ours), np.median(np.abs(ours))), 1e-12)
    judged = 0
    if threshold is not None:
        clear = np.abs(ours - threshold) > TOLERANCE * size
        judged = int((clear & ((ours > threshold) != (found > threshold))).sum())
    score = float((np.abs(found - ours) / size).max())
    return Gap(len(ours), score, apart / max(largest, 1e-12), judged)


def check(run: Run, path: str | Path, images: ImageSet, *, batch_size: int = 16, threads: int | None = None) -> Parity:
    """Score images with the run and with the file, in turn, and compare: as they are read, and some as frames
    (:func:`frames_of`), which the graph resizes itself.

    Args:
        run: what was exported.
        path: the ONNX file.
        images: as :func:`check_images` gives them.
        batch_size: for both; frames go one by one through the graph.
        threads: of the CPU for both; None takes torch's number.
    """
    threads = threads or torch.get_num_threads()
    graph = load_onnx(path, device="cpu", threads=threads)
    few = images.first(batch_size if run.reading.tiling is None else 1)
    image_scores(run.detector, few, batch_size=batch_size, progress=False)  # both warmed up
    graph.run(_pixels(few.inputs, range(min(batch_size, len(few.inputs)))))
    resized, speeds = _gap_of_resized(run, graph, images.inputs, batch_size)
    if run.reading.tiling is None:
        return Parity(resized, _gap_of_frames(run, graph, frames_of(images)), *speeds)
    return Parity(resized, _gap_of_tiled(run, graph, images, batch_size), *speeds)


def _pixels(images: ImageSet | TileSet, index: Iterable[int]) -> NDArray[np.uint8]:
    return np.stack([images[i]["image"].numpy().transpose(1, 2, 0) for i in index])


def _gap_of_resized(
    run: Run, graph: OnnxDetector, images: ImageSet | TileSet, batch_size: int
) -> tuple[Gap, tuple[float, float]]:
    """The gap, and images per second of the run and of the graph."""
    ours, found = np.zeros(len(images)), np.zeros(len(images))
    apart = largest = of_torch = of_graph = 0.0
    start = time.perf_counter()
    for batch in score_batches(run.detector, images, batch_size=batch_size, progress=False):
        of_torch += time.perf_counter() - start
        pixels = _pixels(images, batch.index.tolist())
        start = time.perf_counter()
        scores, maps = graph.run(pixels)
        of_graph += time.perf_counter() - start
        ours[batch.index], found[batch.index] = batch.image, scores
        apart = max(apart, float(np.abs(maps - batch.maps).max()))
        largest = max(largest, float(np.abs(batch.maps).max()))
        start = time.perf_counter()
    speeds = len(images) / max(of_torch, 1e-9), len(images) / max(of_graph, 1e-9)
    return gap(ours, found, apart, largest, _threshold(run)), speeds


def _gap_of_frames(run: Run, graph: OnnxDetector, frames: Sequence[NDArray[np.uint8]]) -> Gap:
    """Frames as arrays through the run's reading and scoring, and whole through the graph."""
    names = [f"frame {number}" for number in range(len(frames))]
    sources = [
        Source(Item(name, UNKNOWN, "", name), frame if frame.shape[2] == 3 else frame[..., 0])
        for name, frame in zip(names, frames, strict=True)
    ]
    detector = run.detector
    read = ImageSet(sources, channels=detector.channels, size=detector.size, reading=run.reading, progress=False)
    ours = score_set(detector, read, progress=False)
    found = [graph.run(frame[None]) for frame in frames]
    scores, maps = (np.concatenate(part) for part in zip(*found, strict=True))
    apart, largest = float(np.abs(maps - ours.maps).max()), float(np.abs(ours.maps).max())
    return gap(ours.image, scores, apart, largest, _threshold(run))


def _gap_of_tiled(run: Run, graph: OnnxDetector, images: ImageSet, batch_size: int) -> Gap:
    """Whole frames, which both cut into tiles: those of the run's reading, and files or arrays by way of the graph."""
    tiles = None if run.threshold is None else run.threshold.tiles
    reading, shape = run.reading, {"channels": images.channels, "size": images.size}
    found = score_files(
        graph.score_planes, images.sources, **shape, batch_size=batch_size, reading=reading, tiles=tiles, progress=False
    )
    ours, theirs = np.zeros(len(images)), np.zeros(len(images))
    apart = largest = 0.0
    batches = score_batches(run.detector, images, batch_size=batch_size, tiles=tiles, progress=False)
    for batch, (entry,) in zip(batches, found, strict=True):
        assert entry.score is not None and entry.map is not None, entry.problem
        ours[batch.index], theirs[batch.index] = batch.image, entry.score
        apart = max(apart, float(np.abs(entry.map - batch.maps[0]).max()))
        largest = max(largest, float(np.abs(batch.maps).max()))
    return gap(ours, theirs, apart, largest, _threshold(run))


def _threshold(run: Run) -> float | None:
    return None if run.threshold is None else run.threshold.threshold
