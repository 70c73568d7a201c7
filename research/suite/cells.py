"""One cell of the suite: one model trained and evaluated on one set, by the command line that users have.

Each step is a process of its own, so that its time and its peak memory are its own, too. A finished cell is a small
JSON file beside the scores of its test images; a cell whose file is there is not run again.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "Cell", "CellError", "ImageFolder", "Model", "find_sets", "finished", "recall_at", "run_cell"]

FORMAT = 1
KEPT = ("auroc", "auprc", "f1", "precision", "recall", "false_positive_rate", "images_per_second", "counts")


class CellError(Exception):
    """Something that was asked for cannot be done; the message says what to do."""


@dataclass(frozen=True)
class ImageFolder:
    """A laid-out set: its name, its folder, and the expression that tells groups apart (None: each image its own)."""

    name: str
    path: Path
    group: str | None


def find_sets(folder: Path, only: list[str] | None = None) -> list[ImageFolder]:
    """The sets below a folder, by name: subfolders with ``train/good``. ``set.json``, where there, gives the group.

    Raises:
        CellError: no set there, or one of ``only`` is missing.
    """
    if not folder.is_dir():
        raise CellError(f"--sets {folder} is no folder; make it with python -m research.suite layout")
    found = {}
    for path in sorted(p for p in folder.iterdir() if (p / "train" / "good").is_dir() and not p.name.startswith(".")):
        about = path / "set.json"
        group = json.loads(about.read_text(encoding="utf-8"))["group"] if about.is_file() else None
        found[path.name] = ImageFolder(path.name, path.absolute(), group)
    if not found:
        raise CellError(f"--sets {folder} holds no set; a set is a subfolder with train/good, as layout makes it")
    if missing := [name for name in only or [] if name not in found]:
        raise CellError(f"--only names {', '.join(missing)}, not below {folder}; there are {', '.join(found)}")
    return [each for name, each in found.items() if not only or name in only]


_OF_TRAIN = ("size", "limit", "held_out", "threshold_by")


@dataclass(frozen=True)
class Model:
    """What is trained, written ``NAME`` or ``NAME+KEY=VALUE+…``: a detector and options of it.

    ``size``, ``limit``, ``held_out`` and ``threshold_by`` are those of ``unblot train``; every other key is an option
    of the detector, as for its ``--set``.

    Example:
        >>> Model("memory+size=64+num_neighbors=1").flags
        ['--model', 'memory', '--size', '64', '--set', 'num_neighbors=1']
    """

    text: str

    @property
    def name(self) -> str:
        """The detector."""
        return self.text.split("+")[0]

    @property
    def flags(self) -> list[str]:
        """For ``unblot train``.

        Raises:
            CellError: an option without a value.
        """
        flags = ["--model", self.name]
        for option in self.text.split("+")[1:]:
            key, equals, value = option.partition("=")
            if not (key and equals and value):
                raise CellError(
                    f"--models: {self.text!r} has {option!r} where KEY=VALUE is expected, as memory+size=64"
                )
            flags += [f"--{key.replace('_', '-')}", value] if key in _OF_TRAIN else ["--set", option]
        return flags


@dataclass(frozen=True)
class Cell:
    """A set, a model, and the folder of all results."""

    images: ImageFolder
    model: Model
    out: Path

    @property
    def file(self) -> Path:
        """Where its result stands."""
        return self.out / "cells" / self.images.name / f"{self.model.text}.json"

    @property
    def asked(self) -> dict[str, Any]:
        """What decides about its figures; a stored result of something else is not taken for it."""
        return {"set": self.images.name, "model": self.model.text, "group": self.images.group}

    def result(self) -> dict[str, Any] | None:
        """The stored result; None where there is none or it failed.

        Raises:
            CellError: it is of another question.
        """
        if not self.file.is_file():
            return None
        stored: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        if stored.get("format") != FORMAT or {key: stored[key] for key in self.asked} != self.asked:
            raise CellError(f"{self.file} is the result of something else; remove it, or name another --out")
        return None if stored["error"] else stored


def run_cell(cell: Cell, keep_run: bool = False) -> dict[str, Any]:
    """Train and evaluate, store the result and return it. A failure is stored as an error and tried again next time."""
    run = cell.out / "work" / cell.images.name / cell.model.text
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    log = cell.file.with_suffix(".log")
    result = {"format": FORMAT, **cell.asked, "error": None, **_conditions()}
    group = [] if cell.images.group is None else ["--group", cell.images.group]
    train = ["train", str(cell.images.path), *cell.model.flags, *group, "--out", str(run), "--quiet"]
    with log.open("wb") as output:
        for step, command in (("training", train), ("evaluation", ["eval", str(run), "--quiet"])):
            code, spent = _measured([sys.executable, "-m", "unblot", *command], output)
            result[step] = spent
            if code:
                output.flush()
                last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                result["error"] = f"unblot {command[0]} ended with code {code}: {last[-1] if last else 'no message'}"
                break
    if result["error"] is None:
        metrics = json.loads((run / "eval" / "metrics.json").read_text(encoding="utf-8"))
        result |= {key: metrics[key] for key in KEPT} | {"pixel": metrics["pixel"], "warnings": metrics["warnings"]}
        scores = cell.file.with_suffix(".csv")
        shutil.copyfile(run / "eval" / "scores.csv", scores)
        result["recall_at_5_percent"] = recall_at(0.05, scores)
    partial = cell.file.with_suffix(".part")
    partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    partial.replace(cell.file)
    if not keep_run:
        shutil.rmtree(run, ignore_errors=True)
    return result


def finished(out: Path) -> list[dict[str, Any]]:
    """All results below ``out`` that did not fail, whichever call they are of, by set and model."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "cells").glob("*/*.json"))]
    return [result for result in stored if result.get("format") == FORMAT and not result["error"]]


def recall_at(false_alarms: float, scores: Path) -> float:
    """Share of defective images above the lowest threshold that at most ``false_alarms`` of the normal images exceed.

    It looks at test images, so it is no figure to be had in use: it is what a perfect threshold would give.

    Args:
        false_alarms: share of the normal images.
        scores: the ``scores.csv`` of an evaluation.
    """
    with scores.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = [(int(row["label"]), float(row["score"])) for row in csv.DictReader(file)]
    normal = sorted((score for label, score in rows if label == 0), reverse=True)
    bad = [score for label, score in rows if label == 1]
    threshold = normal[int(false_alarms * len(normal))]
    return sum(score > threshold for score in bad) / len(bad)


def _conditions() -> dict[str, Any]:
    from unblot import __version__

    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "version": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, OMP_NUM_THREADS {threads or 'not set'}",
    }


def _measured(command: list[str], output: Any) -> tuple[int, dict[str, float | None]]:
    """Run a command; its exit code, seconds, processor seconds and peak memory in MiB (None where not measured)."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    processor = peak = None
    try:
        if hasattr(os, "wait4"):
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            processor = round(used.ru_utime + used.ru_stime, 1)
            peak = round(used.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024))
        else:
            child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
    seconds = round(time.perf_counter() - start, 2)
    return child.returncode, {"seconds": seconds, "processor_seconds": processor, "peak_mib": peak}
