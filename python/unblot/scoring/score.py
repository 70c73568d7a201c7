"""The one scoring path: every score of the project, for a threshold, an evaluation or a prediction, comes from here.

Networks are in eval mode, so that an image's score does not depend on the batch it stands in and no running statistic
moves. Only the published protocol (:mod:`unblot.scoring.protocol`) is different, to show what it does to a figure.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from unblot.data import ImageSet
from unblot.errors import UserError
from unblot.models.detector import Detector
from unblot.models.pixels import to_signed
from unblot.scoring.protocol import CLEAN, Protocol, batch_statistics

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["ScoreSet", "score_set"]


@dataclass(frozen=True)
class ScoreSet:
    """Scores of N images in the order of their set; larger is more anomalous.

    Attributes:
        image: float64, shape (N,).
        maps: anomaly maps, float32, shape (N, size, size).
        images_per_second: decoding included, loading of the set excluded.
    """

    image: NDArray[np.float64]
    maps: NDArray[np.float32]
    images_per_second: float


def score_set(
    detector: Detector,
    images: ImageSet,
    *,
    protocol: Protocol = CLEAN,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: bool = True,
    fabric: Fabric | None = None,
) -> ScoreSet:
    """Score every image of a set, in order. Moves ``detector`` to ``device`` and leaves it there in eval mode.

    Args:
        detector: takes images of the set's channels and size.
        images: the set; its labels are not looked at, but for a protocol that orders test images by class.
        protocol: how to score; whatever is not clean must be labelled as :attr:`Protocol.label` says.
        batch_size: images at a time; does not change a clean score. Other protocols have their own.
        device: "auto" takes a GPU where there is one.
        progress: show a progress bar (only where stderr is a terminal).
        fabric: of several processes, which share the batches; each gets all scores, those of one process bit for bit,
            since the batches are the same. All processes must call.

    Raises:
        ValueError: the detector was built for other channels or another size, or ``batch_size`` is not positive.
        UserError: a score or a map is not finite; names the images.
    """
    if (detector.channels, detector.size) != (images.channels, images.size):
        raise ValueError(
            f"the detector takes {detector.channels} channels at {detector.size} x {detector.size}, the images have "
            f"{images.channels} at {images.size} x {images.size}; load them with the detector's channels and size"
        )
    if protocol.reachable:
        protocol = replace(protocol, batch_size=batch_size)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = detector.to(device).eval()
    n = len(images)
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    scores = np.zeros(n, dtype=np.float64)
    maps = np.zeros((n, images.size, images.size), dtype=np.float32)
    seen = np.zeros(n, dtype=np.int64)
    start = time.perf_counter()
    mode = batch_statistics(detector) if protocol.batch_statistics else nullcontext()
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    with torch.no_grad(), mode, tqdm(total=n, desc="scoring", unit="img", disable=hidden) as bar:
        for batch in DataLoader(images, batch_sampler=protocol.batches(images.labels)[rank::world]):
            result = detector.score(to_signed(batch["image"].to(device)))
            at = batch["index"].numpy()
            scores[at] = result.image.double().cpu().numpy()
            maps[at] = result.map.float().cpu().numpy()[:, 0]
            seen[at] += 1
            bar.update(len(at))
    if fabric is not None and world > 1:
        scores, maps, seen = (_sum(fabric, part) for part in (scores, maps, seen))
    if not (seen == 1).all():
        raise RuntimeError(f"{np.count_nonzero(seen != 1)} of {n} images were not scored exactly once")
    seconds = time.perf_counter() - start
    _check_finite(scores, maps, images)
    return ScoreSet(scores, maps, n / max(seconds, 1e-9))


def _sum(fabric: Fabric, part: NDArray[Any]) -> NDArray[Any]:
    """Sum over all processes; where all but one hold 0 it is that one's value, bit for bit."""
    total = fabric.all_reduce(torch.from_numpy(part).to(fabric.device), reduce_op="sum")
    assert isinstance(total, torch.Tensor)  # one tensor in, one out
    return total.cpu().numpy()


def _check_finite(scores: NDArray[np.float64], maps: NDArray[np.float32], images: ImageSet) -> None:
    bad = np.flatnonzero(~(np.isfinite(scores) & np.isfinite(maps).all(axis=(1, 2))))
    if bad.size:
        names = ", ".join(images.items[i].name for i in bad[:5])
        raise UserError(
            f"the scores of {bad.size} of {len(scores)} images are not finite: {names}{', …' if bad.size > 5 else ''}. "
            "Training has probably diverged: train again with a lower learning rate or in fp32"
        )
