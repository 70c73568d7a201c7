"""The one training loop, its checkpoints and the run directory.

Names are loaded when they are first used: reading a run needs nothing that trains.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot.training.checkpoint import Position as Position
    from unblot.training.config import TrainConfig as TrainConfig
    from unblot.training.defaults import resolve as resolve
    from unblot.training.defaults import size_for as size_for
    from unblot.training.defaults import sized as sized
    from unblot.training.loop import train as train
    from unblot.training.monitor import LostProcessError as LostProcessError
    from unblot.training.monitor import NonFiniteLossError as NonFiniteLossError
    from unblot.training.run import Run as Run
    from unblot.training.run import load_run as load_run

__all__ = [
    "LostProcessError",
    "NonFiniteLossError",
    "Position",
    "Run",
    "TrainConfig",
    "load_run",
    "resolve",
    "size_for",
    "sized",
    "train",
]

_HOME = {
    "Position": "checkpoint",
    "TrainConfig": "config",
    "resolve": "defaults",
    "size_for": "defaults",
    "sized": "defaults",
    "train": "loop",
    "LostProcessError": "monitor",
    "NonFiniteLossError": "monitor",
    "Run": "run",
    "load_run": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
