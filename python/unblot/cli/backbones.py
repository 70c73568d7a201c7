"""``unblot backbones``: which networks can give features here, with which weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from unblot.cli import flags, output, settings
from unblot.cli.program import app
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.backbones.listing import Listed

__all__ = ["backbones"]

_COLUMNS = ("backbone", "weights", "licence", "at hand", "MiB", "features")


@app.command()
def backbones(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Names that timm has, such as 'vit_*dinov2*'; without, those that are tested, and those in the cache.",
            show_default=False,
        ),
    ] = None,
    *,
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure images per second on this machine, some seconds for each.")
    ] = False,
    size: Annotated[int, typer.Option(help="Size of the images that are timed.", min=32)] = 256,
    json_: flags.Json = False,
) -> None:
    """List networks whose features detectors can use, with their pretraining and licence as timm states them.

    Weights are installed, in the cache of an earlier download, or still to be had: downloaded by timm when a training
    starts, or given as a file with --weights.

    Example: unblot backbones 'vit_*dinov2*'
    """
    voice = output.Voice(json_)
    import torch

    from unblot.backbones.listing import listed, named
    from unblot.backbones.listing import speed as measured

    found, device = [], settings.device("auto")
    for name in named(pattern):
        try:
            one = listed(name)
            if speed:
                rate, at = measured(name, size, device)
                one = replace(one, speed=round(rate, 2), timed_at=at)
        except UserError as error:
            if pattern == name:
                raise
            voice.say(f"left out  {error}")
            continue
        found.append(one)
    if not found:
        raise UserError(f"none of the models like {pattern!r} gives features that detectors can use")
    columns = [*_COLUMNS, *(["images/s"] if speed else [])]
    voice.say(output.table([columns, *map(_row, found)]))
    if speed:
        engine = f"{torch.get_num_threads()} threads of the CPU" if device == "cpu" else device
        voice.say(f"\nmeasured here, now, with random weights: {engine}")
    voice.say("\nunblot train DATA --backbone NAME [--weights FILE] takes one of them.")
    voice.line(backbones=[one.to_dict() for one in found])


def _row(one: Listed) -> list[str]:
    mib = "–" if one.mib is None else f"{one.mib:.0f}"
    row = [one.name, one.weights, one.licence or "–", one.at_hand, mib, one.features]
    return row if one.speed is None else [*row, f"{one.speed:.1f} at {one.timed_at} px"]
