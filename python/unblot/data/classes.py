"""Class names of the named data sets: which are normal, which abnormal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from unblot.errors import UserError

__all__ = ["choose_classes", "did_you_mean"]


def choose_classes(
    known: Sequence[str],
    normal: Sequence[str],
    abnormal: Sequence[str],
    *,
    aliases: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str]]:
    """Normal and abnormal classes; one that is left empty takes all that the other leaves.

    Raises:
        UserError: a class that does not exist or stands on both sides, or none left on a side.

    Example:
        >>> choose_classes(["a", "b", "c"], normal=[], abnormal=["b"])
        (['a', 'c'], ['b'])
    """
    names = {**{k: k for k in known}, **(aliases or {})}
    for given in (*normal, *abnormal):
        if given not in names:
            raise UserError(f"no class named {given!r}{did_you_mean(given, names)}; classes: {', '.join(known)}")
    chosen = [[k for k in known if k in {names[g] for g in side}] for side in (normal, abnormal)]
    if both := set(chosen[0]) & set(chosen[1]):
        raise UserError(f"class {', '.join(sorted(both))} is given as normal and as abnormal")
    normals = chosen[0] or [k for k in known if k not in chosen[1]]
    abnormals = chosen[1] or [k for k in known if k not in chosen[0]]
    if not normals or not abnormals or set(normals) & set(abnormals):
        raise UserError(f"at least one class must be normal and one abnormal; classes: {', '.join(known)}")
    return normals, abnormals


def did_you_mean(given: str, known: Sequence[str] | Mapping[str, str]) -> str:
    """A question that names the closest known name, or nothing where none is close."""
    close = get_close_matches(given.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
