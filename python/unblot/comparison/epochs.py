"""Figures on the test set after every epoch: what the choice of the best epoch needs, and what it brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unblot.calibration import paper_threshold
from unblot.data import Splits
from unblot.detectors import Detector
from unblot.errors import UserError
from unblot.evaluation import Protocol, image_metrics, image_scores
from unblot.files import write_json

__all__ = ["EPOCHS", "EachEpoch", "best_epoch", "judge", "read_epochs"]

EPOCHS = "test_epochs.json"  # in a run directory


class EachEpoch:
    """Scores the test set after each epoch and keeps the figures in ``test_epochs.json`` of the run.

    For ``after_epoch`` of :func:`unblot.training.train`. An epoch that is trained again after a kill is replaced.

    Args:
        run: the run directory.
        splits: ``splits.test`` is scored.
        protocols: how to score; their choice of an epoch is not looked at.
        device: that the run trains on; the detector stays there.
        progress: show progress bars (only where stderr is a terminal).
    """

    def __init__(
        self,
        run: Path,
        splits: Splits,
        protocols: Sequence[Protocol],
        *,
        device: str | torch.device,
        progress: bool = False,
    ) -> None:
        self.path, self.splits, self.device, self.progress = run / EPOCHS, splits, device, progress
        self.protocols = [protocol.at_last_epoch() for protocol in protocols]

    def __call__(self, detector: Detector, epoch: int) -> None:
        """Score after ``epoch`` finished epochs."""
        figures = {
            p.name: judge(detector, self.splits, p, device=self.device, progress=self.progress) for p in self.protocols
        }
        earlier = read_epochs(self.path.parent)[: epoch - 1]
        write_json(self.path, {"format": 1, "epochs": [*earlier, {"epoch": epoch, **figures}]})


def judge(
    detector: Detector,
    splits: Splits,
    protocol: Protocol,
    *,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """Keys of :func:`image_metrics` on the test images, at the paper's threshold; moves the detector to ``device``."""
    scores = image_scores(detector, splits.test, protocol=protocol, device=device, progress=progress)
    return image_metrics(splits.test.labels, scores, paper_threshold(scores).threshold)


def read_epochs(run: Path) -> list[dict[str, Any]]:
    """What was kept, epoch by epoch; empty where nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = run / EPOCHS
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["epochs"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be used: {error!r}. Was it changed by hand?") from error


def best_epoch(epochs: Sequence[dict[str, Any]], protocol: str) -> tuple[int, dict[str, Any]]:
    """Number and figures of the epoch with the highest AUROC on the test set, the earliest of equal ones.

    Raises:
        UserError: no epoch was scored under ``protocol``.
    """
    scored = [entry for entry in epochs if entry.get(protocol, {}).get("auroc") is not None]
    if not scored:
        raise UserError(f"no epoch was scored under the protocol {protocol!r}: the best one is not known")
    best = max(scored, key=lambda entry: float(entry[protocol]["auroc"]))
    return int(best["epoch"]), dict(best[protocol])
