"""``unblot compare``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblot.cli import flags, output, places, settings
from unblot.cli.program import app
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.comparison import Outcome

__all__ = ["compare"]

OWN = "own"  # the corruption that suits each detector


def _names(text: str, default: str, metavar: str) -> Any:
    return typer.Option(help=text, show_default=default or False, metavar=metavar, rich_help_panel="Grid")


@app.command()
def compare(
    data: flags.Data = None,
    *,
    config: flags.Config = None,
    models: Annotated[list[str] | None, _names("Detectors.", "auto,memory", "NAME,NAME")] = None,
    corruptions: Annotated[
        list[str] | None,
        _names("own (what suits each detector), none, gaussian, box, mixed, or JSON files.", "own", "NAME,NAME"),
    ] = None,
    protocols: Annotated[list[str] | None, _names("clean, published.", "clean", "NAME,NAME")] = None,
    seeds: Annotated[
        list[str] | None, _names("Each fixes a training, and its split unless --split-seed is given.", "0", "N,N")
    ] = None,
    classes: Annotated[
        list[str] | None, _names("Classes left out in turn as abnormal; all for every one.", "", "NAME,NAME")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="An option of every detector (KEY=VALUE) or of one (MODEL.KEY=VALUE); repeatable.",
            metavar="[MODEL.]KEY=VALUE",
            callback=flags.add_options,
            rich_help_panel="Grid",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Trainings at a time.", min=1, show_default="one for each GPU, else 1", rich_help_panel="Grid"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the grid; one that is there goes on.", show_default="compare/DATA")
    ] = None,
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
    group: flags.Group = None,
    group_gap: flags.GroupGap = None,
    held_out: flags.HeldOut = None,
    test: flags.Test = None,
    split_seed: flags.SplitSeed = None,
    limit: flags.Limit = None,
    test_limit: flags.TestLimit = None,
    backbone: flags.Backbone = None,
    weights: flags.Weights = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    lr: flags.Lr = None,
    device: flags.Device = None,
    precision: flags.Precision = None,
    workers: flags.Workers = None,
    quantile: flags.Quantile = None,
    threshold_by: flags.ThresholdBy = None,
    judge: flags.Judge = None,
) -> None:
    """Train detectors with corruptions and seeds, judge them under protocols, and put the figures into one table.

    Started again, it goes on where it stopped; more names may be given then. A failure stops no other training, stands
    in the table and makes the exit code 1.
    """
    given = settings.given(locals())
    voice = output.Voice(json_)
    from unblot.comparison import plan, run_grid, summarise, write_tables
    from unblot.evaluation import protocol_named

    data_config = settings.data_config(given)
    chosen = _split_names(given.get("models", ("auto", "memory")))
    options = settings.model_options(given)
    train_config = settings.train_config(
        {name: value for name, value in given.items() if name not in ("set_", "backbone", "weights")}
    )
    modes = [protocol_named(name) for name in dict.fromkeys(_split_names(given.get("protocols", ("clean",))))]
    trainings = plan(
        data_config,
        train_config,
        models=chosen,
        corruptions=_corruptions(_split_names(given.get("corruptions", (OWN,)))),
        seeds=[_seed(text) for text in _split_names(given.get("seeds", ("0",)))],
        classes=_split_names(given.get("classes", ())),
        options=_options(options, chosen),
        split_by_seed=split_seed is None,
    )
    folder = places.check_folder(out or Path("compare") / settings.slug(data_config.data))
    places.check_file(folder / "table.json", places.is_record("settings", "format"), "a comparison")
    places.check_file(folder / "table.md", places.beside("table.json", "settings", "format"), "a comparison")
    places.check_file(folder / "table.html", places.is_page, "a comparison")
    output.make_folder(folder)
    voice.say(f"grid      {len(trainings)} trainings, {len(trainings) * len(modes)} cells, in {folder}")
    outcomes: dict[str, Outcome] = {}

    def report(outcome: Outcome, done: int, left: float | None) -> None:
        outcomes[outcome.training.name] = outcome
        voice.say(_progress(outcome, done, len(trainings), left))
        so_far = [outcomes[training.name] for training in trainings if training.name in outcomes]
        write_tables(summarise(so_far, data_config, train_config), folder)

    ended = run_grid(trainings, modes, folder, jobs=jobs, progress=not quiet, report=report)
    failed = [outcome for outcome in ended if outcome.error is not None]
    voice.say(f"\ntables    {folder / 'table.md'}, table.json, {folder / 'table.html'}")
    voice.line(
        folder=str(folder),
        table=str(folder / "table.json"),
        trainings=len(ended),
        failed=[outcome.training.name for outcome in failed],
    )
    if failed:
        typer.echo(f"{len(failed)} of {len(ended)} trainings failed; why says {folder / 'errors'}", err=True)
        raise typer.Exit(1)


def _split_names(values: tuple[str, ...]) -> list[str]:
    """Names from flags that may be repeated and hold several with commas."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds takes whole numbers, such as 0,1,2; got {text!r}")
    return int(text)


def _corruptions(names: list[str]) -> dict[str, str | None]:
    """What the library takes, by the short name for tables."""
    short: dict[str, str | None] = {}
    for name in names:
        if name == OWN:
            short[OWN] = None
            continue
        settings.corruption(name)
        key = settings.slug(Path(name).stem)
        if key in short:
            raise UserError(f"two corruptions would both be called {key!r}: {short[key]} and {name}")
        short[key] = settings.absolute(name)
    return short


def _options(asked: Mapping[str, Any], models: list[str]) -> Mapping[str, dict[str, Any]]:
    """Options by model; one without a model's name belongs to all."""
    options: dict[str, dict[str, Any]] = {model: {} for model in models}
    for key, value in asked.items():
        model, dot, name = key.partition(".")
        if dot and model not in options:
            raise UserError(f"--set {key}={value}: {model!r} is none of the detectors {', '.join(models)}")
        for target in [model] if dot else models:
            options[target][name if dot else key] = value
    return options


def _progress(outcome: Outcome, done: int, total: int, left: float | None) -> str:
    """One line for a training that ended."""
    figures = [
        f"{name} {'–' if cell['auroc'] is None else format(cell['auroc'], '.3f')}"
        for name, cell in outcome.cells.items()
    ]
    said = ", ".join([*(["AUROC " + ", ".join(figures)] if figures else []), *filter(None, [outcome.error])])
    time = "" if left is None or done == total else f"   about {_duration(left)} left"
    return f"[{done:>{len(str(total))}}/{total}] {outcome.training.name}: {said}{time}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
