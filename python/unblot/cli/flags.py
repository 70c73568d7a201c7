"""Flags that several verbs share, each declared once. None means "not given": the library's own default holds."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unblot.errors import UserError


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
    training = ctx.find_root().command.commands["train"].params  # type: ignore[attr-defined]
    known = own | {_flag(param): param for param in training}
    defaults: dict[str, Any] = {}
    for name, value in values.items():
        flag = str(name).replace("_", "-")
        if flag not in known or flag in ("config", "help"):
            close = difflib.get_close_matches(flag, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known names: {', '.join(sorted(known))}"
            raise UserError(f"{path}: unknown name {name!r}; {hint}")
        if flag not in own or value is None or (flag == "out" and ctx.info_name == "preview"):
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


def add_options(ctx: typer.Context, values: list[str] | None) -> list[str]:
    """Options of the detector from the file, then those from the command line: a later one goes before an earlier."""
    return [*(ctx.default_map or {}).get("set_", []), *(values or [])]


OWN = "what suits the detector"
OWN_SIZE = "what suits the detector and the images"


def _data(text: str, default: str | None = None, **more: Any) -> Any:
    return typer.Option(help=text, show_default=default or False, rich_help_panel="Data", **more)


def _model(text: str, default: str | None = None, *names: str, **more: Any) -> Any:
    return typer.Option(
        *names, help=text, show_default=default or False, rich_help_panel="Detector and training", **more
    )


Data = Annotated[
    str | None,
    typer.Argument(
        help="digits, cifar10, fashion-mnist, magnetic-tile, or a folder: MVTec AD layout (train/good, test/<defect>), "
        "or any folder with --normal and --abnormal.",
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
Fit = Annotated[
    str | None,
    _data(
        "How an image becomes the square that a detector sees: stretch squeezes it; pad keeps its shape and fills "
        "margins, which do not count; crop keeps its shape and sees the middle alone; tile cuts a large image into "
        "squares.",
        "stretch",
    ),
]
Tile = Annotated[int | None, _data("Side of a tile in pixels of the image, for --fit tile.", "512")]
Overlap = Annotated[
    float | None, _data("Share by which a tile overlaps the next one at least, 0 to 0.75, for --fit tile.", "0.25")
]
_SIZE = "Height and width in pixels that images are resized to."
OwnSize = Annotated[int | None, _data(_SIZE, OWN_SIZE)]
Channels = Annotated[int | None, _data("1 (grayscale) or 3 (RGB).", "found from the images")]
Bits = Annotated[
    int | None,
    _data(
        "Bits of a value in files of more than 8, such as 12 for a 12-bit camera's 16-bit PNG.",
        "found from the images",
        min=8,
        max=16,
    ),
]
Group = Annotated[
    str | None,
    _data(
        "The part or session an image shows, which no split divides: a regular expression on its path (what it "
        "captures is the name), folder:N, a .csv file with columns path and group, or none."
    ),
]
GroupGap = Annotated[int | None, _data("Join groups whose captured numbers lie at most this far apart.")]
HeldOut = Annotated[
    float | None, _data("Share of the training normals kept for the threshold; 0 for few images.", "0.1")
]
Test = Annotated[
    float | None, _data("Share of the normals kept for the test, where the data bring no test part.", "0.2")
]
SplitSeed = Annotated[int | None, _data("Seed of random splits.", "0")]
Limit = Annotated[int | None, _data("Train on at most this many images.")]
TestLimit = Annotated[
    int | None, _data("Test on at most this many images, drawn with the same shares of normal and abnormal ones.")
]

Model = Annotated[
    str | None,
    _model(
        "Detector by name, such as memory or dae; `unblot models` lists all.",
        "auto",
    ),
]
Set = Annotated[
    list[str] | None,
    _model(
        "An option of the detector, such as width=16; repeatable. `unblot models NAME` lists them.",
        None,
        "--set",
        metavar="KEY=VALUE",
        callback=add_options,
    ),
]
Backbone = Annotated[
    str | None,
    _model(
        "Network whose features the detector uses, such as vit_small_patch14_dinov2; `unblot backbones` lists some. "
        "The same as --set backbone=NAME.",
        "tf_efficientnet_lite0, where the detector uses features",
    ),
]
Weights = Annotated[
    str | None,
    _model(
        "File of the backbone's weights, .safetensors or .pth, such as dinov2_vits14.pth. The same as --set "
        "weights=FILE.",
        "those that are installed, or timm's",
        metavar="FILE",
    ),
]
Corruption = Annotated[
    str | None,
    _model(
        "box, gaussian, none, mixed, scars, blobs, or a JSON file that describes a corruption.", OWN, "--corruption"
    ),
]
Epochs = Annotated[int | None, _model("Passes over the training images.", OWN)]
BatchSize = Annotated[int | None, _model("Images per training step.", OWN)]
Lr = Annotated[float | None, _model("Learning rate at the start.", OWN)]
Seed = Annotated[int | None, _model("Seed of weights, shuffling and corruption.", "0")]
Device = Annotated[str | None, _model("auto, cpu or cuda.", "auto")]
Devices = Annotated[int | None, _model("Number of devices.", "1")]
Precision = Annotated[str | None, _model("fp32 or bf16.", "fp32")]
Workers = Annotated[int | None, _model("Processes that load and blot images; 0 does it in the main process.", "0")]
Quantile = Annotated[float | None, _model("Quantile of left-out normal scores that is the threshold.", "0.95")]
ThresholdBy = Annotated[
    str | None,
    _model(
        "How the threshold is taken: rank (a left-out score of that rank) or normal (assumes a normal distribution; "
        "for fewer than 19 scores).",
        "rank",
    ),
]
Judge = Annotated[
    str | None,
    _model(
        "Defects left out of training, by which and held-out normal images some detectors choose an epoch or weights: "
        "unlike (shading, blur, warping), a corruption, or none.",
        "unlike",
    ),
]
ScoreBatch = Annotated[
    int, typer.Option("--batch-size", help="Images scored at a time; does not change a score.", min=1)
]
ScoreDevice = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Json = Annotated[
    bool, typer.Option("--json", help="Result as JSON on standard output, one line; what is for people goes to stderr.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
