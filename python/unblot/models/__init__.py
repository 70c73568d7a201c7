"""Detectors: networks, losses and scores, one file each, found by name.

Importing this package registers every detector; a new one joins by a file and its line below. What a detector must
provide stands in :mod:`unblot.models.detector`.
"""

from __future__ import annotations

from unblot.models import dae, nested  # noqa: F401  (importing a detector's file registers it)
from unblot.models.detector import Batch, Detector, Phase, Scores, Step, available, create, register
from unblot.models.pixels import to_signed, to_uint8

__all__ = [
    "Batch",
    "Detector",
    "Phase",
    "Scores",
    "Step",
    "available",
    "create",
    "register",
    "to_signed",
    "to_uint8",
]
