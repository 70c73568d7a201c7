"""What a user reads where a command fails for a reason outside this program: one line with the path and the remedy.

Mistakes of the user are :class:`~unblot.errors.UserError` with words of their own. What the system refuses (a file, a
disk, memory) is put into words here, once for all verbs. Anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys

from unblot.errors import UserError

__all__ = ["drop_output", "said"]

_ROOM = "make room on the disk, or name a place on another one"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the system takes no larger file there; name a place on another disk, or raise the limit (ulimit -f)",
    errno.EACCES: "allow this user to use it, or name another place",
    errno.EPERM: "allow this user to use it, or name another place",
    errno.EROFS: "the disk is read-only; name another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "check the name; was it removed meanwhile?",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTEMPTY: "name another place",
    errno.ELOOP: "its links lead in a circle; name the file itself",
    errno.EMFILE: "allow more open files (ulimit -n), or use fewer --workers",
    errno.ENFILE: "the system has too many open files; close other programs",
    errno.EIO: "the disk or the network drive fails; copy the data to another one",
    errno.ESTALE: "the network drive lost the file; mount it again",
    errno.ENOMEM: "memory ran out; close other programs, or use a smaller --batch-size or --size",
}
_MEMORY = (
    "memory ran out{}. Use a smaller --batch-size or --size, fewer images (--limit) or --workers, "
    "or close other programs"
)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc", "unable to mmap")


def said(error: Exception) -> str | None:
    """The line for an error; empty where nobody is left to read it; None for a fault of ours.

    Example:
        >>> said(FileNotFoundError(errno.ENOENT, "No such file or directory", "x.png"))
        'x.png: No such file or directory; check the name; was it removed meanwhile?'
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError):
        return ""
    if isinstance(error, MemoryError) or _is_allocation(error):
        first = str(error).strip().partition("\n")[0]
        return _MEMORY.format(f" ({first[:160]})" if first else "")
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename if error.filename is not None else error.filename2
        where = "a file or standard output" if name is None else os.fsdecode(name) if isinstance(name, bytes) else name
        remedy = _REMEDIES.get(error.errno, "name another place, or try again")
        return f"{where}: {error.strerror or error}; {remedy}"
    return None


def drop_output(error: Exception) -> None:
    """After standard output failed, let go of what it did not take, or the interpreter would try again at its end."""
    if isinstance(error, UserError) or not isinstance(error, OSError) or error.filename is not None:
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.__stdout__.fileno())  # type: ignore[union-attr]
        os.close(nothing)
    except (OSError, ValueError, AttributeError):  # a test's own stream has no number
        pass


def _is_allocation(error: Exception) -> bool:
    """Whether it is what torch, onnxruntime or the C++ library raise where memory runs out."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _NO_MEMORY)
