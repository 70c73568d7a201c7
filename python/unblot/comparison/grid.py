"""A grid of trainings, each judged under one protocol or several: planned, run, resumed.

What makes a training: class left out × detector × corruption × seed. Its run directory lies in ``runs/`` of the grid's
folder, and in that a folder for each protocol with its figures: protocols are only test modes, so they share a
training. ``cell.json`` is written last and marks a finished cell. The choice of the best epoch needs the test set
scored after every epoch, from the first on: a training that is watched so has a file ``….watched`` beside it, and
where one was made without, another stands beside it.

With several jobs each training has a process of its own, so that one that fails, even by running out of memory, takes
no other with it.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from unblot.comparison.epochs import EachEpoch, best_epoch, read_epochs
from unblot.data import DataConfig, Splits, class_names, find_images, load_data, usual_side
from unblot.detectors import available, create, recommended, useful_size
from unblot.errors import UserError
from unblot.evaluation import PUBLISHED, Protocol, evaluate
from unblot.evaluation.audit import class_leakage, quick_warnings
from unblot.files import write_json, write_text
from unblot.training import TrainConfig, load_run, size_for, train
from unblot.training.checkpoint import read
from unblot.training.engine import make_fabric
from unblot.training.run import CHECKPOINT, CONFIG

__all__ = ["CELL", "Outcome", "Training", "plan", "run_grid"]

CELL = "cell.json"
_IMAGE_METRICS = ("auroc", "auprc", "f1", "precision", "recall")


@dataclass(frozen=True)
class Training:
    """One training of the grid.

    Attributes:
        name: of its run directory.
        left_out: the class that is abnormal; None where the data say what is.
        corruption: its short name, for tables.
        data: which images.
        config: the settings.
    """

    name: str
    left_out: str | None
    corruption: str
    data: DataConfig
    config: TrainConfig


@dataclass(frozen=True)
class Outcome:
    """What became of a training.

    Attributes:
        training: which.
        cells: the figures by protocol, as in ``cell.json``; those that there are.
        error: why some are missing; None where none is.
    """

    training: Training
    cells: Mapping[str, Mapping[str, Any]]
    error: str | None


def plan(
    data: DataConfig,
    config: TrainConfig,
    *,
    models: Sequence[str],
    corruptions: Mapping[str, str | None],
    seeds: Sequence[int],
    classes: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    split_by_seed: bool = True,
) -> list[Training]:
    """All trainings of a grid; whatever is wrong with a name or an option is found here, before any work.

    Args:
        data: which images; ``abnormal`` is replaced by each of ``classes``.
        config: settings of all; its model, options, corruption and seed are replaced.
        models: names of detectors.
        corruptions: names or files, by the short name for tables; None: what suits each detector.
        seeds: each fixes a training.
        classes: each is left out in turn as abnormal; ("all",) for all that the data set has. Empty: the data say what
            is abnormal.
        options: by model, options of that detector.
        split_by_seed: every seed also draws the split.

    Returns:
        One after the other those that share their images.

    Raises:
        UserError: a model, class, corruption, option or data set that does not exist.
    """
    options = options or {}
    for model in (*models, *options):
        if model not in available():
            raise UserError(f"no detector named {model!r}; there are {', '.join(available())}")
    for name, given in (("models", models), ("corruptions", list(corruptions)), ("seeds", seeds)):
        if not given:
            raise UserError(f"{name} is empty; give at least one")
        if len(set(given)) < len(given):
            raise UserError(f"{name} names something twice: {', '.join(map(str, given))}")
    left_out = _classes(data, classes)
    for model in models:
        try:
            own = recommended(model)
            size = data.size or useful_size(model, own.size, options.get(model, {}))
            create(model, channels=data.channels or 3, size=size, **options.get(model, {}))
        except ValueError as error:
            raise UserError(str(error)) from error
    trainings = []
    for left, seed in product(left_out, seeds):
        images = replace(data, abnormal=(left,)) if left else data
        images = replace(images, split_seed=seed) if split_by_seed else images
        for model, (short, corruption) in product(models, corruptions.items()):
            asked = config.changed(
                model=model, model_options=dict(options.get(model, {})), corruption=corruption, seed=seed
            )
            parts = [*([left] if left else []), model, short, f"seed{seed}"]
            folder = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in parts)
            trainings.append(Training(folder, left, short, images, asked))
    for left in left_out:
        find_images(replace(data, abnormal=(left,)) if left else data)
    return trainings


def _classes(data: DataConfig, classes: Sequence[str]) -> list[str | None]:
    """The classes to leave out in turn; [None] where the data say what is abnormal."""
    if not classes:
        return [None]
    known = class_names(data.data)
    if not known:
        raise UserError(
            f"classes left out in turn belong to a data set of classes, such as cifar10 or digits, not to {data.data}; "
            "what is abnormal in a folder says --abnormal"
        )
    if data.abnormal or data.normal:
        raise UserError("give either classes to leave out in turn, or normal and abnormal ones, not both")
    if list(classes) == ["all"]:
        return list(known)
    if len(set(classes)) < len(classes):
        raise UserError(f"classes names one twice: {', '.join(classes)}")
    return list(classes)


def run_grid(
    trainings: Sequence[Training],
    protocols: Sequence[Protocol],
    out: Path,
    *,
    jobs: int | None = None,
    progress: bool = True,
    report: Callable[[Outcome, int, float | None], None] = lambda *_: None,
) -> list[Outcome]:
    """Run what is not finished in ``out``; everything that is done is taken from there.

    Args:
        trainings: from :func:`plan`.
        protocols: each training is judged under each.
        out: folder of the grid.
        jobs: trainings at a time. None: one for each GPU, or one. They take turns on the GPUs, or share the CPU's
            threads.
        progress: show progress bars of single trainings, where stderr is a terminal and they run one at a time.
        report: called with every outcome, the number of trainings done and the seconds left (None: not known yet).

    Returns:
        An outcome for each training, in order; a failure is in there and stops no other.

    Raises:
        UserError: ``out`` holds a run of the same name with other settings; nothing is run then.
    """
    _check_settings(trainings, out)
    gpus = torch.cuda.device_count() if trainings and trainings[0].config.device != "cpu" else 0
    jobs = jobs or max(1, gpus)
    waiting = [training for training in trainings if not _finished(training, protocols, out)]
    done = [training for training in trainings if training not in waiting]
    for number, training in enumerate(done, start=1):
        report(outcome(training, protocols, out), number, None)
    start = time.monotonic()
    ends = (
        _one_by_one(waiting, protocols, out, progress)
        if jobs == 1
        else _side_by_side(waiting, protocols, out, jobs, gpus)
    )
    for ended, training in enumerate(ends, start=1):
        left = (time.monotonic() - start) / ended * (len(waiting) - ended)
        report(outcome(training, protocols, out), len(done) + ended, left)
    return [outcome(training, protocols, out) for training in trainings]


def outcome(training: Training, protocols: Sequence[Protocol], out: Path) -> Outcome:
    """What is in ``out`` of a training."""
    cells = {}
    for protocol in protocols:
        with suppress(FileNotFoundError):
            path = _run_folder(training, protocol, out) / protocol.name / CELL
            cells[protocol.name] = json.loads(path.read_text(encoding="utf-8"))
    error = None
    if len(cells) < len(protocols):
        path = _error_file(training, out)
        error = path.read_text(encoding="utf-8").splitlines()[0] if path.exists() else "not run yet"
    return Outcome(training, cells, error)


def _finished(training: Training, protocols: Sequence[Protocol], out: Path) -> bool:
    return all((_run_folder(training, protocol, out) / protocol.name / CELL).exists() for protocol in protocols)


def _run_folder(training: Training, protocol: Protocol, out: Path) -> Path:
    """Where the training lies that ``protocol`` judges."""
    plain = out / "runs" / training.name
    if protocol.best_epoch and plain.exists() and not _watched(plain).exists():
        return plain.with_name(f"{plain.name}-again")
    return plain


def _watched(folder: Path) -> Path:
    """The file that says that the test set is scored after every epoch of the run in ``folder``."""
    return folder.with_name(f"{folder.name}.watched")


def _error_file(training: Training, out: Path) -> Path:
    return out / "errors" / f"{training.name}.txt"


def _check_settings(trainings: Sequence[Training], out: Path) -> None:
    """Refuse a folder whose runs were asked for with other settings."""
    for training in trainings:
        path = out / "runs" / training.name / CONFIG
        if not path.exists():
            continue
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            was = {**stored["data"], **stored["training"]}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} cannot be used: {error!r}. Was it changed by hand?") from error
        now = json.loads(json.dumps({**training.data.to_dict(), **asdict(training.config)}))
        open_ = {key for key in ("size", "epochs") if now[key] is None}  # follows from the rest
        differ = [key for key in now if was.get(key, now[key]) != now[key] and key not in {"device", "workers", *open_}]
        if differ:
            said = ", ".join(f"{key} {was[key]!r} there, {now[key]!r} now" for key in differ)
            raise UserError(f"{path.parent} was trained with other settings: {said}. Give another folder with --out")


def _one_by_one(
    trainings: Sequence[Training], protocols: Sequence[Protocol], out: Path, progress: bool
) -> Iterator[Training]:
    for training in trainings:
        _attempt(training, protocols, out, progress)
        yield training


def _side_by_side(
    trainings: Sequence[Training], protocols: Sequence[Protocol], out: Path, jobs: int, gpus: int
) -> Iterator[Training]:
    """Each training in a process of its own, ``jobs`` at a time; yields them as they end."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // jobs)
    waiting, free = list(trainings), list(range(jobs))
    running: dict[int, tuple[SpawnProcess, Training, int]] = {}
    try:
        while waiting or running:
            while waiting and free:
                training, slot = waiting.pop(0), free.pop(0)
                gpu = _gpu_name(slot % gpus) if gpus else None
                process = context.Process(target=_in_process, args=(training, protocols, out, threads, gpu))
                process.start()
                running[process.sentinel] = (process, training, slot)
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                process, training, slot = running.pop(sentinel)
                process.join()
                free.append(slot)
                if process.exitcode:
                    reason = f"signal {-process.exitcode}" if process.exitcode < 0 else f"code {process.exitcode}"
                    _note_error(training, out, f"its process ended with {reason}; out of memory, perhaps")
                yield training
    finally:
        for process, _, _ in running.values():
            process.terminate()
        for process, _, _ in running.values():
            process.join()


def _gpu_name(number: int) -> str:
    """The GPU as ``CUDA_VISIBLE_DEVICES`` names it, which may leave some out."""
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return names[number] if names else str(number)


def _in_process(training: Training, protocols: Sequence[Protocol], out: Path, threads: int, gpu: str | None) -> None:
    """What a process of its own does; it sees one GPU at most."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    with suppress(KeyboardInterrupt):
        _attempt(training, protocols, out, progress=False)


def _attempt(training: Training, protocols: Sequence[Protocol], out: Path, progress: bool) -> None:
    """Train and judge; a failure is written down."""
    _error_file(training, out).unlink(missing_ok=True)
    try:
        _run(training, protocols, out, progress)
    except Exception as error:  # one failure must not stop the grid; it is reported in the table
        _note_error(training, out, _describe(error))


def _describe(error: Exception) -> str:
    """The first line for the table, then the traceback."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}\n\n{traceback.format_exc()}"


def _note_error(training: Training, out: Path, text: str) -> None:
    path = _error_file(training, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text + "\n")


def _run(training: Training, protocols: Sequence[Protocol], out: Path, progress: bool) -> None:
    """Train what the protocols need, then judge under each that has no cell yet."""
    config, data, splits = _resolved(training.config, training.data)
    waiting = [p for p in protocols if not (_run_folder(training, p, out) / p.name / CELL).exists()]
    folders = {p: _run_folder(training, p, out) for p in sorted(waiting, key=lambda p: not p.best_epoch)}
    for protocol, folder in folders.items():
        if protocol.best_epoch and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _watched(folder).touch()
        if not (folder / CHECKPOINT).exists() or not read(folder / CHECKPOINT).position.finished:
            watch = EachEpoch(folder, splits, [PUBLISHED], device=make_fabric(config).device, progress=progress)
            train(
                config,
                splits,
                folder,
                data=data,
                resume=(folder / CONFIG).exists(),
                progress=progress,
                after_epoch=watch if _watched(folder).exists() else None,
            )
        try:
            _judge(training, splits, protocol, folder, progress)
        except Exception as error:  # other protocols may do
            _note_error(training, out, f"{protocol.name}: {_describe(error)}")


def _judge(training: Training, splits: Splits, protocol: Protocol, folder: Path, progress: bool) -> None:
    """SyntheticValidator a finished run under one protocol and write its cell."""
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
        "warnings": metrics["warnings"],
    }
    write_json(place / CELL, cell)


def _resolved(config: TrainConfig, data: DataConfig) -> tuple[TrainConfig, DataConfig, Splits]:
    """What the training means, and its images; trainings that share them follow one another."""
    if data.size is None:
        data = replace(data, size=size_for(config, usual_side(find_images(data))))
    splits = _splits(data)
    return config.resolved(len(splits.train), splits.train.size), data, splits


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
