"""What a user reads where a command fails for a reason outside this program: one line with the path and the remedy.

Mistakes of the user are :class:`~unblot.errors.UserError` with words of their own. What the system refuses (a file, a
disk, memory) is put into words here, once for all verbs. Anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import os
import sys

from unblot.errors import UserError, refused

__all__ = ["drop_output", "said"]

_MEMORY = (
    "memory ran out{}. Use a smaller --batch-size or --size, fewer images (--limit) or --workers, "
    "or close other programs"
)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc", "unable to mmap")


def said(error: Exception) -> str | None:
    """The line for an error; empty where nobody is left to read it; None for a fault of ours.

    Example:
        >>> said(FileNotFoundError(2, "No such file or directory", "x.png"))
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
        return refused(error)
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
