"""Errors that a user can act on.

Wrong values given to the library raise ``ValueError`` or ``TypeError``. What goes wrong around a command (a folder
without images, a run of another version, a class that does not exist) raises :class:`UserError`; the command line
prints its text without a traceback and ends with exit code 2.
"""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Something the user gave cannot be used; the text names it, what is accepted, and the remedy."""


def shown(value: object) -> str:
    """A value as the text of an error shows it: its ``repr`` on one line, of at most some 200 characters.

    >>> shown(list(range(1000)))[-20:]
    '57, 58, 59, 60, …'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
