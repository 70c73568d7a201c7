"""``unblot models``: what it lists is what there is, and what it shows can be typed."""

import json
import shlex
from dataclasses import fields

import pytest
from typer.testing import CliRunner, Result

from unblot.cli import app
from unblot.cli.settings import key_value
from unblot.detectors import available, recommended
from unblot.detectors.registry import find
from unblot.training import TrainConfig


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words])


def test_all_detectors_are_listed_in_a_line_each() -> None:
    result = run()
    assert result.exit_code == 0
    head, *lines = result.stdout.partition("\n\n")[0].splitlines()
    assert head.split() == ["detector", "images", "corruption", "weights", "what", "it", "does"]
    assert [line.split()[0] for line in lines] == available()
    for line in lines:
        cls = find(line.split()[0])
        assert line.endswith(cls.summary)
        assert f"{cls.recommended.size} " in line
        assert cls.recommended.corruption in line
        assert ("weights in1k (apache-2.0)" in line) == any(f.name == "backbone" for f in fields(cls.options_type))


@pytest.mark.parametrize("name", available())
def test_a_detectors_options_are_listed_as_they_can_be_given(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    shown = dict(key_value(shlex.split(line)[1]) for line in result.stdout.splitlines() if line.startswith("  --set "))
    listed = find(name).options_type.listed()
    assert shown == find(name).options_type().to_dict()
    for known in listed:
        assert known.meaning in result.stdout
        assert known.accepted in result.stdout
    assert TrainConfig(name, model_options=shown)


@pytest.mark.parametrize("name", available())
def test_the_example_is_a_training_that_is_accepted(name: str) -> None:
    found = json.loads(run(name, "--json").stdout)
    verb, *words = shlex.split(found["example"])[1:]
    assert (verb, words[1:3]) == ("train", ["--model", name])
    options = dict(map(key_value, words[4::2]))
    assert options
    assert options.items() <= TrainConfig(name, model_options=options).model_options.items()
    assert found["corruption"] == recommended(name).corruption


def test_json_has_the_same_for_one_and_for_all() -> None:
    every = json.loads(run("--json").stdout)["models"]
    assert [one["name"] for one in every] == available()
    assert every[0] == json.loads(run(every[0]["name"], "--json").stdout)


def test_an_unknown_detector_is_refused_with_those_that_there_are() -> None:
    result = run("vae")
    assert result.exit_code == 2
    assert "no detector named 'vae'" in result.stderr
    for name in available():
        assert name in result.stderr
