"""``unblot export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unblot.cli import flags, output, places
from unblot.cli.program import app
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.deploy.parity import Gap

__all__ = ["export"]


@app.command()
def export(
    run: flags.RunDir,
    *,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="RUN/model.onnx")] = None,
    to: Annotated[str, typer.Option(help="onnx.")] = "onnx",
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Images or folders to compare on; repeatable.", show_default="test images of the run's data"),
    ] = None,
    batch_size: flags.ScoreBatch = 16,
    json_: flags.Json = False,
) -> None:
    """Write a trained detector as one ONNX file from bytes to score and map, and compare both on real images: at the
    training size, and as larger frames that the file resizes itself.

    Exit code 1: the largest relative difference of a score exceeds 1e-4, one of a map 1e-2, or an image is judged
    otherwise; the file is written nevertheless.
    """
    if to != "onnx":
        raise UserError(f"--to must be onnx; got {to!r}")
    voice = output.Voice(json_)
    file = places.check_file(out or run / "model.onnx", places.is_export, "an exported detector")
    from unblot.deploy import export as deploy
    from unblot.deploy import in_run, parity
    from unblot.training import load_run

    trained = load_run(run)
    if why := deploy.refusal(trained.detector):
        raise UserError(why)
    images = parity.check_images(trained, check)  # before the work, so that nothing is written if they are missing
    output.make_folder(file.parent)
    deploy.export(trained, file)
    found = parity.check(trained, file, images, batch_size=batch_size)
    taken, in_run_too = in_run.note(trained, file, found), output.command("unblot", "predict", run, "IMAGES")
    voice.say(
        f"exported  {file} ({file.stat().st_size / 1e6:.1f} MB)\n"
        f"compared  {_said(found.resized, 'images')}\n"
        f"          {_said(found.frames, 'camera-sized frames')}\n"
        f"speed     torch {found.torch_speed:.1f} images/s, onnxruntime {found.graph_speed:.1f} images/s\n"
        f"next      {output.command('unblot', 'predict', file, 'IMAGES')}"
        + (f"\n          {in_run_too} scores up to {in_run.FEW} images with it, too" if taken else "")
    )
    voice.line(
        file=str(file),
        images=found.resized.images,
        score_difference=found.resized.score,
        map_difference=found.resized.map,
        judged_otherwise=found.resized.judged,
        frames=found.frames.images,
        frame_score_difference=found.frames.score,
        frame_map_difference=found.frames.map,
        frames_judged_otherwise=found.frames.judged,
        torch_images_per_second=found.torch_speed,
        onnx_images_per_second=found.graph_speed,
        passed=found.passed,
    )
    if not found.passed:
        typer.echo(
            f"the scores differ by more than {parity.TOLERANCE:g}, the maps by more than {parity.MAP_TOLERANCE:g}, or "
            "images are judged otherwise: do not use this file",
            err=True,
        )
        raise typer.Exit(1)


def _said(gap: Gap, what: str) -> str:
    return (
        f"{gap.images} {what}; largest relative difference: score {gap.score:.2g}, map {gap.map:.2g}; "
        f"{gap.judged} judged otherwise"
    )
