"""From maps and scores of normal images to units, thresholds and what these promise."""

from unblot.calibration.thresholds import Calibration, calibrate, expected_above, fewest, paper_threshold

__all__ = ["Calibration", "calibrate", "expected_above", "fewest", "paper_threshold"]
