"""Scores, metrics, the evaluation protocols, and the audit of data.

Names are loaded when they are first used: scoring files needs no scikit-learn and no SciPy, and an exported detector
needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot.evaluation.evaluation import Evaluation as Evaluation
    from unblot.evaluation.evaluation import evaluate as evaluate
    from unblot.evaluation.metrics import image_metrics as image_metrics
    from unblot.evaluation.metrics import pixel_metrics as pixel_metrics
    from unblot.evaluation.pixels import PixelMetrics as PixelMetrics
    from unblot.evaluation.protocol import CLEAN as CLEAN
    from unblot.evaluation.protocol import NOT_REACHABLE as NOT_REACHABLE
    from unblot.evaluation.protocol import PROTOCOLS as PROTOCOLS
    from unblot.evaluation.protocol import PUBLISHED as PUBLISHED
    from unblot.evaluation.protocol import Protocol as Protocol
    from unblot.evaluation.protocol import protocol_named as protocol_named
    from unblot.evaluation.score import Batch as Batch
    from unblot.evaluation.score import ScoreSet as ScoreSet
    from unblot.evaluation.score import image_scores as image_scores
    from unblot.evaluation.score import score_batches as score_batches
    from unblot.evaluation.score import score_set as score_set
    from unblot.evaluation.stream import FileScore as FileScore
    from unblot.evaluation.stream import score_files as score_files

_HOME = {
    "evaluation": ("Evaluation", "evaluate"),
    "metrics": ("image_metrics", "pixel_metrics"),
    "pixels": ("PixelMetrics",),
    "protocol": ("CLEAN", "NOT_REACHABLE", "PROTOCOLS", "PUBLISHED", "Protocol", "protocol_named"),
    "score": ("Batch", "ScoreSet", "image_scores", "score_batches", "score_set"),
    "stream": ("FileScore", "score_files"),
}

__all__ = [
    "CLEAN",
    "NOT_REACHABLE",
    "PROTOCOLS",
    "PUBLISHED",
    "Batch",
    "Evaluation",
    "FileScore",
    "PixelMetrics",
    "Protocol",
    "ScoreSet",
    "evaluate",
    "image_metrics",
    "image_scores",
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
