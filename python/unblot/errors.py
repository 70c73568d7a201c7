"""Errors that a user can act on.

Wrong values given to the library raise ``ValueError`` or ``TypeError``. What goes wrong around a command (a folder
without images, a run of another version, a class that does not exist) raises :class:`UserError`; the command line
prints its text without a traceback and ends with exit code 2.
"""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Something the user gave cannot be used; the text names it, what is accepted, and the remedy."""
