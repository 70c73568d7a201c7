"""What the verbs say and write."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data import Splits
    from unblot.models import Detector


def say(splits: Splits, detector: Detector, **rows: object) -> None:
    """Print what was understood: the data, the detector, and ``rows``."""
    parameters = sum(p.numel() for p in detector.parameters())
    shape = f"{detector.channels} × {detector.size} × {detector.size}"
    rows = {"model": f"{detector.name}, {parameters:,} parameters, images of {shape}", **rows}
    typer.echo(splits.describe())
    typer.echo("\n".join(f"{name:<9} {value}" for name, value in rows.items()))


def command(*words: object) -> str:
    """A command line to copy, quoted for this system's shell."""
    texts = [str(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def make_folder(folder: Path) -> Path:
    """Make a folder before long work starts, so that its result has a place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}; name another place") from error
    return folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
