"""What happened in a run, in sentences: made from its record, never written beforehand.

The record is a run's ``provenance.json`` (:mod:`unblot.training.run_files`) and its threshold. Report, command line and
``--json`` print what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unblot.calibration.thresholds import Calibration

__all__ = ["told"]


def told(provenance: Mapping[str, Any], calibration: Calibration) -> list[str]:
    """Sentences on where a run's weights come from, which were kept, and on its threshold.

    Args:
        provenance: the run's record; may be empty, where a detector was trained without one.
        calibration: its threshold.

    Example:
        >>> mark = {"epochs": 20, "kept": 7, "kept_by": "judge"}
        >>> print(told({"weights": {"mark": mark}}, Calibration(1.5, 0.95, 30, promise="chosen"))[0])
        Weights of phase "mark": epoch 7 of 20, the best on held-out normal images with defects left out of training.
    """
    sources = [f"Weights of the {name}: {found['title']}." for name, found in provenance.get("sources", {}).items()]
    return [*sources, *_weights(provenance.get("weights", {})), _threshold(calibration)]


def _weights(phases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    said = []
    for name, entry in phases.items():
        if entry["kept_by"] == "judge":
            which = (
                f"epoch {entry['kept']} of {entry['epochs']}, the best on held-out normal images with defects left out "
                "of training"
            )
        else:
            which = "its only epoch" if entry["epochs"] == 1 else f"the last of {entry['epochs']} epochs"
        said.append(f'Weights of phase "{name}": {which}.')
    return said


def _threshold(calibration: Calibration) -> str:
    head = f"Threshold {calibration.threshold:.4g}: "
    if calibration.quantile is None:
        return f"{head}{calibration.method} of the scores of these test images."
    return (
        f"{head}the {calibration.quantile:g} quantile of the scores of {calibration.sources()}; {calibration.promised}."
    )
