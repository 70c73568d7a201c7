"""The one scoring path: every score of the project, for a threshold, an evaluation or a prediction, comes from here.

Networks are in eval mode, so that an image's score does not depend on the batch it stands in and no running statistic
moves. Only the published protocol (:mod:`unblot.evaluation.protocol`) is different, to show what it does to a figure.

Scores come batch by batch (:func:`score_batches`), so that no more maps than a batch are held, whatever the number of
images; :func:`score_set` gathers those of a small set. Of frames that are cut into tiles, the tiles are scored, and a
frame comes out when its last tile is in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from unblot.calibration.tiles import TilePlaces
from unblot.data.tileset import TileSet
from unblot.detectors.contract import Detector
from unblot.errors import UserError
from unblot.evaluation.frames import FrameScore, at_once
from unblot.evaluation.protocol import CLEAN, Protocol, batch_statistics
from unblot.evaluation.stream import ScoreBatch
from unblot.layers.pixels import to_signed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from unblot.data import ImageSet

__all__ = ["Batch", "ScoreSet", "image_scores", "score_batches", "score_set", "scorer"]


@dataclass(frozen=True)
class Batch:
    """Scores of some images of a set; larger is more anomalous.

    Attributes:
        index: int64, shape (n,): where the images stand in the set.
        image: float64, shape (n,).
        maps: anomaly maps, float32, shape (n, size, size); of a frame that is cut into tiles, which is a batch of its
            own, a cell for each 4 × 4 pixels.
    """

    index: NDArray[np.int64]
    image: NDArray[np.float64]
    maps: NDArray[np.float32]


@dataclass(frozen=True)
class ScoreSet:
    """Scores of N images in the order of their set; larger is more anomalous.

    Attributes:
        image: float64, shape (N,).
        maps: anomaly maps, float32, shape (N, size, size); of frames that are cut into tiles a cell for each 4 × 4
            pixels.
        images_per_second: decoding included, loading of the set excluded.
    """

    image: NDArray[np.float64]
    maps: NDArray[np.float32]
    images_per_second: float


def scorer(detector: Detector, device: str | torch.device = "cpu", *, images: int = 1) -> ScoreBatch:
    """The detector as :func:`unblot.evaluation.score_files` takes it, ready for so many images; moved to ``device``, in
    eval mode.
    """
    detector = detector.to(device).eval()
    detector.expect(images)

    def score(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        with torch.no_grad():
            result = detector.score(to_signed(torch.from_numpy(images).to(device)))
        return result.image.double().cpu().numpy(), result.map.float().cpu().numpy()[:, 0]

    return score


def score_set(
    detector: Detector,
    images: ImageSet,
    *,
    protocol: Protocol = CLEAN,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: bool = True,
    fabric: Fabric | None = None,
    tiles: TilePlaces | None = None,
) -> ScoreSet:
    """Score every image of a set and keep all maps, in order; for sets that fit into memory, of maps of one shape.

    Args, effects and errors are those of :func:`score_batches`.
    """
    n = len(images)
    scores = np.zeros(n, dtype=np.float64)
    maps = np.zeros((n, images.size, images.size), dtype=np.float32)
    start = time.perf_counter()
    settings: dict[str, Any] = {"protocol": protocol, "batch_size": batch_size, "device": device}
    for number, batch in enumerate(
        score_batches(detector, images, **settings, progress=progress, fabric=fabric, tiles=tiles)
    ):
        if number == 0:
            maps = np.zeros((n, *batch.maps.shape[1:]), dtype=np.float32)
        scores[batch.index], maps[batch.index] = batch.image, batch.maps
    return ScoreSet(scores, maps, n / max(time.perf_counter() - start, 1e-9))


def image_scores(detector: Detector, images: ImageSet, **settings: Any) -> NDArray[np.float64]:
    """One score per image, float64, shape (N,), in the order of the set; no maps are kept.

    Args:
        detector: takes images of the set's channels and size.
        images: the set.
        settings: as :func:`score_batches` takes them by name.
    """
    scores = np.zeros(len(images), dtype=np.float64)
    for batch in score_batches(detector, images, **settings):
        scores[batch.index] = batch.image
    return scores


def score_batches(
    detector: Detector,
    images: ImageSet | TileSet,
    *,
    protocol: Protocol = CLEAN,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: bool = True,
    fabric: Fabric | None = None,
    tiles: TilePlaces | None = None,
) -> Iterator[Batch]:
    """Score every image of a set, a batch at a time. Moves ``detector`` to ``device`` and leaves it there in eval mode.

    Args:
        detector: takes images of the set's channels and size.
        images: the set, or tiles, which are then scored each on its own; labels are not looked at, but for a protocol
            that orders test images by class.
        protocol: how to score; whatever is not clean must be labelled as :attr:`Protocol.label` says.
        batch_size: images at a time; does not change a clean score. Other protocols have their own.
        device: "auto" takes a GPU where there is one.
        progress: show a progress bar (only where stderr is a terminal).
        fabric: of several processes, which share the batches; each gets all scores, those of one process bit for bit,
            since the batches are the same. All processes must go through all batches.
        tiles: what tiles of normal frames score at each place (:attr:`Calibration.tiles`), where frames are cut into
            tiles; None takes the highest score of a frame's tiles as it is.

    Yields:
        The batches; each image stands in exactly one. A clean protocol keeps the order of the set.

    Raises:
        ValueError: the detector was built for other channels or another size, or ``batch_size`` is not positive.
        UserError: at the end, a score or a map is not finite; names the images. Their batches are not given out.
    """
    if (detector.channels, detector.size) != (images.channels, images.size):
        raise ValueError(
            f"the detector takes {detector.channels} channels at {detector.size} x {detector.size}, the images have "
            f"{images.channels} at {images.size} x {images.size}; load them with the detector's channels and size"
        )
    inputs = images if isinstance(images, TileSet) else images.inputs
    if protocol.reachable:
        size = at_once(batch_size, images.size) if isinstance(inputs, TileSet) else batch_size
        protocol = replace(protocol, batch_size=size)
    batches = _batches(detector, inputs, protocol, device, progress, fabric)
    return _frames(inputs, batches, tiles) if isinstance(inputs, TileSet) and inputs is not images else batches


def _frames(tiles: TileSet, batches: Iterator[Batch], places: TilePlaces | None) -> Iterator[Batch]:
    """Frames from batches of tiles; in a clean protocol two at most are begun at a time."""
    begun: dict[int, FrameScore] = {}
    facts = tiles.frames.facts(False)
    for batch in batches:
        for at, score, anomaly_map in zip(batch.index.tolist(), batch.image.tolist(), batch.maps, strict=True):
            number = int(tiles.frame[at])
            if number not in begun:
                begun[number] = FrameScore(tiles.grids[number], facts[number].width, facts[number].height)
            frame = begun[number]
            frame.add(int(tiles.place[at]), score, anomaly_map)
            if frame.whole:
                del begun[number]
                yield Batch(np.array([number]), np.array([frame.score(places)]), frame.map()[None])


def _batches(
    detector: Detector,
    images: ImageSet | TileSet,
    protocol: Protocol,
    device: str | torch.device,
    progress: bool,
    fabric: Fabric | None,
) -> Iterator[Batch]:
    from torch.utils.data import DataLoader

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = detector.to(device).eval()
    n, size = len(images), images.size
    detector.expect(n)
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    batches = protocol.batches(images.labels)
    most = max(map(len, batches), default=0)
    mine = iter(DataLoader(images, batch_sampler=batches[rank::world]))
    mode = batch_statistics(detector) if protocol.batch_statistics else nullcontext()
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    bad: list[int] = []
    missing = 0
    with mode, tqdm(total=n, desc="scoring", unit="img", disable=hidden) as bar:
        for first in range(0, len(batches), world):
            turn = batches[first : first + world]
            # The last column says that a process did its share.
            image, maps = np.zeros((world, most + 1)), np.zeros((world, most, size, size), np.float32)
            if rank < len(turn):
                with torch.no_grad():
                    result = detector.score(to_signed(next(mine)["image"].to(device)))
                image[rank, : len(turn[rank])] = result.image.double().cpu().numpy()
                image[rank, -1] = 1
                maps[rank, : len(turn[rank])] = result.map.float().cpu().numpy()[:, 0]
            if fabric is not None and world > 1:
                image, maps = _sum(fabric, image), _sum(fabric, maps)
            for place, at in enumerate(turn):
                if image[place, -1] != 1:
                    missing += len(at)
                    continue
                batch = Batch(np.array(at, np.int64), image[place, : len(at)], maps[place, : len(at)])
                broken = ~(np.isfinite(batch.image) & np.isfinite(batch.maps).all(axis=(1, 2)))
                bad += batch.index[broken].tolist()
                if not broken.any():
                    yield batch
                bar.update(len(at))
    if missing:
        raise RuntimeError(f"{missing} of {n} images were not scored exactly once")
    if bad:
        names = ", ".join(images.items[i].name for i in sorted(bad)[:5])
        raise UserError(
            f"the scores of {len(bad)} of {n} images are not finite: {names}{', …' if len(bad) > 5 else ''}. "
            "Training has probably diverged: train again with a lower learning rate or in fp32"
        )


def _sum(fabric: Fabric, part: NDArray[Any]) -> NDArray[Any]:
    """Sum over all processes; where all but one hold 0 it is that one's value, bit for bit."""
    total = fabric.all_reduce(torch.from_numpy(part).to(fabric.device), reduce_op="sum")
    assert isinstance(total, torch.Tensor)  # one tensor in, one out
    return total.cpu().numpy()
