"""The one way in which files are written: beside their place, then moved into it.

Whoever reads the file sees the old content or the new one, whole. A full disk or a kill loses neither.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unblot.errors import UserError, refused

__all__ = ["is_leftover", "replacing", "write_bytes", "write_json", "write_text"]

_BESIDE = ".{}.tmp"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden file beside ``path`` that takes its place when the block ends well, and is removed when it does not.

    What a kill leaves of it is written over the next time. A link is followed: what it points at is replaced, and the
    link stays. A file that was there keeps its permissions.

    Args:
        path: a file, in a folder that exists.

    Yields:
        Where to write.

    Raises:
        UserError: the file cannot be written, or ``path`` is a folder, a device or a pipe. What stood there is
            untouched.
    """
    path = Path(path)
    try:
        place = path.resolve() if path.is_symlink() else path
        _refuse_others(path, place)
        beside = place.with_name(_BESIDE.format(place.name))
        try:
            yield beside
            if place.exists():
                shutil.copymode(place, beside)
            beside.replace(place)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {refused(error, path)}. What stood there before is untouched") from error


def is_leftover(name: str, of: Iterable[str]) -> bool:
    """Whether a file's name is that of what a kill leaves where one of these files was written.

    Example:
        >>> is_leftover(".config.json.tmp", ["config.json"]), is_leftover(".mine.tmp", ["config.json"])
        (True, False)
    """
    return name in {_BESIDE.format(each) for each in of}


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that survives a power cut as soon as this returns.

    Raises:
        UserError: as :func:`replacing`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(f"{folder}/a", b"new")
        ...     Path(folder, "a").read_bytes()
        b'new'
    """
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync(Path(path).parent)


def write_text(path: str | os.PathLike[str], text: str, *, errors: str = "backslashreplace") -> None:
    """Write text as UTF-8, line ends as they are.

    Args:
        path: a file, in a folder that exists.
        text: what to write.
        errors: how the bytes of file names that are no text are written: "backslashreplace" shows them,
            "surrogateescape" gives them back as they were.

    Raises:
        UserError: as :func:`replacing`.
    """
    write_bytes(path, text.encode("utf-8", errors=errors))


def write_json(path: str | os.PathLike[str], values: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write a JSON object. Names that are no text are written as JSON's own escapes.

    Raises:
        UserError: as :func:`replacing`.
        ValueError: a number is not finite.
    """
    separators = None if indent else (",", ":")
    text = json.dumps(values, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _refuse_others(path: Path, place: Path) -> None:
    """Only a file, or nothing, is replaced: a device that is replaced is gone for the whole machine."""
    with suppress(FileNotFoundError):
        mode = place.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise UserError(f"cannot write {path}: it is {what}, which is not replaced; name a file")


def _sync(folder: Path) -> None:
    """Make the move itself survive a power cut, where the system can open a folder (Windows cannot)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
