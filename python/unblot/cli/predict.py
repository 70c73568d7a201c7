"""``unblot predict``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unblot.cli import flags, output, settings
from unblot.cli.program import app

__all__ = ["predict"]


@app.command()
def predict(
    run: flags.RunDir,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(help="CSV file.", show_default="standard output")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for PNG heat maps, one colour scale for all.", show_default=False)
    ] = None,
    batch_size: flags.ScoreBatch = 64,
    device: flags.ScoreDevice = "auto",
    quiet: flags.Quiet = False,
) -> None:
    """Score images. CSV: path, score, predicted (1 abnormal, 0 normal)."""
    from unblot.data import load_paths
    from unblot.scoring import score_set
    from unblot.training import load_run

    trained = load_run(run)
    images = load_paths(
        paths,
        channels=trained.detector.channels,
        size=trained.detector.size,
        progress=False if quiet else None,
    )
    for folder in (out and out.parent, maps):
        if folder is not None:
            output.make_folder(folder)
    scores = score_set(
        trained.detector, images, batch_size=batch_size, device=settings.device(device), progress=not quiet
    )
    called = scores.image > trained.calibration.threshold
    table: dict[str, list[Any]] = {
        "path": [item.name for item in images.items],
        "score": scores.image.tolist(),
        "predicted": called.astype(int).tolist(),
    }
    if maps is not None:
        from unblot.report.plots import write_heat_maps

        table["map"] = write_heat_maps(maps, table["path"], scores.maps)
    _write_csv(table, out)
    typer.echo(
        f"{called.sum()} of {len(images)} images lie above the threshold {trained.calibration.threshold:.4g}"
        + (f"\nscores    {out}" if out else "")
        + (f"\nmaps      {maps}" if maps else ""),
        err=True,
    )


def _write_csv(table: Mapping[str, list[Any]], path: Path | None) -> None:
    """Write columns by name to a file or to standard output; file names that are no text keep their bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    data = text.getvalue().encode("utf-8", errors="surrogateescape")
    if path is None:
        typer.get_binary_stream("stdout").write(data)
    else:
        with output.replacing(path) as temporary:
            temporary.write_bytes(data)
