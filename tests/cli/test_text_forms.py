"""What can be said in Python can be said in words: settings and corruptions come back equal from every text form."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.corruption.test_properties import SPECS, numbers

from unblot.cli import app
from unblot.cli import settings as cli_settings
from unblot.corruption.noise import Gaussian, Paste
from unblot.corruption.presets import NAMES
from unblot.corruption.spec import BoxNoise, FullGaussian, Spec
from unblot.corruption.spec_file import load_spec, save_spec
from unblot.data import DataConfig
from unblot.detectors import Option, available
from unblot.detectors.registry import find
from unblot.errors import UserError
from unblot.training import TrainConfig

# Hypothesis wants a fixture that is new for each example; a folder whose files are written anew serves as well.
SAME_FOLDER = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PASTES = st.builds(
    Paste, numbers(-2, 2), numbers(-0.5, 0.5), numbers(0.01, 1), st.booleans(), st.sampled_from(["image", "batch"])
)
SHAPES = st.lists(st.sampled_from(["rectangle", "scar", "blob"]), min_size=1, max_size=3, unique=True)


@st.composite
def shaped(draw: st.DrawFn) -> BoxNoise:
    """What ``test_properties`` leaves out: pasted patches and outlines, on areas that any outline can cover."""
    shapes = draw(SHAPES)
    weights = draw(st.none() | st.lists(st.floats(0.1, 9), min_size=len(shapes), max_size=len(shapes)))
    return BoxNoise(
        scale=draw(numbers(0.001, 0.1)),
        base=draw(st.sampled_from(["image", "any", "gray"])),
        noise=[draw(PASTES), Gaussian(draw(numbers(0, 1)))],
        shapes=shapes,
        shape_weights=weights,
        edge=draw(st.floats(0, 20)),
    )


@SAME_FOLDER
@given(spec=SPECS | shaped())
def test_a_corruption_comes_back_from_its_file_and_from_its_repr(spec: Spec, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    save_spec(spec, file)
    for back in (load_spec(file), cli_settings.corruption(str(file)), type(spec).from_dict(spec.to_dict())):
        assert back == spec
        assert hash(back) == hash(spec)
    names: dict[str, Any] = {cls.__name__: cls for cls in (BoxNoise, FullGaussian, *_kinds())}
    assert eval(repr(spec), names) == spec


def _kinds() -> tuple[type, ...]:
    from unblot.corruption.noise import KINDS

    return KINDS


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(spec=SPECS | shaped(), data=st.data())
def test_a_field_that_is_no_field_or_no_value_is_refused_by_name(spec: Spec, data: st.DataObject) -> None:
    """Whatever stands in a hand-written file: a corruption, or an error of two kinds that says which parameter."""
    held = spec.to_dict()
    name = data.draw(st.sampled_from(sorted(set(held) - {"type"})))
    value = data.draw(JSON)
    try:
        made = type(spec).from_dict({**held, name: value})
    except (ValueError, TypeError) as error:
        assert str(error)
    else:
        assert type(spec).from_dict(json.loads(json.dumps(made.to_dict()))) == made
    with pytest.raises(ValueError, match="has no parameter"):
        type(spec).from_dict({**held, name + "_": value})


# Words of the user's: any text but what no operating system takes in an argument.
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
SHARE = st.floats(0.001, 0.999)
DATA = st.builds(
    DataConfig,
    data=WORDS.filter(lambda word: not Path(word).exists()),
    normal=st.lists(WORDS, max_size=3).map(tuple),
    abnormal=st.lists(WORDS, max_size=3).map(tuple),
    masks=st.lists(WORDS, max_size=2).map(tuple),
    size=st.integers(1, 4096),
    channels=st.sampled_from([None, 1, 3]),
    group=st.sampled_from([None, "none", "folder:-1", r"part(\d+)", "=", "-x", " "]),
    group_gap=st.none() | st.integers(0, 10**9),
    held_out=SHARE,
    test=SHARE,
    split_seed=st.integers(0, 2**63),
    limit=st.none() | st.integers(1, 10**9),
    test_limit=st.none() | st.integers(2, 10**9),
)
OPTIONS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(1, 2**53),
    float: st.floats(1e-300, 1e300),
    str: st.text(),
    tuple[int, ...]: st.sets(st.integers(1, 2**53), min_size=1, max_size=4).map(sorted),
}


def option_values(known: Option) -> st.SearchStrategy[Any]:
    if known.name == "stride":  # must be one of those of the features
        return st.sampled_from([8, 16])
    if known.one_of:
        return st.sampled_from(known.one_of)
    return OPTIONS[known.kind].filter(known.accepts)


def trainings(model: str) -> st.SearchStrategy[TrainConfig]:
    return st.builds(
        TrainConfig,
        model=st.just(model),
        model_options=st.fixed_dictionaries(
            {},
            optional={
                known.name: option_values(known)
                for known in find(model).options_type.listed()
                if known.name != "weights"  # a file, which must be there
            },
        ),
        corruption=st.sampled_from(NAMES),
        epochs=st.integers(1, 10**6),
        batch_size=st.integers(2, 10**6),
        lr=st.floats(1e-300, 1e300),
        seed=st.integers(0, 2**63 - 1),
        device=st.sampled_from(["auto", "cpu", "cuda"]),
        devices=st.integers(1, 64),
        precision=st.sampled_from(["fp32", "bf16"]),
        workers=st.integers(0, 64),
        quantile=SHARE,
        judge=st.sampled_from(["unlike", *NAMES]),
    )


TRAINING = st.sampled_from(available()).flatmap(trainings)


@settings(max_examples=60, deadline=None)
@given(data=DATA, training=TRAINING)
def test_settings_come_back_from_what_a_run_stores(data: DataConfig, training: TrainConfig) -> None:
    stored = json.loads(json.dumps({"data": data.to_dict(), "training": training.to_dict()}, allow_nan=False))
    assert DataConfig.from_dict(stored["data"]) == data
    assert TrainConfig.from_dict(stored["training"]) == training


def understood(words: list[str]) -> tuple[DataConfig, TrainConfig]:
    """What ``unblot train`` makes of a command line, without a training."""
    command: Any = typer.main.get_command(app)
    parent = command.make_context("unblot", ["train"])
    parsed = command.commands["train"].make_context("train", words, parent=parent)
    given = cli_settings.given(parsed.params)
    return cli_settings.data_config(given), cli_settings.train_config(given)


def flags(config: DataConfig | TrainConfig) -> list[str]:
    words = []
    for field in fields(config):
        value = getattr(config, field.name)
        flag = "--" + field.name.replace("_", "-")
        if field.name == "model_options":
            words += [f"--set={key}={json.dumps(entry)}" for key, entry in value.items()]
        elif isinstance(value, tuple):
            words += [f"{flag}={entry}" for entry in value]
        elif field.name != "data" and value is not None:
            words.append(f"{flag}={value}")
    return words


@settings(max_examples=40, deadline=None)
@given(data=DATA, training=TRAINING)
def test_settings_come_back_from_the_command_line(data: DataConfig, training: TrainConfig) -> None:
    assert understood([*flags(data), *flags(training), "--", data.data]) == (data, training)


@SAME_FOLDER
@given(data=DATA, training=TRAINING)
def test_settings_come_back_from_a_configuration_file(data: DataConfig, training: TrainConfig, tmp_path: Path) -> None:
    held = {**data.to_dict(), **training.to_dict()}
    held["set"] = held.pop("model_options")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(held), encoding="utf-8")
    assert understood(["--config", str(file)]) == (data, training)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=12))
def test_an_option_of_a_detector_is_read_or_refused(text: str) -> None:
    try:
        key, value = cli_settings.key_value(text)
    except UserError as error:
        assert "KEY=VALUE" in str(error)
        assert not text.partition("=")[0] or "=" not in text
    else:
        assert text.startswith(key + "=")
        with pytest.raises(UserError, match=re.escape(f"there is no option {key!r}")):
            TrainConfig("dae", model_options={key: value})
