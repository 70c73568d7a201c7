"""``unblot audit``: what would fake a result, before any number is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unblot.cli import flags, output, places, settings
from unblot.cli.program import app

__all__ = ["audit"]


@app.command()
def audit(
    data: flags.Data = None,
    *,
    config: flags.Config = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="audits/DATA")] = None,
    quiet: flags.Quiet = False,
    json_: flags.Json = False,
    root: flags.Root = None,
    normal: flags.Normal = None,
    abnormal: flags.Abnormal = None,
    masks: flags.Masks = None,
    size: Annotated[
        int,
        typer.Option(help="Height and width in pixels that images are compared at.", min=1, rich_help_panel="Data"),
    ] = 64,
    channels: flags.Channels = None,
    bits: flags.Bits = None,
    group: flags.Group = None,
    group_gap: flags.GroupGap = None,
    held_out: flags.HeldOut = None,
    test: flags.Test = None,
    split_seed: flags.SplitSeed = None,
) -> None:
    """Look for what would fake a result on DATA: repeats across the split, facts that give labels away, bad files.

    Writes audit.json and audit.html, with images side by side. Exit code 1: something found would fake a result.
    """
    given = settings.given(locals())
    voice = output.Voice(json_)
    from unblot.evaluation.audit import FAKE
    from unblot.evaluation.audit import audit as look
    from unblot.files import write_json, write_text
    from unblot.report.audit import lines, page

    data_config = settings.data_config(given)
    folder = out or Path("audits") / settings.slug(data_config.data)
    places.check_folder(folder)
    places.check_file(folder / "audit.json", places.is_record("findings"), "an audit")
    places.check_file(folder / "audit.html", places.is_page, "the page of an audit")
    output.make_folder(folder)
    found = look(data_config, progress=False if quiet else None)
    write_json(folder / "audit.json", found.to_dict())
    write_text(folder / "audit.html", page(found))
    voice.say(f"{found.description}\n\n{lines(found)}\n\naudit     {folder / 'audit.html'}")
    voice.line(**{"folder": str(folder), **found.to_dict(), "level": found.level})
    if found.level == FAKE:
        typer.echo("A result on these data, split like this, would be faked by what FAKES marks.", err=True)
        raise typer.Exit(1)
