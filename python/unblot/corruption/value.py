"""What the descriptions of a corruption share: they are set once, compare by their fields, and JSON can hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar, Self, cast

__all__ = ["Value", "from_json"]


class Value:
    """What all values here share: fields that are set once, and a form that JSON can hold."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def _set(self, **checked: object) -> None:
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields as JSON holds them, as the constructor takes them."""
        return values

    def __getstate__(self) -> dict[str, Any]:
        # A plan does not pickle; it is rebuilt when it is next needed.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def text(self) -> str:
        """The value as one line of JSON, by which operators of torch know it."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON can hold it: its fields, and ``type``, the name of its class."""
        return {"type": type(self).__name__} | {f.name: _to_json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that :meth:`to_dict` described; fields that are missing take their defaults.

        Raises:
            ValueError: another type, a field that the type does not have, or a value that it refuses.
            TypeError: a field of a type that it does not take.
        """
        return cast(Self, from_json(data, (cls,)))


def _to_json(value: object) -> Any:
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_json(entry) for entry in value]
    return value


def from_json(data: object, accepted: Sequence[type[Value]]) -> Value:
    """The value of one of the accepted types that a mapping describes; fields that are missing take their defaults."""
    names = [cls.__name__ for cls in accepted]
    if not isinstance(data, Mapping):
        raise TypeError(f"expected a mapping with 'type' one of {names}, got {data!r}")
    cls = next((cls for cls in accepted if cls.__name__ == data.get("type")), None)
    if cls is None:
        raise ValueError(
            f"type {data.get('type')!r} is not known here; accepted: {names}. "
            "It may have been written by a newer version of unblot; if so, update unblot"
        )
    values = {name: value for name, value in data.items() if name != "type"}
    known = [field.name for field in fields(cls)]
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no parameter {', '.join(unknown)}; accepted: {known}. "
            "Correct the name, or update unblot if a newer version wrote it"
        )
    return cls(**cls._read(values))
