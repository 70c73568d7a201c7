"""From flags to what the library takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.corruption.spec import Spec
    from unblot.data import DataConfig, Splits
    from unblot.detectors import Detector
    from unblot.training import TrainConfig


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given, by name; lists as tuples."""
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != ()}


def chosen(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags that are fields of a configuration."""
    return {field.name: given[field.name] for field in fields(cls) if field.name in given}


@contextmanager
def user_values() -> Iterator[None]:
    """Inside, a value that the library refuses is the user's to correct."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def data_config(given: Mapping[str, Any]) -> DataConfig:
    """Folders are made absolute, so that a run can be evaluated from anywhere."""
    from unblot.data import DATA_SETS, DataConfig

    values = chosen(DataConfig, given)
    if (data := values.get("data")) and data not in DATA_SETS and Path(data).is_dir():
        values["data"] = str(Path(data).resolve())
        for name in {"normal", "abnormal", "masks"} & values.keys():
            values[name] = tuple(f if (Path(data) / f).is_dir() else absolute(f) for f in values[name])
    if "root" in values:
        values["root"] = str(Path(values["root"]).resolve())
    if str(values.get("group", "")).lower().endswith(".csv"):
        values["group"] = absolute(values["group"])
    with user_values():
        return DataConfig(**values)


def train_config(given: Mapping[str, Any]) -> TrainConfig:
    """The settings of a training; the path of a corruption is made absolute."""
    from unblot.training import TrainConfig
    from unblot.training.config import UNLIKE

    values = chosen(TrainConfig, given)
    if asked := model_options(given):
        values["model_options"] = values.get("model_options", {}) | asked
    for name in {"corruption", "judge"} & values.keys():
        if (name, values[name]) == ("judge", UNLIKE):
            continue
        corruption(values[name])
        values[name] = absolute(values[name])
    with user_values():
        return TrainConfig(**values)


def model_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the detector, from --set and the flags that are short for it; the place of weights is made absolute.

    A name may be that of a detector, a dot and an option (``unblot compare``).
    """
    options = dict(map(key_value, given.get("set_", ())))
    options |= {name: given[name] for name in ("backbone", "weights") if name in given}
    for name, value in options.items():
        if name.rpartition(".")[2] == "weights" and value:
            if not Path(str(value)).is_file():
                raise UserError(f"there is no file of weights at {value}; check the name (--weights FILE)")
            options[name] = absolute(str(value))
    return options


def absolute(path: str) -> str:
    """A path that exists made absolute; anything else as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def key_value(text: str) -> tuple[str, Any]:
    """KEY=VALUE of ``--set``; the value is JSON where it parses as such, else a string."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UserError(f"--set takes KEY=VALUE, such as --set width=16; got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def corruption(name: str) -> Spec | None:
    """A corruption by name or file."""
    from unblot.corruption.presets import NAMES, named
    from unblot.corruption.spec_file import load_spec

    if name in NAMES:
        return named(name)
    if not Path(name).is_file():
        raise UserError(
            f"no corruption named {name!r} and no file of that name; give {', '.join(NAMES)}, or a JSON file"
        )
    return load_spec(name)


def slug(name: str) -> str:
    """The last part of a path or name as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", Path(name).name).strip("-") or "data"


def new_detector(config: TrainConfig, splits: Splits) -> Detector:
    """A detector as training will build it, to say its size and to refuse its options before any work."""
    from unblot.detectors import create

    with user_values():
        return create(config.model, channels=splits.train.channels, size=splits.train.size, **config.model_options)


def device(name: str) -> str:
    """The torch device that a name means on this machine."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    with user_values():
        kind = torch.device(name).type if re.fullmatch(r"(cpu|cuda)(:\d+)?", name) else None
    if kind is None:
        raise UserError(f"device must be auto, cpu or cuda; got {name!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for, but torch sees no GPU here; use --device cpu or auto")
    return name
