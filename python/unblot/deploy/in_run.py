"""The exported graph that lies in a run's own directory, and may score a few images in its place; loads no torch.

Loading torch takes longer than scoring a few images. ``unblot export RUN`` writes RUN/model.onnx, and where its check
has passed, the run's record keeps the digest of that file (:func:`note`). The file itself names the settings and
weights that it was made of. Only where both agree with what lies in the directory now is it taken for the run
(:func:`graph_of`). Threshold and images are the run's own either way, so all that is said of new images is the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unblot.calibration.thresholds import Calibration
from unblot.data.kept import Kept
from unblot.data.reading import BEFORE, Reading
from unblot.deploy.runtime import OnnxDetector, load_onnx
from unblot.errors import UserError
from unblot.training.run_files import add_provenance, digest_of, provenance_of, read_calibration, read_images

if TYPE_CHECKING:
    from unblot.deploy.parity import Parity
    from unblot.training import Run

__all__ = ["FEW", "GRAPH", "GraphInRun", "graph_of", "note"]

GRAPH = "model.onnx"
FEW = 16
"""Images up to which the graph is taken. Of more, loading torch is a small part of the time, its engine is faster for
large images, and the graph would hold the distances of a whole batch in memory."""
_RECORD = "graph"


@dataclass(frozen=True)
class GraphInRun:
    """The graph of a run, and what the run knows of its images.

    Attributes:
        detector: the graph.
        calibration: the run's threshold.
        images: how the run's images were read, and which it learnt from; None for runs that keep nothing of them.
    """

    detector: OnnxDetector
    calibration: Calibration
    images: Kept | None

    @property
    def reading(self) -> Reading:
        """How images for the run are read."""
        return BEFORE if self.images is None else self.images.reading


def note(run: Run, file: Path, parity: Parity) -> bool:
    """Keep with a run that a graph in its directory scores as it does; whether this was so.

    Args:
        run: with a threshold, read from its directory.
        file: what was exported from it; another place than RUN/model.onnx is not noted.
        parity: what the check found; one that did not pass is not noted.
    """
    in_run = file.resolve() == (run.path / GRAPH).resolve()
    if not (in_run and parity.passed and run.digest and run.threshold is not None):
        return False
    found = {"digest": _digest(file), "score_difference": max(parity.resized.score, parity.frames.score)}
    add_provenance(run.path, **{_RECORD: found})
    return True


def graph_of(path: Path, *, device: str = "auto") -> GraphInRun | None:
    """The graph in a run's directory; None where there is none, or it is not known to score as the run does now.

    Args:
        path: the run directory.
        device: as :func:`load_onnx` takes it.

    Raises:
        UserError: the run's own files are damaged.
    """
    file = path / GRAPH
    if not file.is_file():
        return None
    record, calibration = provenance_of(path).get(_RECORD), read_calibration(path)
    if calibration is None or not isinstance(record, dict) or record.get("digest") != _digest(file):
        return None
    try:
        detector = load_onnx(file, device=device)
    except UserError:  # no onnxruntime, or one that does not know the file
        return None
    made_of = detector.metadata.get("run")
    return GraphInRun(detector, calibration, read_images(path)) if made_of and made_of == digest_of(path) else None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
