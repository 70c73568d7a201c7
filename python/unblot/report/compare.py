"""A comparison for people: tables as Markdown and as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

__all__ = ["Comparison", "Table", "markdown", "page"]


@dataclass(frozen=True)
class Table:
    """One table; all cells are text.

    Attributes:
        caption: its heading.
        text: a sentence below the heading, or nothing.
        header: names of the columns.
        rows: as long as ``header``, each.
        unreachable: numbers of the rows whose figures cannot be had in use; shown apart.
    """

    caption: str
    text: str
    header: list[str]
    rows: list[list[str]]
    unreachable: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        title: of the page.
        summary: all figures as JSON values; its ``settings`` are shown.
        tables: for people.
        notes: sentences that belong to all of them.
        errors: one line for each failure.
    """

    title: str
    summary: dict[str, Any]
    tables: list[Table]
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def markdown(comparison: Comparison) -> str:
    """The tables as Markdown.

    Example:
        >>> print(markdown(Comparison("T", {}, [Table("C", "", ["a", "b"], [["1", "2"]])])))
        # T
        <BLANKLINE>
        ## C
        <BLANKLINE>
        | a | b |
        |---|---|
        | 1 | 2 |
        <BLANKLINE>
    """
    lines = [f"# {comparison.title}", ""]
    for note in comparison.notes:
        lines += [note, ""]
    for table in comparison.tables:
        lines += [f"## {table.caption}", ""]
        lines += [table.text, ""] if table.text else []
        lines += [_line(table.header), f"|{'---|' * len(table.header)}", *map(_line, table.rows), ""]
    if comparison.errors:
        lines += ["## Not finished", "", *(f"- {error}" for error in comparison.errors), ""]
    return "\n".join(lines)


def page(comparison: Comparison) -> str:
    """The tables as HTML; everything stands inside the page, so that it opens without a network."""
    template = files("unblot.report").joinpath("compare.html.j2").read_text(encoding="utf-8")
    settings = [
        (heading, [(key, "–" if value in (None, [], {}) else str(value)) for key, value in rows.items()])
        for heading, rows in comparison.summary["settings"].items()
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template).render(comparison=comparison, settings=settings)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
