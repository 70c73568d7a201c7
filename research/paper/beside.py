"""A comparison's figures by class, with the paper's below those of the same detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from research.paper.printed import printed
from unblot.comparison.table import by_class
from unblot.report.compare import Comparison, Table, markdown

__all__ = ["beside"]

PAPER = "the paper, as printed"
METRICS = {"AUROC": "auroc", "AUPRC": "auprc"}


def beside(summary: Mapping[str, Any]) -> str:
    """Tables of AUROC and AUPRC as Markdown.

    Args:
        summary: what ``table.json`` of a comparison holds.
    """
    tables = [_table(caption, key, summary) for caption, key in METRICS.items()]
    return markdown(Comparison(f"The paper's figures beside ours, on {summary['data']}", dict(summary), tables, [], []))


def _table(caption: str, key: str, summary: Mapping[str, Any]) -> Table:
    """The paper's rows are marked: its protocol cannot be reached in use."""
    table = by_class(caption, key, summary["rows"], summary["classes"])
    columns = table.header[3:]
    lines = []
    for model in dict.fromkeys(row["model"] for row in summary["rows"]):
        if figures := printed(summary["data"], model, key):
            whole = len(summary["classes"]) == len(figures) - 1
            shown = [figures.get(n) if n != "average" or whole else None for n in columns]
            lines.append([model, PAPER, "published", *("–" if f is None else f"{f:.3f}" for f in shown)])
    marked = table.unreachable | set(range(len(table.rows), len(table.rows) + len(lines)))
    return Table(table.caption, table.text, table.header, [*table.rows, *lines], marked)
