"""Scores, metrics, thresholds and the clean evaluation protocol."""

from unblot.scoring.evaluate import Evaluation, evaluate
from unblot.scoring.metrics import image_metrics, pixel_metrics
from unblot.scoring.score import ScoreSet, score_set
from unblot.scoring.thresholds import Calibration, calibrate

__all__ = [
    "Calibration",
    "Evaluation",
    "ScoreSet",
    "calibrate",
    "evaluate",
    "image_metrics",
    "pixel_metrics",
    "score_set",
]
