"""``unblot eval``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblot.cli import flags, output, places, settings
from unblot.cli.program import app

if TYPE_CHECKING:
    from unblot.data import DataConfig
    from unblot.evaluation import Evaluation, Protocol
    from unblot.training import Run

__all__ = ["evaluate"]


@app.command("eval")
def evaluate(
    run: flags.RunDir,
    data: Annotated[str | None, typer.Argument(help="Other data than it was trained on.", show_default=False)] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures, scores, report.", show_default="RUN/eval")
    ] = None,
    batch_size: flags.ScoreBatch = 64,
    device: flags.ScoreDevice = "auto",
    protocol: Annotated[
        str,
        typer.Option(
            help="clean, or published: test batches ordered by class and BatchNorm with their statistics, "
            "not reachable in use."
        ),
    ] = "clean",
    quiet: flags.Quiet = False,
    json_: flags.Json = False,
    root: flags.Root = None,
    normal: flags.Normal = None,
    abnormal: flags.Abnormal = None,
    masks: flags.Masks = None,
    group: flags.Group = None,
    group_gap: flags.GroupGap = None,
    test: flags.Test = None,
    split_seed: flags.SplitSeed = None,
) -> None:
    """Judge a trained detector on test images, by default those of its own split: figures and a report."""
    given = settings.given(locals())
    voice = output.Voice(json_)
    from unblot.data import load_data
    from unblot.evaluation import evaluate as judge
    from unblot.evaluation import protocol_named
    from unblot.evaluation.audit import quick_warnings
    from unblot.report import write_report
    from unblot.training import load_run
    from unblot.training.engine import launched

    mode = replace(protocol_named(protocol).at_last_epoch(), batch_size=batch_size)
    trained = load_run(run)
    own, config = _eval_config(trained, given)
    named = ["eval", *([] if config == own else [settings.slug(config.data)]), *([] if mode.reachable else [mode.name])]
    folder = out or run / "-".join(named)
    _check_places(folder)
    splits = load_data(config, reading=trained.reading, progress=False if quiet else None)
    splits.warnings.extend(quick_warnings(splits))
    splits.warnings.extend(trained.said_of(splits.test))
    if config == own and trained.images is not None:
        splits.warnings.extend(trained.images.gone(splits))
    output.make_folder(folder)
    output.say(voice, splits, trained.detector, device=settings.device(device), run=run)
    fabric = launched(replace(trained.train, device="cuda" if settings.device(device) != "cpu" else "cpu"))
    place = settings.device(device) if fabric is None else fabric.device
    evaluation = judge(
        trained.detector,
        splits,
        trained.calibration,
        protocol=mode,
        batch_size=batch_size,
        device=place,
        progress=not quiet,
        fabric=fabric,
        provenance=trained.provenance,
    )
    if fabric is not None and not fabric.is_global_zero:
        return  # the first process writes
    evaluation.write(folder)
    configuration = {"data": config.to_dict(), "training": trained.train.to_dict()}
    report = write_report(
        evaluation,
        folder,
        detector=trained.detector,
        configuration=configuration,
        corruption_spec=trained.corruption,
        device=place,
    )
    best = _best_epoch(run, mode) if config == own and not mode.reachable else ""
    voice.say(f"\n{_figures(evaluation)}{best}\n\nscores    {folder / 'scores.csv'}\nreport    {report}")
    voice.line(folder=str(folder), report=str(report), **evaluation.metrics)


def _check_places(folder: Path) -> None:
    """Refuse a folder that cannot take the result, or where it would replace a file of someone else's."""
    places.check_folder(folder)
    places.check_file(folder / "metrics.json", places.is_record("format", "protocol"), "figures")
    places.check_file(folder / "scores.csv", places.is_table, "a table of scores")
    places.check_file(folder / "report.html", places.is_page, "a report")


def _eval_config(trained: Run, given: Mapping[str, Any]) -> tuple[DataConfig, DataConfig]:
    """What the run was trained on, and what to judge it on: the same but for what was given.

    Another folder keeps the settings of a folder (its group, its names of normal and abnormal); another kind of data
    starts from the defaults.
    """
    from unblot.data import DATA_SETS, DataConfig

    detector, how = trained.detector, trained.reading
    shape: dict[str, Any] = {"channels": detector.channels, "size": detector.size}
    shape |= {"fit": how.fit, "tile": how.tile, "overlap": how.overlap}
    own = replace(trained.data, **shape)
    asked = settings.data_config({"data": own.data, **given, **shape})
    if own.data == asked.data or not {own.data, asked.data} & DATA_SETS.keys():
        asked = replace(own, **{name: getattr(asked, name) for name in settings.chosen(DataConfig, given)})
    if own.data == asked.data:
        own = replace(own, root=asked.root)  # the same data set at another place
    return own, asked


def _best_epoch(run: Path, protocol: Protocol) -> str:
    """The third switch of the published protocol, where the test set was scored after every epoch of the run."""
    from unblot.comparison import best_epoch
    from unblot.comparison.epochs import read_epochs

    if not (epochs := [entry for entry in read_epochs(run) if protocol.name in entry]):
        return (
            "\n(last epoch; the best one on the test set is known for runs of `unblot compare --protocols published`)"
        )
    number, figures = best_epoch(epochs, protocol.name)
    return (
        f"\nbest of {len(epochs)} epochs on the test set: epoch {number}, AUROC {figures['auroc']:.3f}, "
        f"AUPRC {figures['auprc']:.3f}"
    )


def _figures(evaluation: Evaluation) -> str:
    """The figures as a small table."""
    metrics, protocol = evaluation.metrics, evaluation.protocol
    names = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "f1": "F1",
        "precision": "precision",
        "recall": "recall",
        "false_positive_rate": "false alarms",
    }
    texts = [f"{protocol.label}: {protocol.text}", *metrics["provenance"]["told"]]
    lines = [line for text in texts for line in textwrap.wrap(text, 100)]
    lines = [f"{'protocol' if k == 0 else '':<9} {line}" for k, line in enumerate(lines)]
    rows = {label: metrics[key] for key, label in names.items()}
    if metrics["pixel"]:
        pixel = {"pixel AUROC": "auroc", "pixel AUPRC": "auprc", "pixel PRO": "pro_0.3"}
        rows |= {label: metrics["pixel"][key] for label, key in pixel.items()}
    lines += [f"{label:<14} {'not defined' if value is None else f'{value:.3f}'}" for label, value in rows.items()]
    return "\n".join(lines)
