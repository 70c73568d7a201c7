"""What the verbs say and write."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unblot.errors import UserError, refused

if TYPE_CHECKING:
    from unblot.data import Splits
    from unblot.detectors import Detector


class Voice:
    """What a verb says to people and to scripts. Of several processes of one run, the first alone speaks.

    Args:
        json_lines: results are JSON lines on standard output, and what is for people goes to stderr.
    """

    def __init__(self, json_lines: bool) -> None:
        self.json_lines = json_lines
        self.first = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"

    def say(self, text: str) -> None:
        """For people."""
        if self.first:
            typer.echo(text, err=self.json_lines)

    def line(self, **values: Any) -> None:
        """For scripts: one line of JSON, where it was asked for; file names that are no text are shown escaped."""
        if self.json_lines and self.first:
            text = json.dumps(values, allow_nan=False, default=str) + "\n"
            stream = typer.get_binary_stream("stdout")
            stream.write(text.encode("utf-8", errors="backslashreplace"))
            stream.flush()


def say(voice: Voice, splits: Splits, detector: Detector, **rows: object) -> None:
    """Print what was understood: the data, the detector, and ``rows``."""
    parameters = sum(p.numel() for p in detector.parameters())
    shape = f"{detector.channels} × {detector.size} × {detector.size}"
    rows = {"model": f"{detector.name}, {parameters:,} parameters, images of {shape}", **rows}
    voice.say(splits.describe())
    voice.say("\n".join(f"{name:<9} {value}" for name, value in rows.items()))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns below each other, two spaces apart.

    Example:
        >>> print(table([["name", "size"], ["a", "10"]]))
        name  size
        a     10
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def command(*words: object) -> str:
    """A command line to copy, quoted for this system's shell."""
    texts = [str(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def make_folder(folder: Path) -> Path:
    """Make a folder before long work starts, so that its result has a place."""
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside, an error of the system that names no file (a full disk, say) or a temporary one is about ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(refused(error, path)) from error
