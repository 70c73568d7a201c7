"""An extension of griffe, which reads docstrings for the site: examples are shown as code.

Docstrings here head their example ``Example:``, or leave the heading out and end in ``>>>`` lines; griffe knows
``Examples:``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

__all__ = ["Examples", "with_examples"]


def with_examples(text: str) -> str:
    r"""The docstring with its example under a heading that griffe knows.

    >>> with_examples("One.\n\n>>> 1 + 1\n2")
    'One.\n\nExamples:\n    >>> 1 + 1\n    2'
    """
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    before, mark, example = text.partition("\n\n>>> ")
    return text if not mark else f"{before}\n\nExamples:\n{textwrap.indent(f'>>> {example}', '    ')}"


class Examples(griffe.Extension):
    """Applies :func:`with_examples` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ARG002
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = with_examples(obj.docstring.value)
