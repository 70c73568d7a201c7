"""One training of a grid, and a folder with the figures of each protocol: its cells.

A training's run directory lies in ``runs/`` of the grid's folder, and in that a folder for each protocol: protocols are
only test modes, so they share a training. ``cell.json`` is written last and marks a finished cell. The choice of the
best epoch needs the test set scored after every epoch, from the first on: a training that is watched so has a file
``….watched`` beside it, and where one was made without, another stands beside it.
"""

from __future__ import annotations

import csv
import traceback
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from unblot.comparison.epochs import EachEpoch, best_epoch, read_epochs
from unblot.comparison.trainings import Training
from unblot.data import DataConfig, Splits, find_images, load_data
from unblot.evaluation import PUBLISHED, Protocol, evaluate
from unblot.evaluation.audit import class_leakage, quick_warnings
from unblot.files import write_json, write_text
from unblot.training import TrainConfig, load_run, sized, train
from unblot.training.checkpoint import read
from unblot.training.engine import make_fabric
from unblot.training.run_files import CHECKPOINT, CONFIG

__all__ = ["CELL", "attempt", "error_file", "note_error", "run_folder"]

CELL = "cell.json"
_IMAGE_METRICS = ("auroc", "auprc", "f1", "precision", "recall")


def attempt(training: Training, protocols: Sequence[Protocol], out: Path, progress: bool) -> None:
    """Train and judge; a failure is written down."""
    error_file(training, out).unlink(missing_ok=True)
    try:
        _run(training, protocols, out, progress)
    except Exception as error:  # one failure must not stop the grid; it is reported in the table
        note_error(training, out, _describe(error))


def _describe(error: Exception) -> str:
    """The first line for the table, then the traceback."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}\n\n{traceback.format_exc()}"


def note_error(training: Training, out: Path, text: str) -> None:
    """Write down why a training failed, its first line for the table."""
    path = error_file(training, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text + "\n")


def run_folder(training: Training, protocol: Protocol, out: Path) -> Path:
    """Where the training lies that ``protocol`` judges."""
    plain = out / "runs" / training.name
    if protocol.best_epoch and plain.exists() and not watched(plain).exists():
        return plain.with_name(f"{plain.name}-again")
    return plain


def watched(folder: Path) -> Path:
    """The file that says that the test set is scored after every epoch of the run in ``folder``."""
    return folder.with_name(f"{folder.name}.watched")


def error_file(training: Training, out: Path) -> Path:
    """Where that is written."""
    return out / "errors" / f"{training.name}.txt"


def _run(training: Training, protocols: Sequence[Protocol], out: Path, progress: bool) -> None:
    """Train what the protocols need, then judge under each that has no cell yet."""
    config, data, splits = _resolved(training.config, training.data)
    waiting = [p for p in protocols if not (run_folder(training, p, out) / p.name / CELL).exists()]
    folders = {p: run_folder(training, p, out) for p in sorted(waiting, key=lambda p: not p.best_epoch)}
    for protocol, folder in folders.items():
        if protocol.best_epoch and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            watched(folder).touch()
        if not (folder / CHECKPOINT).exists() or not read(folder / CHECKPOINT).position.finished:
            watch = EachEpoch(folder, splits, [PUBLISHED], device=make_fabric(config).device, progress=progress)
            train(
                config,
                splits,
                folder,
                data=data,
                resume=(folder / CONFIG).exists(),
                progress=progress,
                after_epoch=watch if watched(folder).exists() else None,
            )
        try:
            _judge(training, splits, protocol, folder, progress)
        except Exception as error:  # other protocols may do
            note_error(training, out, f"{protocol.name}: {_describe(error)}")


def _judge(training: Training, splits: Splits, protocol: Protocol, folder: Path, progress: bool) -> None:
    """Judge a finished run under one protocol and write its cell."""
    run = load_run(folder)
    device = training.config.device
    evaluation = evaluate(
        run.detector,
        splits,
        run.calibration,
        protocol=protocol,
        device=device,
        progress=progress,
        provenance=run.provenance,
    )
    place = folder / protocol.name
    evaluation.write(place)
    metrics, epoch = evaluation.metrics, None
    if protocol.best_epoch:
        epoch, best = best_epoch(read_epochs(folder), protocol.name)
        metrics = metrics | best
    cell = {
        "format": 1,
        "left_out": training.left_out,
        "neighbourhood": None if training.left_out is None else _neighbourhood(training.data),
        "model": training.config.model,
        "corruption": training.corruption,
        "seed": training.config.seed,
        "protocol": protocol.to_dict(),
        "reachable_in_use": protocol.reachable,
        "epoch": epoch,
        **{key: metrics[key] for key in _IMAGE_METRICS},
        **{f"{key}_minmax_0.2": metrics[f"{key}_minmax_0.2"] for key in ("f1", "precision", "recall")},
        "pixel": metrics["pixel"],
        "counts": metrics["counts"],
        "parameters": sum(p.numel() for p in run.detector.parameters()),
        "training_images_per_second": _training_speed(folder),
        "scoring_images_per_second": metrics["images_per_second"],
        "sources": run.provenance.get("sources", {}),
        "warnings": metrics["warnings"],
    }
    write_json(place / CELL, cell)


def _resolved(config: TrainConfig, data: DataConfig) -> tuple[TrainConfig, DataConfig, Splits]:
    """What the training means, and its images; trainings that share them follow one another."""
    data = sized(config, data, find_images(data))
    splits = _splits(data)
    return config.resolved(len(splits.train.inputs), splits.train.size), data, splits


@lru_cache(maxsize=1)
def _splits(data: DataConfig) -> Splits:
    """The images."""
    splits = load_data(data, progress=False)
    splits.warnings.extend(quick_warnings(splits))
    return splits


@lru_cache(maxsize=1)
def _neighbourhood(data: DataConfig) -> dict[str, Any] | None:
    """Whether the left-out class is set apart at all; None where a class has too few images to say."""
    try:
        return class_leakage(_splits(data)).to_dict()
    except ValueError:
        return None


def _training_speed(run: Path) -> float | None:
    """Images per second over all epochs of a run, from its log; loading and corruption included."""
    speeds = []
    for path in sorted((run / "log").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            speeds += [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return len(speeds) / sum(1 / speed for speed in speeds) if speeds else None
