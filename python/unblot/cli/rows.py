"""The rows that ``predict`` writes: each batch is out of this program's hands before the next one is scored."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import typer

from unblot.cli import output
from unblot.data.tables import csv_text
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.evaluation import FileScore

__all__ = ["CsvRows", "JsonRows", "Kept", "Ranked", "Scored", "read_rows"]

Scored: TypeAlias = "tuple[FileScore, str, bool]"
"""A score, the file of its heat map, and whether the image is called abnormal."""

Ranked: TypeAlias = "Callable[[float], float | None]"
"""The conformal p value of a score (:meth:`unblot.calibration.Calibration.p_value`)."""


@dataclass(frozen=True)
class Kept:
    """Rows of an earlier start.

    Attributes:
        scores: by image.
        rows: as they were written, in order.
    """

    scores: Mapping[str, float]
    rows: Sequence[Sequence[str]] = field(default_factory=list)


class CsvRows:
    """Rows as comma-separated values, in a file or on standard output; file names that are no text keep their bytes.

    A file is opened when its first rows are there: until then, what stood there before is untouched.

    Args:
        path: None for standard output.
        with_maps: with a column for the heat map.
        kept: rows that come first.
        ranked: gives the p value of a score; None where it is not known.
    """

    def __init__(self, path: Path | None, with_maps: bool, kept: Kept, ranked: Ranked) -> None:
        self.path, self.with_maps, self.kept, self.ranked = path, with_maps, kept, ranked
        self._file: IO[bytes] | None = None

    def write(self, scored: Sequence[Scored]) -> None:
        """Write rows and hand them to the system.

        Raises:
            UserError: the file does not take them.
            OSError: standard output does not.
        """
        rows: list[list[Any]] = []
        for entry, file, called in scored:
            row = [entry.name, "", "", ""]
            if entry.score is not None:
                p = self.ranked(entry.score)
                row[1:] = [repr(entry.score), str(int(called)), "" if p is None else f"{p:.4g}"]
            rows.append([*row, file] if self.with_maps else row)
        header = None
        if self._file is None:
            header = _columns(self.with_maps)
            rows = [*map(list, self.kept.rows), *rows]
        data = csv_text(header, rows).encode("utf-8", errors="surrogateescape")
        if self.path is None:
            self._file = typer.get_binary_stream("stdout")
            self._file.write(data)
            self._file.flush()
            return
        with output.naming(self.path):
            if self._file is None:
                output.make_folder(self.path.parent)
                self._file = self.path.open("wb")
            self._file.write(data)
            self._file.flush()

    def close(self) -> None:
        """End the file; where no row came, one of an earlier start stays as it is."""
        if self.path is not None and self._file is not None:
            with output.naming(self.path):
                self._file.close()


class JsonRows:
    """Rows as JSON lines on standard output.

    Args:
        threshold: stands in each of them.
        engine: what scores, "torch" or "onnxruntime"; too.
        ranked: as of :class:`CsvRows`.
    """

    def __init__(self, threshold: float, engine: str, ranked: Ranked) -> None:
        self.threshold, self.engine, self.ranked = threshold, engine, ranked
        self._voice = output.Voice(json_lines=True)

    def write(self, scored: Sequence[Scored]) -> None:
        """Write rows and hand them to the system; one without a score says in ``error`` why."""
        for entry, file, called in scored:
            called_as = None if entry.score is None else int(called)
            p = None if entry.score is None else self.ranked(entry.score)
            row: dict[str, Any] = {"path": entry.name, "score": entry.score, "predicted": called_as, "p_value": p}
            row |= {"map": file} if file else {}
            row |= {"error": entry.problem} if entry.problem else {}
            self._voice.line(**row, threshold=self.threshold, engine=self.engine)

    def close(self) -> None:
        """Nothing is left to do."""


def read_rows(path: Path, names: set[str], *, with_maps: bool) -> Kept:
    """The rows with a score that a table holds of these images; a last row that was cut off is left out.

    Raises:
        UserError: the file holds another table.
    """
    if not path.is_file():
        return Kept({})
    with output.naming(path):
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    whole = text[: text.rfind("\n") + 1]
    header, *rows = list(csv.reader(io.StringIO(whole, newline=""))) or [[]]
    columns = _columns(with_maps)
    if header != columns:
        if not whole:
            return Kept({})
        raise UserError(
            f"{path} has the columns {', '.join(header)}, wanted are {', '.join(columns)}; give or leave out --maps as "
            "before, or name another file"
        )
    kept: dict[str, Sequence[str]] = {}
    for row in rows:
        if len(row) == len(columns) and row[0] in names and _is_number(row[1]):
            kept[row[0]] = row
    return Kept({name: float(row[1]) for name, row in kept.items()}, list(kept.values()))


def _columns(with_maps: bool) -> list[str]:
    return ["path", "score", "predicted", "p_value", *(["map"] if with_maps else [])]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
