"""Studies over several trainings: what a protocol does to a figure, and detectors compared on one data set."""

from unblot.studies.ablation import protocol_study
from unblot.studies.epochs import EachEpoch, best_epoch
from unblot.studies.grid import Outcome, Training, plan, run_grid
from unblot.studies.table import summarise, write_tables

__all__ = [
    "EachEpoch",
    "Outcome",
    "Training",
    "best_epoch",
    "plan",
    "protocol_study",
    "run_grid",
    "summarise",
    "write_tables",
]
