"""``unblot predict``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblot.cli import flags, output, settings
from unblot.cli.program import app
from unblot.data.tables import csv_text
from unblot.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["predict"]


@app.command()
def predict(
    run: Annotated[
        Path, typer.Argument(help="Run directory, or a file that `unblot export` wrote.", show_default=False)
    ],
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(help="CSV file.", show_default="standard output")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for PNG heat maps, one colour scale for all.", show_default=False)
    ] = None,
    batch_size: flags.ScoreBatch = 64,
    device: flags.ScoreDevice = "auto",
    quiet: flags.Quiet = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON lines instead of CSV: one for each image.")] = False,
) -> None:
    """Score images. CSV: path, score, predicted (1 abnormal, 0 normal). An ONNX file needs no torch."""
    if json_ and out:
        raise UserError("--json writes to standard output; leave out --out, or redirect it")
    if maps is not None and find_spec("matplotlib") is None:
        raise UserError("--maps colours with matplotlib, which is not installed: pip install matplotlib")
    by = _by_graph if run.suffix.lower() == ".onnx" else _by_run
    names, scores, heat, threshold = by(run, paths, batch_size, device, quiet)
    for folder in (out and out.parent, maps):
        if folder is not None:
            output.make_folder(folder)
    called = scores > threshold
    table: dict[str, list[Any]] = {
        "path": names,
        "score": scores.tolist(),
        "predicted": called.astype(int).tolist(),
    }
    if maps is not None:
        from unblot.report.plots import write_heat_maps

        table["map"] = write_heat_maps(maps, table["path"], heat)
    if json_:
        voice = output.Voice(json_)
        for row in zip(*table.values(), strict=True):
            voice.line(**dict(zip(table, row, strict=True)), threshold=threshold)
    else:
        _write_csv(table, out)
    typer.echo(
        f"{called.sum()} of {len(names)} images lie above the threshold {threshold:.4g}"
        + (f"\nscores    {out}" if out else "")
        + (f"\nmaps      {maps}" if maps else ""),
        err=True,
    )


def _by_run(
    run: Path, paths: list[Path], batch_size: int, device: str, quiet: bool
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float32], float]:
    """Names, scores, maps and the threshold, by a run directory and torch."""
    from unblot.data import load_paths
    from unblot.scoring import score_set
    from unblot.training import load_run

    trained = load_run(run)
    detector, threshold = trained.detector, trained.calibration.threshold
    images = load_paths(
        paths,
        channels=detector.channels,
        size=detector.size,
        reading=trained.reading,
        progress=False if quiet else None,
    )
    scores = score_set(detector, images, batch_size=batch_size, device=settings.device(device), progress=not quiet)
    return [item.name for item in images.items], scores.image, scores.maps, threshold


def _by_graph(
    file: Path, paths: list[Path], batch_size: int, device: str, quiet: bool
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float32], float]:
    """The same by an exported file; loads no torch."""
    from unblot.deploy.runtime import load_onnx

    detector = load_onnx(file, device=device)
    threshold = detector.threshold
    names, scores = detector.score_paths(paths, batch_size=batch_size, progress=False if quiet else None)
    return names, scores.image, scores.maps, threshold


def _write_csv(table: Mapping[str, list[Any]], path: Path | None) -> None:
    """Write columns by name to a file or to standard output; file names that are no text keep their bytes."""
    data = csv_text(table, zip(*table.values(), strict=True)).encode("utf-8", errors="surrogateescape")
    if path is None:
        typer.get_binary_stream("stdout").write(data)
    else:
        with output.replacing(path) as temporary:
            temporary.write_bytes(data)
