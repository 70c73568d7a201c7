"""Parts of a page that a command makes, between two comments that name them.

The first comment is ``<!-- made: NAME -->``, the second ``<!-- end: NAME -->``. What stands between is replaced whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unblot.files import write_text

__all__ = ["fill", "filled", "table"]


def filled(text: str, parts: Mapping[str, str]) -> str:
    r"""A page with its made parts replaced.

    Args:
        text: the page.
        parts: Markdown by the name of its place.

    Raises:
        ValueError: the page has no such place, or more than one.

    Example:
        >>> filled("A\n<!-- made: x -->\nold\n<!-- end: x -->\n", {"x": "new"})
        'A\n<!-- made: x -->\n\nnew\n\n<!-- end: x -->\n'
    """
    for name, made in parts.items():
        first, last = f"<!-- made: {name} -->\n", f"<!-- end: {name} -->"
        if (text.count(first), text.count(last)) != (1, 1) or text.index(first) > text.index(last):
            raise ValueError(f"the page must have one place {first.strip()} … {last}")
        before, after = text.split(first, maxsplit=1)[0], text.split(last)[1]
        text = f"{before}{first}\n{made.strip()}\n\n{last}{after}"
    return text


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Replace the made parts of a file (:func:`filled`)."""
    write_text(page, filled(page.read_text(encoding="utf-8"), parts))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table as Markdown.

    Example:
        >>> table(["a", "b"], [["1", "2"]])
        '| a | b |\n|---|---|\n| 1 | 2 |'
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"|{'|'.join(r)}|" if r == lines[1] else f"| {' | '.join(r)} |" for r in lines)
