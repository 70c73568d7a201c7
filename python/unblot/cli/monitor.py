"""``unblot monitor``: whether scores in use are still those of normal images."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unblot.cli import flags, output, places
from unblot.cli.program import app
from unblot.errors import UserError

__all__ = ["monitor"]


@app.command()
def monitor(
    run: Annotated[Path, typer.Argument(help="The run, or the exported file, that gave the scores.")],
    scores: Annotated[
        Path, typer.Argument(help="Table of predict (CSV or JSON lines) or eval, in the order in which images came.")
    ],
    *,
    every: Annotated[
        float | None,
        typer.Option(help="Images that pass before a false alarm, on average at least.", min=2, show_default="10000"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG to draw the series into.", show_default="none")] = None,
    json_: flags.Json = False,
) -> None:
    """Say from which image on scores are no longer those of normal images: light, camera or material has changed.

    Rows that are known to be defects (label 1) are left aside. Exit code 1: an alarm.
    """
    voice = output.Voice(json_)
    from unblot.data.own import is_own_picture
    from unblot.evaluation.drift import EVERY, watch
    from unblot.files import write_bytes

    if out is not None:
        places.check_file(out, is_own_picture, "a plot", reads=[run, scores])
    calibration = _calibration(run)
    names, values, skipped = _read(scores)
    found = watch(calibration.scores, values, every=EVERY if every is None else every)
    if out is not None:
        import numpy as np

        from unblot.report.drift import drift_png

        output.make_folder(out.parent)
        write_bytes(out, drift_png(np.array(values), calibration.threshold, found))
    above = sum(value > calibration.threshold for value in values)
    asked = (
        ""
        if calibration.quantile is None
        else f"; {100 * (1 - calibration.quantile):.3g} % of normal images were asked for"
    )
    voice.say(f"watched   {len(values)} images, {100 * above / len(values):.3g} % above the threshold{asked}")
    if skipped:
        voice.say(f"left out  rows without a score or of known defects: {skipped}")
    at: dict[str, Any] = {"alarm": None, "start": None, "direction": None}
    if found.alarm is None or found.start is None:
        voice.say(f"change    none found; a false alarm comes once in {found.every:g} images at most, on average")
    else:
        direction = "rise" if found.rising else "fall"
        at = {"alarm": names[found.alarm], "start": names[found.start], "direction": direction}
        voice.say(
            f"change    scores {direction}, most likely from image {found.start + 1} on: {names[found.start]}\n"
            f"          found at image {found.alarm + 1}: {names[found.alarm]}; by chance this comes once in "
            f"{found.every:g} images at most, on average"
        )
    if out is not None:
        voice.say(f"plot      {out}")
    voice.line(images=len(values), above=above, **at, evidence=float(found.evidence[-1]))
    if found.alarm is not None:
        raise typer.Exit(1)


def _calibration(run: Path) -> Any:
    """The threshold of a run or a graph, with the left-out scores; loads no torch."""
    if run.suffix.lower() == ".onnx":
        from unblot.deploy.runtime import load_onnx

        found = load_onnx(run).calibration
    else:
        from unblot.training.run_files import read_calibration, read_config

        read_config(run)
        kept = read_calibration(run)
        if kept is None:
            raise UserError(f"{run} has no threshold, so there are no normal scores to compare with")
        found = kept
    if not found.scores:
        raise UserError(
            f"{run} keeps no left-out normal scores, as those of earlier versions; train or export it again"
        )
    return found


def _read(path: Path) -> tuple[list[str], list[float], int]:
    """Names and scores of a table, and how many rows were left aside.

    Raises:
        UserError: the file cannot be read, is no table of scores, or holds no score.
    """
    with output.naming(path):
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    names, values, skipped = [], [], 0
    for number, row in enumerate(_rows(path, text), 1):
        name, score = row.get("path", row.get("name")), row.get("score")
        if name is None or "score" not in row:
            raise UserError(f"{path} has no path (or name) and score in row {number}; give a table of predict or eval")
        if score in ("", None) or str(row.get("label", "")) == "1":
            skipped += 1
            continue
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"{path} has {score!r} in row {number}, where a finite score is expected")
        names.append(str(name))
        values.append(value)
    if not values:
        raise UserError(f"{path} holds no score; give a table that predict or eval wrote")
    return names, values, skipped


def _rows(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    if not text.lstrip().startswith("{"):
        yield from csv.DictReader(io.StringIO(text, newline=""))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path} is no JSON in line {number}: {error}") from error
            yield row if isinstance(row, dict) else {}
