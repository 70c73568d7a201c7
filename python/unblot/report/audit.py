"""An audit for people: one self-contained HTML page with the images of each finding side by side, and lines of text."""

from __future__ import annotations

import textwrap
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from unblot.evaluation.audit import Audit
from unblot.report.plots import png_uri

__all__ = ["MARKS", "lines", "page"]

MARKS = {"fine": "ok", "warning": "look", "fake": "FAKES"}
"""What stands before a finding of each level."""


def page(audit: Audit) -> str:
    """The findings as HTML; everything stands inside the page, so that it opens without a network."""
    template = files("unblot.report").joinpath("audit.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["uri"] = lambda pixels: png_uri(pixels.transpose(1, 2, 0))
    return environment.from_string(template).render(audit=audit, marks=MARKS)


def lines(audit: Audit, width: int = 110) -> str:
    """The findings as text, a paragraph each, the level before it.

    Example:
        >>> from unblot.evaluation.audit import Finding
        >>> print(lines(Audit("x", "", [Finding("constant images", "fake", "All of them.", "Move them out.")])))
        FAKES  constant images: All of them. Move them out.
    """
    return "\n".join(
        textwrap.fill(
            f"{MARKS[finding.level]:<6} {finding.check}: {finding.sentence}",
            width,
            subsequent_indent=" " * 7,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for finding in audit.findings
    )
