"""``unblot predict``: scores of images as they come, one row each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unblot.cli import flags, output, places
from unblot.cli.loaded import Asked, Loaded, by_graph, by_graph_in, by_run
from unblot.cli.program import app
from unblot.cli.rows import CsvRows, JsonRows, Kept, read_rows
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data import Source
    from unblot.evaluation import FileScore

__all__ = ["predict"]

_NAMED = 10  # images without a score that are named
_BEYOND = 2  # the brightest colour, in units of what normal maps hardly exceed: a defect stands out, its shape is kept


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
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the rows that --out holds, and score the other images.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Call images abnormal whose score lies above this.", show_default="the run's")
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            help="Move the threshold so that about this share of normal images lies above it; 0.01 is 1 %.",
            show_default="as trained, 0.05",
        ),
    ] = None,
    batch_size: flags.ScoreBatch = 64,
    device: flags.ScoreDevice = "auto",
    quiet: flags.Quiet = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON lines instead of CSV: one for each image.")] = False,
) -> None:
    """Score images. CSV: path, score, predicted (1 abnormal, 0 normal), p_value. An ONNX file needs no torch.

    The p value is the share of left-out normal images that score as high, this image counted.

    Up to 16 images are scored by the file that `unblot export RUN` left in the run: the same scores, sooner.

    Rows are written batch by batch. Exit code 1: an image could not be scored; it has a row without a score.
    """
    if json_ and out:
        raise UserError("--json writes to standard output; leave out --out, or redirect it")
    if resume and out is None:
        raise UserError("--resume goes on with the rows of a file; name it with --out")
    asked = Asked(threshold, false_alarms)
    from unblot.data.folders import sources_of
    from unblot.data.listing import Passed

    passed = Passed()
    sources = sources_of(paths, passed)
    heat = _check_places(run, sources, out, maps)
    if run.suffix.lower() == ".onnx":
        loaded = by_graph(run, device, asked)
    else:
        loaded = by_graph_in(run, device, len(sources), asked) or by_run(run, device, len(sources), asked)
    kept = _kept(out, loaded, sources, with_maps=maps is not None) if resume and out else Kept({})
    limit, ranked = loaded.calibration.threshold, loaded.calibration.p_value
    rows = JsonRows(limit, loaded.engine, ranked) if json_ else CsvRows(out, maps is not None, kept, ranked)
    left = [source for source in sources if source.item.name not in kept.scores]
    seen: list[FileScore] = []
    above, failed, done = sum(score > limit for score in kept.scores.values()), [], len(kept.scores)
    try:
        for batch in _scored_with_maps(loaded, left, maps, heat, batch_size, quiet):
            rows.write([(entry, file, entry.score is not None and entry.score > limit) for entry, file in batch])
            above += sum(entry.score is not None and entry.score > limit for entry, _ in batch)
            failed += [entry for entry, _ in batch if entry.score is None]
            seen += [replace(entry, map=None) for entry, _ in batch]
            done += len(batch)
    except KeyboardInterrupt:
        if out and done:
            typer.echo(
                f"\n{done} of {len(sources)} images have their row in {out}; --resume scores the others", err=True
            )
        raise
    finally:
        rows.close()
    typer.echo(
        f"{above} of {len(sources)} images lie above the threshold {limit:.4g}"
        + (f"\nscored by {loaded.graph}" if loaded.graph else "")
        + (f"\nscores    {out}" if out else "")
        + (f"\nmaps      {maps}" if maps else ""),
        err=True,
    )
    for warning in [*([f"left out: {passed}"] if passed.lost else []), *loaded.warnings(seen)]:
        typer.echo(f"{'warning':<9} {warning}", err=True)
    if failed:
        more = f"\n  and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        named = "".join(f"\n  {entry.problem}" for entry in failed[:_NAMED])
        typer.echo(f"{len(failed)} of {len(sources)} images have no score:{named}{more}", err=True)
        raise typer.Exit(1)


def _check_places(run: Path, sources: list[Source], out: Path | None, maps: Path | None) -> dict[str, str]:
    """Refuse places that cannot be written or would cost the user a file; names of heat maps by image."""
    images = [source.image for source in sources if isinstance(source.image, Path)]
    if out is not None:
        places.check_file(out, places.is_table, "a table of scores", reads=[run, *images], stream=True)
    if maps is None:
        return {}
    from unblot.report.heat import heat_map_names

    names = [source.item.name for source in sources]
    heat = dict(zip(names, heat_map_names(names), strict=True))
    places.check_folder(maps)
    if maps.is_dir() and any(maps.iterdir()):
        for file in heat.values():
            places.check_file(maps / file, places.is_own_picture, "a heat map")
    return heat


def _kept(out: Path, loaded: Loaded, sources: list[Source], *, with_maps: bool) -> Kept:
    """The rows that ``out`` holds of these images, after a look whether they are this detector's."""
    kept = read_rows(out, {source.item.name for source in sources}, with_maps=with_maps)
    first = next((source for source in sources if source.item.name in kept.scores), None)
    if first is not None:
        ((entry,),) = loaded.stream([first], 1, False)
        was = kept.scores[first.item.name]
        if entry.score is None or abs(entry.score - was) > 1e-3 * max(abs(entry.score), abs(was)):
            now = "none" if entry.score is None else f"{entry.score:.6g}"
            raise UserError(
                f"{out} holds scores of another detector or of other images: that of {first.item.name} was {was:.6g} "
                f"and is {now}. Leave out --resume to score all images anew, or name another file"
            )
    return kept


def _scored_with_maps(
    loaded: Loaded, sources: list[Source], maps: Path | None, heat: dict[str, str], batch_size: int, quiet: bool
) -> Iterator[list[tuple[FileScore, str]]]:
    """Scores batch by batch, each with the file of its heat map, which is written by then."""
    batches = loaded.stream(sources, batch_size, False if quiet else None)
    if maps is None:
        yield from ([(entry, "") for entry in batch] for batch in batches)
        return
    from unblot.data.fitting import over_image
    from unblot.evaluation.maps import MapRange
    from unblot.report.heat import write_heat_map

    output.make_folder(maps)
    span = loaded.calibration.map_range
    for batch in batches:
        found = [entry.map for entry in batch if entry.map is not None]
        if span is None and found:  # a run of an earlier version does not know it: the first images decide
            seen = MapRange()
            for anomaly_map in found:
                seen.add(anomaly_map[None])
            span = seen.bounds()
        for entry in batch:
            if entry.map is not None and entry.facts is not None and span is not None:
                low, usual = span
                over = over_image(entry.map, loaded.reading.fit, entry.facts.width, entry.facts.height)
                write_heat_map(maps / heat[entry.name], over, low, low + _BEYOND * (usual - low))
        yield [(entry, "" if entry.map is None else heat[entry.name]) for entry in batch]
