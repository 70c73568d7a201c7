"""Scores, metrics, thresholds and the evaluation protocols."""

from unblot.scoring.evaluate import Evaluation, evaluate
from unblot.scoring.metrics import image_metrics, pixel_metrics
from unblot.scoring.protocol import CLEAN, NOT_REACHABLE, PROTOCOLS, PUBLISHED, Protocol, protocol_named
from unblot.scoring.score import ScoreSet, score_set
from unblot.scoring.thresholds import Calibration, calibrate, expected_above, fewest, paper_threshold

__all__ = [
    "CLEAN",
    "NOT_REACHABLE",
    "PROTOCOLS",
    "PUBLISHED",
    "Calibration",
    "Evaluation",
    "Protocol",
    "ScoreSet",
    "calibrate",
    "evaluate",
    "expected_above",
    "fewest",
    "image_metrics",
    "paper_threshold",
    "pixel_metrics",
    "protocol_named",
    "score_set",
]
