"""Options of all detectors: declared so that they can be checked and listed, refused by name where they are wrong."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from unblot.detectors import Option, Options, available, check_options, create, option, option_from, registry
from unblot.detectors.registry import find
from unblot.training import TrainConfig

EVERY = [(name, known) for name in available() for known in find(name).options_type.listed()]
NAMES = [f"{name}.{known.name}" for name, known in EVERY]


@dataclass(frozen=True)
class Some(Options):
    count: int = option(3, "how many", at_least=1)
    share: float = option(0.5, "how much", above=0, below=1)
    most: float = option(1.0, "at most", at_most=2)
    on: bool = option(True, "whether")
    text: str = option("a", "any text")
    form: str = option("x", "which", one_of=("x", "y"))
    strides: tuple[int, ...] = option((4, 8), "strides", at_least=2)
    found: str = option_from(lambda: "here", "found on this machine")


WRONG: dict[str, list[Any]] = {
    "count": [0, 1.5, "3", True, None],
    "share": [0, 1, math.nan, "x", True],
    "most": [2.5, math.inf],
    "on": [1, "true", None],
    "text": [1, None],
    "form": ["z", 1, None],
    "strides": [[], [8, 4], [4, 4], [1, 4], [4.0], ["a", 1], 4, "48", None],
    "found": [None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_with_its_name_what_is_accepted_and_itself(name: str, value: Any) -> None:
    (known,) = (known for known in Some.listed() if known.name == name)
    with pytest.raises(ValueError, match=name) as refused:
        Some.of({name: value})
    assert str(refused.value) == f"{name} must be {known.accepted}; got {value!r}"


def test_values_are_held_as_they_were_given_and_come_back_from_json() -> None:
    given = Some.of({"count": 7, "share": 0.25, "most": 2, "strides": [2, 4], "form": "y"})
    assert (given.count, given.share, given.most, given.strides) == (7, 0.25, 2.0, (2, 4))
    assert isinstance(given.most, float)
    assert Some.of(given.to_dict()) == given
    assert given.to_dict()["strides"] == [2, 4]
    assert Some().found == "here"


def test_what_is_accepted_is_said_in_words() -> None:
    assert {known.name: known.accepted for known in Some.listed()} == {
        "count": "a whole number, 1 or more",
        "share": "a number, above 0 and below 1",
        "most": "a number, 2 or less",
        "on": "true or false",
        "text": "a text",
        "form": "one of x, y",
        "strides": "a list of whole numbers, ascending, each 2 or more",
        "found": "a text",
    }


def test_unknown_names_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"^there is no option 'a', 'b'; there are count, share, "):
        Some.of({"a": 1, "count": 2, "b": 3})
    with pytest.raises(ValueError, match=r"^there is no option 'a'; there are none$"):
        Options.of({"a": 1})


@pytest.mark.parametrize(("name", "known"), EVERY, ids=NAMES)
def test_every_option_has_a_meaning_and_a_default_that_is_accepted(name: str, known: Option) -> None:
    assert known.meaning and not known.meaning.endswith(".")
    assert known.checked(known.default) == known.default
    check_options(name, {known.name: list(known.default) if isinstance(known.default, tuple) else known.default})


@pytest.mark.parametrize(("name", "known"), EVERY, ids=NAMES)
def test_no_detector_is_built_with_a_wrong_option(name: str, known: Option) -> None:
    wrong: list[Any] = [None, {}, math.nan, -1] + ([[]] if known.default != () else [[1, 0]])
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{name}: {known.name} must be"):
            create(name, channels=1, size=64, **{known.name: value})


@pytest.mark.parametrize("name", available())
def test_a_detector_says_what_it_does(name: str) -> None:
    assert find(name).summary
    assert not find(name).summary.endswith(".")


def test_former_names_are_taken_and_kept_by_those_of_today() -> None:
    former = {"teacher": "filters", "entries": 50, "neighbours": 2}
    today = {"backbone": "filters", "coreset_size": 50, "num_neighbors": 2}
    assert registry.useful_size("memory", 512, former) == registry.useful_size("memory", 512, today) == 256
    made = registry.create("memory", channels=1, size=64, **former)
    assert {name: made.options[name] for name in today} == today
    assert TrainConfig("memory", model_options=former).model_options == today
