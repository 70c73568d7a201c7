"""Where a verb may write: every place is looked at before any work, and nothing is made or changed by looking.

A place is refused where it cannot be written, where it is a file that the verb reads, and where something stands that
this program did not write: an image, a table of someone else's. What the program wrote itself is replaced.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from unblot.data.own import is_own_picture
from unblot.errors import UserError

__all__ = ["beside", "check_file", "check_folder", "is_export", "is_own_picture", "is_page", "is_record", "is_table"]

_HEADERS = tuple(f"path,score,predicted{more}" for more in ("", ",map", ",p_value", ",p_value,map"))
_LONGEST = 230  # bytes of a file's name: the temporary one beside it is a little longer
_EVAL_HEADER = "name,kind,group,label,score,predicted"


def check_file(
    path: Path, ours: Callable[[Path], bool], what: str, *, reads: Iterable[Path] = (), stream: bool = False
) -> Path:
    """Refuse a file that cannot be written, or that would take the place of something else.

    Args:
        path: the file.
        ours: whether a file that stands there was written by this program, so that it may be replaced.
        what: the file in words, such as "a table of scores".
        reads: files that are read; none of them is replaced, whoever wrote it.
        stream: whether the file is written from front to end, so that a pipe or a device will do.

    Raises:
        UserError: names the path, what stands there, and the remedy.
    """
    state = _state(path)
    if len(os.fsencode(path.name)) > _LONGEST:
        raise UserError(f"cannot write {path}: its name is longer than {_LONGEST} bytes; shorten it")
    if state is None:
        check_folder(path.parent)
        return path
    if stat.S_ISDIR(state.st_mode):
        raise UserError(f"{path} is a folder; name a file for {what}")
    if not stat.S_ISREG(state.st_mode):
        if stream:
            return path
        raise UserError(f"{path} is no regular file; name another place for {what}")
    if any(_same(state, read) for read in reads):
        raise UserError(f"{path} is read by this command and would be replaced by {what}; name another place")
    if state.st_size and not ours(path):
        raise UserError(
            f"{path} exists and was not written by this command; remove it, or name another place for {what}"
        )
    if not os.access(path, os.W_OK):
        raise UserError(f"{path} cannot be written: it is read-only; name another place for {what}")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> Path:
    """Refuse a folder that neither is there nor can be made, or that takes no files.

    Raises:
        UserError: names the folder, what is in the way, and the remedy.
    """
    place = folder
    while (state := _state(place)) is None and place != place.parent:
        place = place.parent
    if state is not None and not stat.S_ISDIR(state.st_mode):
        raise UserError(f"cannot make the folder {folder}: {place} is a file; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f"cannot write into {place}: it is not yours to write, or the disk is read-only; name another place"
        )
    return folder


def is_table(path: Path) -> bool:
    """Whether a file is a CSV table of scores, of ``predict`` or ``eval``."""
    header = _head(path).partition("\n")[0].strip()
    return header in _HEADERS or header.startswith(_EVAL_HEADER)


def is_page(path: Path) -> bool:
    """Whether a file is a page of this program."""
    return "unblot</title>" in _head(path)


def is_record(*keys: str) -> Callable[[Path], bool]:
    """Whether a file is a JSON object with these keys."""

    def ours(path: Path) -> bool:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(values, dict) and set(keys) <= values.keys()

    return ours


def beside(record: str, *keys: str) -> Callable[[Path], bool]:
    """Whether a file that cannot tell by itself lies beside a record of this program: a JSON object with these keys."""
    ours = is_record(*keys)
    return lambda path: ours(path.with_name(record))


def is_export(path: Path) -> bool:
    """Whether a file is an ONNX model that carries this program's metadata."""
    try:
        return b"\n\x06unblot\x12" in path.read_bytes()
    except OSError:
        return False


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _state(path: Path) -> os.stat_result | None:
    """What stands at a path; None for nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another place") from error


def _same(state: os.stat_result, other: Path) -> bool:
    try:
        return os.path.samestat(state, other.stat())
    except OSError:
        return False
