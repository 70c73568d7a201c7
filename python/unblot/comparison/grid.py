"""A grid of trainings, run and resumed.

With several jobs each training has a process of its own, so that one that fails, even by running out of memory, takes
no other with it. What lies in the grid's folder: :mod:`unblot.comparison.cell`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from unblot.comparison.cell import CELL, attempt, error_file, note_error, run_folder
from unblot.comparison.trainings import Training
from unblot.errors import UserError
from unblot.evaluation import Protocol
from unblot.training.run_files import CONFIG

__all__ = ["Outcome", "run_grid"]


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
            path = run_folder(training, protocol, out) / protocol.name / CELL
            cells[protocol.name] = json.loads(path.read_text(encoding="utf-8"))
    error = None
    if len(cells) < len(protocols):
        path = error_file(training, out)
        error = path.read_text(encoding="utf-8").splitlines()[0] if path.exists() else "not run yet"
    return Outcome(training, cells, error)


def _finished(training: Training, protocols: Sequence[Protocol], out: Path) -> bool:
    return all((run_folder(training, protocol, out) / protocol.name / CELL).exists() for protocol in protocols)


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
        attempt(training, protocols, out, progress)
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
                    note_error(training, out, f"its process ended with {reason}; out of memory, perhaps")
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
        attempt(training, protocols, out, progress=False)
