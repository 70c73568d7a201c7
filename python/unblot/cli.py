"""The ``unblot`` command: one thin function per verb.

A verb turns flags into ``DataConfig`` and ``TrainConfig``, says what it understood, calls the library and says where
the results lie. torch and all that needs it is imported inside the verbs, so that ``unblot --help`` answers at once.
What a user can put right ends in one text on stderr and exit code 2; anything else keeps its traceback.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from unblot.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unblot.corruption.spec import Spec
    from unblot.data import DataConfig, Splits
    from unblot.models import Detector
    from unblot.training import Run, TrainConfig

__all__ = ["app"]


class _Verbs(TyperGroup):
    """The group of all verbs; the one place where errors become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Verbs,
    help="Train image anomaly detectors from normal images only, and judge images with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


# --- flags: each is declared once; None means "not given", and the library's own default holds ----------------------


def _read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the names in a TOML or JSON file the defaults of the flags of this verb.

    A training file serves ``preview`` too: names that only ``train`` knows are left alone there, and so is ``out``.
    """
    if path is None or ctx.parent is None:
        return path
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot read the configuration file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(
            f"{path} is not valid {'JSON' if path.suffix.lower() == '.json' else 'TOML'}: {error}"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold names and values, such as epochs = 5; it holds a {type(values).__name__}")
    own = {_flag(param): param for param in ctx.command.params}
    known = own | {_flag(param): param for param in ctx.parent.command.commands["train"].params}  # type: ignore[attr-defined]
    defaults: dict[str, Any] = {}
    for name, value in values.items():
        flag = str(name).replace("_", "-")
        if flag not in known or flag in ("config", "help"):
            close = difflib.get_close_matches(flag, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known names: {', '.join(sorted(known))}"
            raise UserError(f"{path}: unknown name {name!r}; {hint}")
        if flag not in own or value is None or (flag == "out" and ctx.info_name != "train"):
            continue
        if flag == "set" and isinstance(value, Mapping):
            value = [f"{key}={json.dumps(entry)}" for key, entry in value.items()]  # noqa: PLW2901
        param = own[flag]
        given = _as_given(param, value)
        try:
            param.process_value(ctx, given)
        except typer.BadParameter as error:
            raise UserError(f"{path}: {name} = {value!r}: {error.message}") from error
        defaults[str(param.name)] = given
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _flag(param: Any) -> str:
    """A parameter's name in a configuration file: its long flag without dashes, or the name of an argument."""
    return str(max(param.opts, key=len)).lstrip("-").replace("_", "-").lower()


def _as_given(param: Any, value: Any) -> Any:
    """A value of a file as the command line would give it, so that one set of checks serves both."""
    if getattr(param, "is_flag", False):
        return value
    if getattr(param, "multiple", False):
        return [str(entry) for entry in (value if isinstance(value, list) else [value])]
    return str(value)


def _add_options(ctx: typer.Context, values: list[str] | None) -> list[str]:
    """Options of the detector from the file, then those from the command line: a later one goes before an earlier."""
    return [*(ctx.default_map or {}).get("set_", []), *(values or [])]


def _print_version(wanted: bool) -> None:
    if wanted:
        import unblot

        typer.echo(f"unblot {unblot.__version__}")
        raise typer.Exit


def _data(text: str, default: str | None = None, **more: Any) -> Any:
    return typer.Option(help=text, show_default=default or False, rich_help_panel="Data", **more)


def _model(text: str, default: str | None = None, *names: str, **more: Any) -> Any:
    return typer.Option(
        *names, help=text, show_default=default or False, rich_help_panel="Detector and training", **more
    )


Data = Annotated[
    str | None,
    typer.Argument(
        help="digits, cifar10, magnetic-tile, or a folder: MVTec AD layout (train/good, test/<defect>), or any folder "
        "with --normal and --abnormal.",
        show_default="digits",
    ),
]
RunDir = Annotated[Path, typer.Argument(help="Run directory that `unblot train` wrote.", show_default=False)]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML or JSON file with the names of these flags (epochs = 5); flags go before the file.",
        callback=_read_config,
        is_eager=True,
        show_default=False,
    ),
]
Root = Annotated[str | None, _data("Where a named data set lies.")]
Normal = Annotated[list[str] | None, _data("Class or folder of normal images; repeatable.", metavar="NAME")]
Abnormal = Annotated[
    list[str] | None, _data("Class or folder of abnormal images, for the test; repeatable.", metavar="NAME")
]
Masks = Annotated[list[str] | None, _data("Folder of pixel masks of the abnormal images; repeatable.", metavar="NAME")]
Size = Annotated[int | None, _data("Height and width in pixels that images are resized to.", "32")]
Channels = Annotated[int | None, _data("1 (grayscale) or 3 (RGB).", "found from the images")]
Group = Annotated[
    str | None,
    _data("Regular expression on an image's path; what it captures names the part or session, which no split divides."),
]
GroupGap = Annotated[int | None, _data("Join groups whose captured numbers lie at most this far apart.")]
HeldOut = Annotated[float | None, _data("Share of the training normals kept for the threshold.", "0.1")]
Test = Annotated[
    float | None, _data("Share of the normals kept for the test, where the data bring no test part.", "0.2")
]
SplitSeed = Annotated[int | None, _data("Seed of random splits.", "0")]
Limit = Annotated[int | None, _data("Train on at most this many images.")]

Model = Annotated[str | None, _model("Detector by name, such as nested or dae; a wrong name lists all.", "nested")]
Set = Annotated[
    list[str] | None,
    _model(
        "An option of the detector, such as width=16; repeatable.",
        None,
        "--set",
        metavar="KEY=VALUE",
        callback=_add_options,
    ),
]
Corruption = Annotated[
    str | None, _model("box, gaussian, none, or a JSON file that describes a corruption.", "box", "--corruption")
]
Epochs = Annotated[int | None, _model("Passes over the training images.", "15")]
BatchSize = Annotated[int | None, _model("Images per training step.", "64")]
Lr = Annotated[float | None, _model("Learning rate at the start.", "0.0002")]
Seed = Annotated[int | None, _model("Seed of weights, shuffling and corruption.", "0")]
Device = Annotated[str | None, _model("auto, cpu or cuda.", "auto")]
Devices = Annotated[int | None, _model("Number of devices.", "1")]
Precision = Annotated[str | None, _model("fp32 or bf16.", "fp32")]
Workers = Annotated[int | None, _model("Processes that load and blot images; 0 does it in the main process.", "0")]
Quantile = Annotated[float | None, _model("Quantile of held-out normal scores that is the threshold.", "0.95")]
ScoreBatch = Annotated[
    int, typer.Option("--batch-size", help="Images scored at a time; does not change a score.", min=1)
]
ScoreDevice = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Flags that stand before a verb; ``version`` is handled by its callback."""
    del version


# --- the verbs ------------------------------------------------------------------------------------------------------


@app.command()
def train(
    data: Data = None,
    *,
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory to write.", show_default="runs/DATA-MODEL-CORRUPTION")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    quiet: Quiet = False,
    root: Root = None,
    normal: Normal = None,
    abnormal: Abnormal = None,
    masks: Masks = None,
    size: Size = None,
    channels: Channels = None,
    group: Group = None,
    group_gap: GroupGap = None,
    held_out: HeldOut = None,
    test: Test = None,
    split_seed: SplitSeed = None,
    limit: Limit = None,
    model: Model = None,
    set_: Set = None,
    corruption: Corruption = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    seed: Seed = None,
    device: Device = None,
    devices: Devices = None,
    precision: Precision = None,
    workers: Workers = None,
    quantile: Quantile = None,
) -> None:
    """Train a detector on the normal images of DATA and take its threshold from held-out normal images."""
    given = _given(locals())
    from unblot.data import load_data
    from unblot.training import NonFiniteLossError
    from unblot.training import train as run_training

    data_config, train_config = _data_config(given), _train_config(given)
    folder = _run_folder(out, resume, data_config, train_config)
    if resume:
        given = _settings(folder) | given
        data_config, train_config = _data_config(given), _train_config(given)
    splits = load_data(data_config, progress=False if quiet else None)
    _say(
        splits,
        _new_detector(train_config, splits),
        noise=_corruption(train_config.corruption) or "none",
        device=f"{_device(train_config.device)}, {train_config.precision}",
        run=folder,
    )
    try:
        run_training(train_config, splits, folder, data=data_config, resume=resume, progress=not quiet)
    except NonFiniteLossError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        typer.echo(f"\nstopped. To continue:\n  {_command('unblot', 'train', '--resume', '--out', folder)}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"trained   {folder}\nnext      {_command('unblot', 'eval', folder)}")


@app.command("eval")
def evaluate(
    run: RunDir,
    data: Annotated[str | None, typer.Argument(help="Other data than it was trained on.", show_default=False)] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures, scores, report.", show_default="RUN/eval")
    ] = None,
    batch_size: ScoreBatch = 64,
    device: ScoreDevice = "auto",
    quiet: Quiet = False,
    root: Root = None,
    normal: Normal = None,
    abnormal: Abnormal = None,
    masks: Masks = None,
    group: Group = None,
    group_gap: GroupGap = None,
    test: Test = None,
    split_seed: SplitSeed = None,
) -> None:
    """Judge a trained detector on test images, by default those of its own split: figures and a report."""
    given = _given(locals())
    from unblot.data import load_data
    from unblot.report import write_report
    from unblot.scoring import evaluate as judge
    from unblot.training import load_run

    trained = load_run(run)
    own, config = _eval_config(trained, given)
    splits = load_data(config, progress=False if quiet else None)
    if config != own:
        splits.warnings.extend(_trained_on(own, splits))
    folder = _make_folder(out or run / ("eval" if config == own else f"eval-{_slug(config.data)}"))
    _say(splits, trained.detector, device=_device(device), run=run)
    evaluation = judge(
        trained.detector,
        splits,
        trained.calibration,
        batch_size=batch_size,
        device=_device(device),
        progress=not quiet,
    )
    evaluation.write(folder)
    configuration = {"data": config.to_dict(), "training": trained.train.to_dict()}
    report = write_report(
        evaluation, folder, detector=trained.detector, configuration=configuration, corruption_spec=trained.corruption
    )
    typer.echo(f"\n{_figures(evaluation.metrics)}\n\nscores    {folder / 'scores.csv'}\nreport    {report}")


@app.command()
def predict(
    run: RunDir,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(help="CSV file.", show_default="standard output")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for PNG heat maps, one colour scale for all.", show_default=False)
    ] = None,
    batch_size: ScoreBatch = 64,
    device: ScoreDevice = "auto",
    quiet: Quiet = False,
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
            _make_folder(folder)
    scores = score_set(trained.detector, images, batch_size=batch_size, device=_device(device), progress=not quiet)
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


@app.command()
def preview(
    data: Data = None,
    *,
    config: Config = None,
    corruption: Corruption = None,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("preview.png"),
    number: Annotated[int, typer.Option("--count", help="Number of images.", min=1, max=50)] = 4,
    seed: Annotated[int, typer.Option(help="Chooses the images and draws the corruption.", min=0)] = 0,
    root: Root = None,
    normal: Normal = None,
    abnormal: Abnormal = None,
    size: Size = None,
    channels: Channels = None,
) -> None:
    """Show what a corruption does to normal images of DATA: a PNG with each image beside five corrupted ones."""
    given = _given(locals())
    from unblot.report.sheet import contact_sheet

    spec = _corruption(given.get("corruption", "box"))
    sheet = contact_sheet(_some_images(_data_config(given), number, seed), spec, seed=seed)
    _make_folder(out.parent)
    with _replacing(out) as temporary:
        sheet.save(temporary, format="PNG")
    typer.echo(f"corruption  {spec or 'none'}\npreview     {out}")


# --- from flags to what the library takes ---------------------------------------------------------------------------


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given, by name; lists as tuples."""
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != ()}


def _chosen(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags that are fields of a configuration."""
    return {field.name: given[field.name] for field in fields(cls) if field.name in given}


@contextmanager
def _user_values() -> Iterator[None]:
    """Inside, a value that the library refuses is the user's to correct."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def _data_config(given: Mapping[str, Any]) -> DataConfig:
    """Folders are made absolute, so that a run can be evaluated from anywhere."""
    from unblot.data import DATA_SETS, DataConfig

    values = _chosen(DataConfig, given)
    if (data := values.get("data")) and data not in DATA_SETS and Path(data).is_dir():
        values["data"] = str(Path(data).resolve())
        for name in {"normal", "abnormal", "masks"} & values.keys():
            values[name] = tuple(f if (Path(data) / f).is_dir() else _absolute(f) for f in values[name])
    if "root" in values:
        values["root"] = str(Path(values["root"]).resolve())
    with _user_values():
        return DataConfig(**values)


def _train_config(given: Mapping[str, Any]) -> TrainConfig:
    from unblot.training import TrainConfig

    values = _chosen(TrainConfig, given)
    if "set_" in given:
        values["model_options"] = values.get("model_options", {}) | dict(map(_key_value, given["set_"]))
    if "corruption" in values:
        _corruption(values["corruption"])
        values["corruption"] = _absolute(values["corruption"])
    with _user_values():
        return TrainConfig(**values)


def _absolute(path: str) -> str:
    """A path that exists made absolute; anything else as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _key_value(text: str) -> tuple[str, Any]:
    """KEY=VALUE of ``--set``; the value is JSON where it parses as such, else a string."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UserError(f"--set takes KEY=VALUE, such as --set width=16; got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _corruption(name: str) -> Spec | None:
    """A corruption by name or file."""
    from unblot.corruption.spec import load_spec, named

    if name in ("box", "gaussian", "none"):
        return named(name)
    if not Path(name).is_file():
        raise UserError(
            f"no corruption named {name!r} and no file of that name; give box, gaussian, none, or a JSON file"
        )
    return load_spec(name)


def _run_folder(out: Path | None, resume: bool, data: DataConfig, config: TrainConfig) -> Path:
    """The folder asked for, or runs/<data>-<model>-<corruption>, with a number where that is taken."""
    plain = out or Path("runs") / f"{_slug(data.data)}-{config.model}-{_slug(Path(config.corruption).stem)}"
    if resume and not plain.is_dir():
        raise UserError(f"no run to resume at {plain}; name it with --out, or leave out --resume to start anew")
    if out or resume or not plain.exists():
        return plain
    return next(path for n in count(2) if not (path := plain.with_name(f"{plain.name}-{n}")).exists())


def _settings(folder: Path) -> dict[str, Any]:
    """What the run in ``folder`` was asked for, by field. What is wrong with a folder, ``training`` says."""
    try:
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return _given({**(stored["data"] or {}), **stored["training"]})
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", Path(name).name).strip("-") or "data"


def _new_detector(config: TrainConfig, splits: Splits) -> Detector:
    """A detector as training will build it, to say its size and to refuse its options before any work."""
    from unblot.models import create

    with _user_values():
        return create(config.model, channels=splits.train.channels, size=splits.train.size, **config.model_options)


def _eval_config(trained: Run, given: Mapping[str, Any]) -> tuple[DataConfig, DataConfig]:
    """What the run was trained on, and what to judge it on: the same but for what was given.

    Another folder keeps the settings of a folder (its group, its names of normal and abnormal); another kind of data
    starts from the defaults.
    """
    from unblot.data import DATA_SETS, DataConfig

    shape: dict[str, Any] = {"channels": trained.detector.channels, "size": trained.detector.size}
    own = replace(trained.data, **shape)
    asked = _data_config({"data": own.data, **given, **shape})
    if own.data == asked.data or not {own.data, asked.data} & DATA_SETS.keys():
        asked = replace(own, **{name: getattr(asked, name) for name in _chosen(DataConfig, given)})
    if own.data == asked.data:
        own = replace(own, root=asked.root)  # the same data set at another place
    return own, asked


def _trained_on(own: DataConfig, splits: Splits) -> list[str]:
    """A warning where test images are among those that the run was trained on."""
    from unblot.data import exact_repeats, load_data

    try:
        seen = load_data(own)
    except UserError as error:
        return [f"the images that the run was trained on are not at hand to be compared with these: {error}"]
    if not (repeats := exact_repeats([seen.train, seen.held_out], splits.test)):
        return []
    names = ", ".join(name for name, _ in repeats[:3]) + (", …" if len(repeats) > 3 else "")
    return [f"{len(repeats)} of {len(splits.test)} test images are images that the run was trained on: {names}"]


def _some_images(config: DataConfig, wanted: int, seed: int) -> NDArray[np.uint8]:
    """Normal images drawn by ``seed``, shape (N, C, size, size); decodes no others."""
    import numpy as np

    from unblot.data import ImageSet, find_images
    from unblot.data.pixels import probe

    normals = [source for source in find_images(config).pool if source.item.label == 0]
    drawn = np.random.default_rng(seed).permutation(len(normals))[:wanted]
    sources = [normals[i] for i in sorted(drawn.tolist())]
    channels = config.channels or (1 if all(probe(source.image)[0] for source in sources) else 3)
    images = ImageSet(sources, channels=channels, size=config.size)
    return np.stack([images[i]["image"].numpy() for i in range(len(images))])


def _device(name: str) -> str:
    """The torch device that a name means on this machine."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    with _user_values():
        kind = torch.device(name).type if re.fullmatch(r"(cpu|cuda)(:\d+)?", name) else None
    if kind is None:
        raise UserError(f"device must be auto, cpu or cuda; got {name!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for, but torch sees no GPU here; use --device cpu or auto")
    return name


# --- what is said and written ---------------------------------------------------------------------------------------


def _say(splits: Splits, detector: Detector, **rows: object) -> None:
    """Print what was understood: the data, the detector, and ``rows``."""
    parameters = sum(p.numel() for p in detector.parameters())
    shape = f"{detector.channels} × {detector.size} × {detector.size}"
    rows = {"model": f"{detector.name}, {parameters:,} parameters, images of {shape}", **rows}
    typer.echo(splits.describe())
    typer.echo("\n".join(f"{name:<9} {value}" for name, value in rows.items()))


def _figures(metrics: Mapping[str, Any]) -> str:
    """The clean figures as a small table."""
    names = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "f1": "F1",
        "precision": "precision",
        "recall": "recall",
        "false_positive_rate": "false alarms",
    }
    threshold, n = metrics["threshold"]["threshold"], metrics["threshold"]["n"]
    lines = [
        f"protocol  {metrics['protocol']}: evaluation mode, each image on its own, no test image used for any choice,",
        f"          threshold {threshold:.4g} from {n} held-out normal images",
    ]
    rows = {label: metrics[key] for key, label in names.items()}
    if metrics["pixel"]:
        rows |= {"pixel AUROC": metrics["pixel"]["auroc"], "pixel PRO": metrics["pixel"]["pro_0.3"]}
    lines += [f"{label:<14} {'not defined' if value is None else f'{value:.3f}'}" for label, value in rows.items()]
    return "\n".join(lines)


def _command(*words: object) -> str:
    """A command line to copy, quoted for this system's shell."""
    texts = [str(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def _make_folder(folder: Path) -> Path:
    """Make a folder before long work starts, so that its result has a place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}; name another place") from error
    return folder


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
        with _replacing(path) as temporary:
            temporary.write_bytes(data)
