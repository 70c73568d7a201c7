"""What ``predict`` scores with, a run or an exported graph, and by which threshold it judges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unblot.cli import settings
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.calibration import Calibration
    from unblot.data import Reading, Source
    from unblot.data.kept import Kept as ImagesOfRun
    from unblot.deploy.in_run import GraphInRun
    from unblot.deploy.runtime import OnnxDetector
    from unblot.evaluation import FileScore
    from unblot.evaluation.stream import ScoreBatch
    from unblot.training import Run

__all__ = ["Asked", "Loaded", "by_graph", "by_graph_in", "by_run"]


@dataclass(frozen=True)
class Asked:
    """How the threshold is to be moved, if at all."""

    threshold: float | None
    false_alarms: float | None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.false_alarms is not None:
            raise UserError("--threshold and --false-alarms both move the threshold; give one of them")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UserError(f"--threshold must be a finite number, got {self.threshold}")
        if self.false_alarms is not None and not 0 < self.false_alarms < 1:
            raise UserError(f"--false-alarms is a share above 0 and below 1, such as 0.01; got {self.false_alarms:g}")

    def calibration(self, of: Run | GraphInRun | OnnxDetector) -> Calibration:
        """The calibration of a run or a graph with the threshold that was asked for."""
        from unblot.calibration import Calibration

        if self.threshold is not None:
            try:
                own = of.calibration
            except UserError:  # it has none, and none of its own is needed
                own = Calibration(self.threshold, None, 0)
            return replace(own, threshold=self.threshold, quantile=None, method="given", promise="none")
        if self.false_alarms is None:
            return of.calibration
        own = of.calibration
        if not own.scores:
            raise UserError(
                "--false-alarms needs the left-out scores, which this run or file of an earlier version does not keep; "
                "train or export it again, or give --threshold"
            )
        least = 1 / (1 + own.n)
        if self.false_alarms < least and own.promise != "normal":
            raise UserError(
                f"--false-alarms {self.false_alarms:g} cannot be told from {own.n} left-out images; the "
                f"least is {least:.2g}. Give more normal images to the training, or --threshold"
            )
        return own.moved(self.false_alarms)


@dataclass(frozen=True)
class Loaded:
    """A detector to score files with, and what its scores are judged by; ``graph``: the file that scores for a run."""

    score: ScoreBatch
    channels: int
    size: int
    calibration: Calibration
    reading: Reading
    images: ImagesOfRun | None = None
    engine: str = "onnxruntime"
    graph: Path | None = None

    def warnings(self, seen: list[FileScore]) -> list[str]:
        """What the user must know of the images that were scored: what differs from those trained on, or is one."""
        from unblot.data.reading import pages_said

        named = [(entry.name, entry.facts) for entry in seen if entry.facts is not None]
        known = self.images.said_of([(e.name, e.digest) for e in seen if e.digest]) if self.images else []
        return [*self.reading.differences(named), *pages_said(named), *known]

    def stream(self, sources: list[Source], batch_size: int, progress: bool | None) -> Iterator[list[FileScore]]:
        """Scores of files, batch by batch."""
        from unblot.evaluation.stream import score_files

        return score_files(
            self.score,
            sources,
            channels=self.channels,
            size=self.size,
            reading=self.reading,
            tiles=self.calibration.tiles,
            batch_size=batch_size,
            progress=progress,
        )


def by_run(run: Path, device: str, images: int, asked: Asked) -> Loaded:
    """By a run directory and torch."""
    from unblot.evaluation.score import scorer
    from unblot.training.run import load_run

    trained = load_run(run)
    detector, calibration = trained.detector, asked.calibration(trained)
    score = scorer(detector, settings.device(device), images=images)
    size = detector.size
    return Loaded(score, detector.channels, size, calibration, trained.reading, trained.images, engine="torch")


def by_graph_in(run: Path, device: str, images: int, asked: Asked) -> Loaded | None:
    """By the graph in a run directory, where the images are few and it is known to score as the run does: loading torch
    would take most of the time.
    """
    from unblot.deploy.in_run import FEW, graph_of

    if images > FEW or device == "cuda" or (found := graph_of(run, device=device)) is None:
        return None
    detector = found.detector
    return Loaded(
        detector.score_planes,
        detector.channels,
        detector.size,
        asked.calibration(found),
        found.reading,
        found.images,
        graph=detector.path,
    )


def by_graph(file: Path, device: str, asked: Asked) -> Loaded:
    """By an exported file; loads no torch."""
    from unblot.deploy.runtime import load_onnx

    detector = load_onnx(file, device=device)
    calibration = asked.calibration(detector)
    return Loaded(detector.score_planes, detector.channels, detector.size, calibration, detector.reading)
