"""Errors that a user can act on.

Wrong values given to the library raise ``ValueError`` or ``TypeError``. What goes wrong around a command (a folder
without images, a run of another version, a class that does not exist) raises :class:`UserError`; the command line
prints its text without a traceback and ends with exit code 2.
"""

from __future__ import annotations

import errno
import os

__all__ = ["UserError", "refused", "shown"]

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


class UserError(ValueError):
    """Something the user gave cannot be used; the text names it, what is accepted, and the remedy."""


def shown(value: object) -> str:
    """A value as the text of an error shows it: its ``repr`` on one line, of at most some 200 characters.

    >>> shown(list(range(1000)))[-20:]
    ', 48, 49, 50, 51, 5…'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def refused(error: OSError, path: object = None) -> str:
    """What the system refused, in one line: the file, the reason, the remedy.

    Args:
        error: the system's.
        path: the file that it is about, where the error names none or a temporary one.

    >>> refused(OSError(errno.ENOSPC, "No space left on device"), "scores.csv")
    'scores.csv: No space left on device; make room on the disk, or name a place on another one'
    """
    name = next((n for n in (path, error.filename, error.filename2) if n is not None), "a file or standard output")
    where = os.fsdecode(name) if isinstance(name, bytes) else name
    remedy = _REMEDIES.get(error.errno or errno.EIO, "name another place, or try again")
    return f"{where}: {error.strerror or error}; {remedy}"
