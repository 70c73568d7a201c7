"""The one training loop, its checkpoints and the run directory."""

from unblot.training.checkpoint import Position
from unblot.training.config import TrainConfig
from unblot.training.defaults import resolve, size_for
from unblot.training.loop import train
from unblot.training.monitor import LostProcessError, NonFiniteLossError
from unblot.training.run import Run, load_run

__all__ = [
    "LostProcessError",
    "NonFiniteLossError",
    "Position",
    "Run",
    "TrainConfig",
    "load_run",
    "resolve",
    "size_for",
    "train",
]
