"""The protocol taken apart, as a command: see :mod:`research.protocol`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from research.protocol.study import protocol_study
from unblot.cli import flags, output, places, settings
from unblot.cli.program import exit_codes
from unblot.evaluation.audit import quick_warnings
from unblot.training import resolve

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    data: flags.Data = None,
    *,
    config: flags.Config = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="studies/DATA-MODEL")] = None,
    quiet: flags.Quiet = False,
    json_: flags.Json = False,
    root: flags.Root = None,
    normal: flags.Normal = None,
    abnormal: flags.Abnormal = None,
    size: flags.OwnSize = None,
    channels: flags.Channels = None,
    group: flags.Group = None,
    group_gap: flags.GroupGap = None,
    held_out: flags.HeldOut = None,
    test: flags.Test = None,
    split_seed: flags.SplitSeed = None,
    limit: flags.Limit = None,
    test_limit: flags.TestLimit = None,
    model: flags.Model = None,
    set_: flags.Set = None,
    corruption: flags.Corruption = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    lr: flags.Lr = None,
    seed: flags.Seed = None,
    device: flags.Device = None,
    precision: flags.Precision = None,
    workers: flags.Workers = None,
    judge: flags.Judge = None,
) -> None:
    """Train once, then change the test mode alone: batch statistics, order by class, best epoch, with two controls.

    Started again, it goes on where it stopped.
    """
    given = settings.given(locals())
    with exit_codes():
        _run(given, out, quiet=quiet, json_=json_)


def _run(given: dict[str, Any], out: Path | None, *, quiet: bool, json_: bool) -> None:
    voice = output.Voice(json_)
    data_config, train_config = settings.data_config(given), settings.train_config(given)
    named = "-".join([settings.slug(data_config.data), *map(settings.slug, data_config.abnormal), train_config.model])
    folder = places.check_folder(out or Path("studies") / named)
    places.check_file(folder / "study.json", places.is_record("format", "rows"), "a study")
    places.check_file(folder / "table.md", places.beside("study.json", "format", "rows"), "a study")
    places.check_file(folder / "plot.png", places.is_own_picture, "a plot")
    output.make_folder(folder)
    train_config, data_config, splits = resolve(train_config, data_config, progress=False if quiet else None)
    splits.warnings.extend(quick_warnings(splits))
    output.say(voice, splits, settings.new_detector(train_config, splits), study=folder)
    protocol_study(train_config, data_config, splits, folder, progress=not quiet)
    voice.say(f"\n{(folder / 'table.md').read_text(encoding='utf-8')}\nplot      {folder / 'plot.png'}")
    voice.line(folder=str(folder), table=str(folder / "table.md"), plot=str(folder / "plot.png"))


if __name__ == "__main__":
    app(prog_name="python -m research.protocol")
