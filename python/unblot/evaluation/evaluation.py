"""Evaluation: by default under the clean protocol, which shows what a user of the detector can really have.

Eval mode, the last epoch, a threshold from held-out normal images; test images choose nothing. What other protocols do,
and why their figures carry a label, says :mod:`unblot.evaluation.protocol`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from unblot.calibration.thresholds import Calibration, paper_threshold
from unblot.data import ImageSet, Splits
from unblot.data.fitting import CROP
from unblot.data.tables import csv_text
from unblot.detectors.contract import Detector
from unblot.evaluation.maps import MapStore
from unblot.evaluation.metrics import image_metrics
from unblot.evaluation.pixels import PixelMetrics
from unblot.evaluation.protocol import CLEAN, NOT_REACHABLE, Protocol
from unblot.evaluation.provenance import told
from unblot.evaluation.score import score_batches
from unblot.files import write_json, write_text

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["FORMAT", "Evaluation", "evaluate"]

FORMAT = 1
KEPT = ((250, 256), (1000, 160))  # up to so many test images, maps of this side are kept for a report; of more:
KEPT_OF_MANY = 96


@dataclass(frozen=True)
class Evaluation:
    """A judged test set.

    Attributes:
        protocol: how the test images were scored.
        metrics: what ``metrics.json`` holds: the keys of :func:`image_metrics` and ``format``, ``protocol``, ``data``,
            ``counts``, ``threshold`` (value and provenance), ``per_kind`` (n, auroc, recall of each kind of defect
            against all normals), ``pixel`` (of :func:`pixel_metrics`, at the size that was loaded, or None),
            ``images_per_second``, ``warnings``, ``reachable_in_use`` and the protocol's ``switches``.
        scores: of the test images, in order; float64, shape (N,).
        maps: their anomaly maps as a report shows them, shrunk; on disk.
        splits: the data.
        calibration: the threshold.
    """

    protocol: Protocol
    metrics: dict[str, Any]
    scores: NDArray[np.float64]
    maps: MapStore
    splits: Splits
    calibration: Calibration

    @property
    def predicted(self) -> NDArray[np.int64]:
        """1 where the score lies above the threshold, shape (N,)."""
        return (self.scores > self.calibration.threshold).astype(np.int64)

    def write(self, folder: str | Path) -> None:
        """Write ``metrics.json`` and ``scores.csv`` (name, kind, group, label, score, predicted) into ``folder``.

        Scores that are not reachable in use say so in a column of their own, ``protocol``. Each file is replaced whole
        or left as it was.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        label = {} if self.protocol.reachable else {"protocol": self.protocol.label}
        rows = zip(self.splits.test.items, self.scores.tolist(), self.predicted.tolist(), strict=True)
        table = csv_text(
            ["name", "kind", "group", "label", "score", "predicted", *label],
            ([i.name, i.kind, i.group, i.label, repr(score), called, *label.values()] for i, score, called in rows),
        )
        write_text(folder / "scores.csv", table, errors="surrogateescape")
        write_json(folder / "metrics.json", self.metrics)


def evaluate(
    detector: Detector,
    splits: Splits,
    calibration: Calibration,
    *,
    protocol: Protocol = CLEAN,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: bool = True,
    fabric: Fabric | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score the test images with the detector as it is and judge the scores. No more maps than a batch are in memory.

    Args:
        detector: fits the images.
        splits: the data; ``splits.test`` is judged.
        calibration: the threshold. The paper's takes its place under a protocol that is not reachable in use, whose
            scores are on a scale of their own.
        protocol: how to score. ``best_epoch`` is not looked at: the weights of other epochs are gone.
        batch_size: as in :func:`score_batches`.
        device: as in :func:`score_batches`.
        progress: show a progress bar (only where stderr is a terminal).
        fabric: as in :func:`score_batches`; every process returns the same figures.
        provenance: what happened in the training (:attr:`unblot.training.Run.provenance`); goes into the figures.

    Raises:
        ValueError: the detector does not fit the images.
        UserError: a score that is not finite.
    """
    test = splits.test
    protocol = protocol.at_last_epoch()
    scores = np.zeros(len(test), np.float64)
    maps = MapStore(len(test), next((side for most, side in KEPT if len(test) <= most), KEPT_OF_MANY))
    pixels, lost = PixelMetrics() if test.has_masks else None, 0
    start = time.perf_counter()
    for batch in score_batches(
        detector,
        test,
        protocol=protocol,
        batch_size=batch_size,
        device=device,
        progress=progress,
        fabric=fabric,
        tiles=calibration.tiles,
    ):
        scores[batch.index] = batch.image
        maps.add(batch.index.tolist(), batch.maps)
        for i, anomaly_map in zip(batch.index.tolist(), batch.maps, strict=True) if pixels else ():
            if (mask := test.mask(i)) is not None and pixels is not None:
                lost += test.items[i].label == 1 and not mask.any()
                pixels.add(test.unfilled(i, anomaly_map), test.unfilled(i, mask))
    seconds = time.perf_counter() - start
    source = calibration.sources()
    if not protocol.reachable:
        calibration, source = paper_threshold(scores), f"test images ({NOT_REACHABLE})"
    metrics: dict[str, Any] = {
        "format": FORMAT,
        "protocol": protocol.name,
        "reachable_in_use": protocol.reachable,
        "switches": protocol.to_dict(),
        "data": splits.name,
        "counts": {
            "train": len(splits.train),
            "held_out": len(splits.held_out),
            "test_normal": int((test.labels == 0).sum()),
            "test_abnormal": int((test.labels == 1).sum()),
        },
        "threshold": {**replace(calibration, scores=()).to_dict(), "source": source},  # the run keeps them
        "provenance": {**(provenance or {}), "told": told(provenance or {}, calibration)},
        **image_metrics(test.labels, scores, calibration.threshold),
        "per_kind": _per_kind(test, scores, calibration.threshold),
        "pixel": pixels.result() if pixels else None,
        "images_per_second": round(len(test) / max(seconds, 1e-9), 1),
        "warnings": [*splits.warnings, *_cut_away(test, lost)],
    }
    return Evaluation(protocol, metrics, scores, maps, splits, calibration)


def _cut_away(test: ImageSet, lost: int) -> list[str]:
    """A sentence where the whole mask of abnormal images lies in what cropping cuts away."""
    if not lost or test.reading.fit != CROP:
        return []
    return [
        f"the defects of {lost} abnormal images lie in what --fit crop cuts away; they count as abnormal all the same. "
        "Train with --fit pad or stretch, which see whole images"
    ]


def _per_kind(test: ImageSet, scores: NDArray[np.float64], threshold: float) -> dict[str, dict[str, Any]]:
    """Each kind of defect against all normal images."""
    kinds = np.array([item.kind for item in test.items])
    out = {}
    for kind, n in sorted(Counter(kinds[test.labels == 1].tolist()).items()):
        chosen = (test.labels == 0) | ((test.labels == 1) & (kinds == kind))
        judged = image_metrics(test.labels[chosen], scores[chosen], threshold)
        out[kind] = {"n": n, "auroc": judged["auroc"], "recall": judged["recall"]}
    return out
