"""Evaluation under the clean protocol: what a user of the detector can really have.

Eval mode, the last epoch, a threshold from held-out normal images; test images choose nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unblot.data import ImageSet, Splits
from unblot.models.detector import Detector
from unblot.scoring.metrics import image_metrics, pixel_metrics
from unblot.scoring.score import ScoreSet, score_set
from unblot.scoring.thresholds import Calibration

__all__ = ["FORMAT", "Evaluation", "evaluate"]

FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """A judged test set.

    Attributes:
        protocol: "clean".
        metrics: what ``metrics.json`` holds: the keys of :func:`image_metrics` and ``format``, ``protocol``, ``data``,
            ``counts``, ``threshold`` (value and provenance), ``per_kind`` (n, auroc, recall of each kind of defect
            against all normals), ``pixel`` (of :func:`pixel_metrics`, at the size that was loaded, or None),
            ``images_per_second``, ``warnings``.
        scores: of the test images, in order.
        splits: the data.
        calibration: the threshold.
    """

    protocol: str
    metrics: dict[str, Any]
    scores: ScoreSet
    splits: Splits
    calibration: Calibration

    @property
    def predicted(self) -> NDArray[np.int64]:
        """1 where the score lies above the threshold, shape (N,)."""
        return (self.scores.image > self.calibration.threshold).astype(np.int64)

    def write(self, folder: str | Path) -> None:
        """Write ``metrics.json`` and ``scores.csv`` (name, kind, group, label, score, predicted) into ``folder``.

        Each file is replaced whole or left as it was.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["name", "kind", "group", "label", "score", "predicted"])
        rows = zip(self.splits.test.items, self.scores.image.tolist(), self.predicted.tolist(), strict=True)
        writer.writerows([i.name, i.kind, i.group, i.label, repr(score), called] for i, score, called in rows)
        _replace(folder / "scores.csv", table.getvalue(), errors="surrogateescape")
        text = json.dumps(self.metrics, indent=2, ensure_ascii=False, allow_nan=False)
        _replace(folder / "metrics.json", text + "\n", errors="backslashreplace")


def evaluate(
    detector: Detector,
    splits: Splits,
    calibration: Calibration,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Evaluation:
    """Score the test images and judge the scores under the clean protocol.

    Raises:
        ValueError: the detector does not fit the images.
        UserError: a score that is not finite.
    """
    test = splits.test
    scores = score_set(detector, test, batch_size=batch_size, device=device, progress=progress)
    metrics: dict[str, Any] = {
        "format": FORMAT,
        "protocol": "clean",
        "data": splits.name,
        "counts": {
            "train": len(splits.train),
            "held_out": len(splits.held_out),
            "test_normal": int((test.labels == 0).sum()),
            "test_abnormal": int((test.labels == 1).sum()),
        },
        "threshold": {**calibration.to_dict(), "source": "held-out normal images"},
        **image_metrics(test.labels, scores.image, calibration.threshold),
        "per_kind": _per_kind(test, scores.image, calibration.threshold),
        "pixel": pixel_metrics(scores.maps, map(test.mask, range(len(test)))) if test.has_masks else None,
        "images_per_second": round(scores.images_per_second, 1),
        "warnings": list(splits.warnings),
    }
    return Evaluation("clean", metrics, scores, splits, calibration)


def _per_kind(test: ImageSet, scores: NDArray[np.float64], threshold: float) -> dict[str, dict[str, Any]]:
    """Each kind of defect against all normal images."""
    kinds = np.array([item.kind for item in test.items])
    out = {}
    for kind, n in sorted(Counter(kinds[test.labels == 1].tolist()).items()):
        chosen = (test.labels == 0) | ((test.labels == 1) & (kinds == kind))
        judged = image_metrics(test.labels[chosen], scores[chosen], threshold)
        out[kind] = {"n": n, "auroc": judged["auroc"], "recall": judged["recall"]}
    return out


def _replace(path: Path, text: str, errors: str) -> None:
    """Write a text file so that a kill at any moment leaves the old one or the new one whole.

    ``errors`` says how file names that are not valid text are written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors=errors, newline="")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
