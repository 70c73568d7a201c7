"""Scores, metrics, thresholds and the evaluation protocols.

Names are loaded when they are first used: scoring files needs no scikit-learn and no SciPy, and an exported detector
needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot.scoring.evaluation import Evaluation as Evaluation
    from unblot.scoring.evaluation import evaluate as evaluate
    from unblot.scoring.metrics import image_metrics as image_metrics
    from unblot.scoring.metrics import pixel_metrics as pixel_metrics
    from unblot.scoring.pixels import PixelMetrics as PixelMetrics
    from unblot.scoring.protocol import CLEAN as CLEAN
    from unblot.scoring.protocol import NOT_REACHABLE as NOT_REACHABLE
    from unblot.scoring.protocol import PROTOCOLS as PROTOCOLS
    from unblot.scoring.protocol import PUBLISHED as PUBLISHED
    from unblot.scoring.protocol import Protocol as Protocol
    from unblot.scoring.protocol import protocol_named as protocol_named
    from unblot.scoring.score import Batch as Batch
    from unblot.scoring.score import ScoreSet as ScoreSet
    from unblot.scoring.score import image_scores as image_scores
    from unblot.scoring.score import score_batches as score_batches
    from unblot.scoring.score import score_set as score_set
    from unblot.scoring.stream import FileScore as FileScore
    from unblot.scoring.stream import score_files as score_files
    from unblot.scoring.thresholds import Calibration as Calibration
    from unblot.scoring.thresholds import calibrate as calibrate
    from unblot.scoring.thresholds import expected_above as expected_above
    from unblot.scoring.thresholds import fewest as fewest
    from unblot.scoring.thresholds import paper_threshold as paper_threshold

_HOME = {
    "evaluation": ("Evaluation", "evaluate"),
    "metrics": ("image_metrics", "pixel_metrics"),
    "pixels": ("PixelMetrics",),
    "protocol": ("CLEAN", "NOT_REACHABLE", "PROTOCOLS", "PUBLISHED", "Protocol", "protocol_named"),
    "score": ("Batch", "ScoreSet", "image_scores", "score_batches", "score_set"),
    "stream": ("FileScore", "score_files"),
    "thresholds": ("Calibration", "calibrate", "expected_above", "fewest", "paper_threshold"),
}

__all__ = [
    "CLEAN",
    "NOT_REACHABLE",
    "PROTOCOLS",
    "PUBLISHED",
    "Batch",
    "Calibration",
    "Evaluation",
    "FileScore",
    "PixelMetrics",
    "Protocol",
    "ScoreSet",
    "calibrate",
    "evaluate",
    "expected_above",
    "fewest",
    "image_metrics",
    "image_scores",
    "paper_threshold",
    "pixel_metrics",
    "protocol_named",
    "score_batches",
    "score_files",
    "score_set",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
