"""Checks of what a corruption is given: each names the parameter, what it got, and what it takes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from unblot.errors import shown

__all__ = [
    "Range",
    "all_numbers",
    "as_range",
    "count",
    "is_sequence",
    "number",
    "number_range",
    "text",
    "value_range_of",
]

Range: TypeAlias = float | tuple[float, float]
"""A number, or a range (low, high) that is drawn from uniformly."""


def number(name: str, value: object, accepted: str = "a number") -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {accepted}, got {shown(value)} ({type(value).__name__})")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return found


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether ``value`` holds entries in a row; an array without axes does not."""
    return isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _pair(name: str, value: object, accepted: str) -> tuple[Any, Any] | None:
    """The two entries of a range, or None where ``value`` is no sequence."""
    if not is_sequence(value):
        return None
    if len(value) != 2:
        raise ValueError(f"{name} must be {accepted}, got {len(value)} values: {shown(value)}")
    low, high = value
    return low, high


def number_range(name: str, value: object) -> Range:
    """A number, or two of them."""
    accepted = "a number or a range (low, high)"
    both = _pair(name, value, accepted)
    if both is None:
        return number(name, value, accepted)
    return number(name, both[0], accepted), number(name, both[1], accepted)


def count(name: str, value: object) -> int | tuple[int, int]:
    """A whole number, or two of them."""
    accepted = "a whole number or a range (low, high) of whole numbers"

    def whole(entry: object) -> int:
        if isinstance(entry, bool) or not isinstance(entry, numbers.Integral):
            raise TypeError(f"{name} must be {accepted}, got {shown(value)}")
        found = int(entry)
        if not 0 <= found < 2**31:  # the core says which counts it takes
            raise ValueError(f"{name} must be {accepted}, at least 1, got {shown(value)}")
        return found

    both = _pair(name, value, accepted)
    return whole(value) if both is None else (whole(both[0]), whole(both[1]))


def text(name: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)} ({type(value).__name__})")
    return value


def all_numbers(name: str, value: object, accepted: str) -> tuple[float, ...]:
    """Numbers in a row."""
    if not is_sequence(value):
        raise TypeError(f"{name} must be {accepted}, got {shown(value)} ({type(value).__name__})")
    return tuple(number(name, entry, accepted) for entry in value)


def value_range_of(value: object) -> tuple[float, float] | None:
    """The lowest and the highest pixel value, far enough apart for float32; None stays None."""
    if value is None:
        return None
    accepted = "two numbers (low, high), the lowest and the highest pixel value, or None"
    entries = all_numbers("value_range", value, accepted)
    if len(entries) != 2:
        raise ValueError(f"value_range must be {accepted}, got {len(entries)} values: {shown(value)}")
    low, high = entries
    top = max(abs(low), abs(high))
    if not (top <= 1e30 and max(1e-30, top * 2.0**-21) <= high - low):
        raise ValueError(
            f"value_range must be {accepted}, low below high, that float32 can compute with: from -1e30 to 1e30, and "
            f"apart by 1e-30 and by four steps of float32 at least; got {shown(value)}"
        )
    return entries[0], entries[1]


def as_range(value: Range) -> tuple[float, float]:
    """A number as the range from it to itself."""
    return value if isinstance(value, tuple) else (value, value)
