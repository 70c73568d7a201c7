"""Detectors of today, one file each, the contract that all detectors keep, and the registry that finds them by name.

The systems of the seeds and their relatives keep the same contract; they are in :mod:`unblot.baselines`.
"""

from unblot.detectors.contract import Batch, Detector, LeaveGroupOut, Phase, Recommended, Scores, Step
from unblot.detectors.options import Option, Options, option, option_from
from unblot.detectors.registry import (
    available,
    check_options,
    create,
    default_model,
    recommended,
    register,
    useful_size,
)
from unblot.layers.pixels import to_signed, to_uint8

__all__ = [
    "Batch",
    "Detector",
    "LeaveGroupOut",
    "Option",
    "Options",
    "Phase",
    "Recommended",
    "Scores",
    "Step",
    "available",
    "check_options",
    "create",
    "default_model",
    "option",
    "option_from",
    "recommended",
    "register",
    "to_signed",
    "to_uint8",
    "useful_size",
]
