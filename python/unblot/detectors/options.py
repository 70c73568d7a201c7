"""Options of a detector: fields of a frozen dataclass. Default, range and meaning of each stand in one place.

A detector declares what a user may set, and builds itself from the checked values::

    @dataclass(frozen=True)
    class DaeOptions(Options):
        width: int = option(32, "channels after the first convolution", at_least=1)

What was searched once or printed in a paper is no option. It is a constant of the detector's module.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, TypeVar, get_type_hints

__all__ = ["Option", "Options", "option", "option_from", "with_names_of_today"]

_T = TypeVar("_T")
_FORMER = {"teacher": "backbone", "entries": "coreset_size", "neighbours": "num_neighbors"}
_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "at_least": (operator.ge, "{:g} or more"),
    "above": (operator.gt, "above {:g}"),
    "at_most": (operator.le, "{:g} or less"),
    "below": (operator.lt, "below {:g}"),
}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[int, ...]: "a list of whole numbers, ascending",
}


def option(
    default: _T,
    meaning: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    one_of: tuple[str, ...] = (),
) -> _T:
    """A field of :class:`Options`.

    Args:
        default: its value where none is given.
        meaning: what it is, in a few words.
        at_least: the smallest number that is accepted; of a list, the smallest of its numbers.
        above: a number that it must exceed.
        at_most: the largest number that is accepted.
        below: a number that it must stay below.
        one_of: the texts that are accepted.
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    kept = {"meaning": meaning, "one_of": one_of, "bounds": {k: v for k, v in bounds.items() if v is not None}}
    return field(default=default, metadata=kept)


def option_from(find: Callable[[], _T], meaning: str) -> _T:
    """A field of :class:`Options` whose default depends on what is installed.

    Args:
        find: gives the default.
        meaning: what it is, in a few words.
    """
    return field(default_factory=find, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Option:
    """What is known of an option.

    Attributes:
        name: of the field.
        kind: bool, int, float, str or ``tuple[int, ...]``.
        default: its value where none is given.
        meaning: what it is, in a few words.
        one_of: the texts that are accepted; empty for any.
        bounds: of numbers, by the names that :func:`option` has for them.
    """

    name: str
    kind: Any
    default: Any
    meaning: str
    one_of: tuple[str, ...] = ()
    bounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> str:
        """Which values are accepted, in words."""
        if self.one_of:
            return "one of " + ", ".join(self.one_of)
        bounds = [_BOUNDS[name][1].format(bound) for name, bound in self.bounds.items()]
        if self.kind == tuple[int, ...] and bounds:
            return f"{_KINDS[self.kind]}, each {' and '.join(bounds)}"
        return ", ".join([_KINDS[self.kind], *([" and ".join(bounds)] if bounds else [])])

    def checked(self, value: Any) -> Any:
        """The value as a field holds it: a list of numbers becomes a tuple, a whole number a float where one is kept.

        Raises:
            ValueError: it is not accepted.
        """
        if not self.accepts(value):
            raise ValueError(f"{self.name} must be {self.accepted}; got {value!r}")
        return {float: float, tuple[int, ...]: tuple}.get(self.kind, lambda same: same)(value)

    def accepts(self, value: Any) -> bool:
        """Whether a value is accepted."""
        if self.kind == tuple[int, ...]:
            if not isinstance(value, list | tuple) or not (value or self.default == ()):
                return False
            ascends = all(map(_is_whole, value)) and list(value) == sorted(set(value))
            return ascends and all(map(self._within, value))
        if self.kind is int:
            return _is_whole(value) and self._within(value)
        if self.kind is float:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and math.isfinite(value) and self._within(value)
        return isinstance(value, self.kind) and (not self.one_of or value in self.one_of)

    def _within(self, value: float) -> bool:
        return all(_BOUNDS[name][0](value, bound) for name, bound in self.bounds.items())


def with_names_of_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names that they have now; those of the first runs are taken, too.

    Example:
        >>> with_names_of_today({"teacher": "filters", "steps": 20})
        {'backbone': 'filters', 'steps': 20}
    """
    return {_FORMER.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class Options:
    """Base class of a detector's options; this one is for a detector without any.

    Raises:
        ValueError: a value that is not accepted; the text names the option, what is accepted and what was given.

    Example:
        >>> @dataclass(frozen=True)
        ... class DaeOptions(Options):
        ...     width: int = option(32, "channels after the first convolution", at_least=1)
        >>> DaeOptions.of({"width": 0})
        Traceback (most recent call last):
        ValueError: width must be a whole number, 1 or more; got 0
        >>> DaeOptions.of({"depth": 3})
        Traceback (most recent call last):
        ValueError: there is no option 'depth'; there is width
    """

    def __post_init__(self) -> None:
        for known in self.listed():
            object.__setattr__(self, known.name, known.checked(getattr(self, known.name)))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Options from values by name, as ``--set`` and a checkpoint give them.

        Raises:
            ValueError: a name that is no option, or a value that is not accepted.
        """
        values = with_names_of_today(values)
        names = [known.name for known in fields(cls)]
        if unknown := [name for name in values if name not in names]:
            there = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}"
            raise ValueError(f"there is no option {', '.join(map(repr, unknown))}; {there}")
        return cls(**values)

    @classmethod
    def listed(cls) -> list[Option]:
        """All options, in the order of their declaration."""
        kinds = get_type_hints(cls)
        return [Option(f.name, kinds[f.name], _default(f), **f.metadata) for f in fields(cls)]

    def to_dict(self) -> dict[str, Any]:
        """The values by name, as JSON has them."""
        values = {known.name: getattr(self, known.name) for known in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _default(known: Any) -> Any:
    return known.default if known.default_factory is MISSING else known.default_factory()
