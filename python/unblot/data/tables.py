"""Comma-separated values, written so that every name of a file comes back from any reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

__all__ = ["csv_text"]


class _Lines(io.StringIO):
    """Ends rows with a line feed, though the writer is told otherwise: it quotes only the ends that it is told."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def csv_text(header: Iterable[str] | None, rows: Iterable[Iterable[object]]) -> str:
    r"""A table as text: fields parted by commas, quoted where need be, rows ended by a line feed.

    Args:
        header: names of the columns; None for rows that go on with a table.
        rows: of as many fields.

    Example:
        >>> csv_text(["path", "score"], [["a, b.png", 0.5]])
        'path,score\n"a, b.png",0.5\n'
    """
    lines = _Lines(newline="")
    writer = csv.writer(lines, lineterminator="\r\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows(rows)
    return lines.getvalue()
