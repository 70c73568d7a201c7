"""Detectors of today, one file each, the contract that all detectors keep, and the registry that finds them by name.

The systems of the seeds and their relatives keep the same contract; they are in :mod:`unblot.baselines`.
"""

from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.detectors.registry import available, create, default_model, recommended, register, useful_size
from unblot.layers.pixels import to_signed, to_uint8

__all__ = [
    "Batch",
    "Detector",
    "LeaveGroupOut",
    "Phase",
    "Recommended",
    "Scores",
    "Step",
    "available",
    "create",
    "default_model",
    "recommended",
    "register",
    "to_signed",
    "to_uint8",
    "useful_size",
]
