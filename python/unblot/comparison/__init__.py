"""Detectors compared on one data set: a grid of trainings, planned, run, resumed, and put into tables."""

from unblot.comparison.epochs import EachEpoch, best_epoch
from unblot.comparison.grid import Outcome, run_grid
from unblot.comparison.table import summarise, write_tables
from unblot.comparison.trainings import Training, plan

__all__ = [
    "EachEpoch",
    "Outcome",
    "Training",
    "best_epoch",
    "plan",
    "run_grid",
    "summarise",
    "write_tables",
]
