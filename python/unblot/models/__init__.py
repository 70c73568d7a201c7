"""Detectors: networks, losses and scores, one file each, found by name.

Importing this package imports every file in it, and a detector's file registers it: a new one joins by its file alone.
What a detector must provide stands in :mod:`unblot.models.detector`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from unblot.models.detector import (
    Batch,
    Detector,
    LeftOut,
    Phase,
    Recommended,
    Scores,
    Step,
    available,
    create,
    recommended,
    register,
    useful_size,
)
from unblot.models.pixels import to_signed, to_uint8

__all__ = [
    "Batch",
    "Detector",
    "LeftOut",
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

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)


def default_model() -> str:
    """The detector that is trained where none is named: ``auto``, whose parts follow from what is installed.

    Example:
        >>> default_model() in available()
        True
    """
    return "auto"
