"""The command line as tests call it."""

from __future__ import annotations

import re

from typer.testing import CliRunner, Result

from unblot import cli

__all__ = ["ok", "refused", "run"]


def run(*words: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def ok(*words: object) -> Result:
    """Run a command that must succeed."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def refused(*words: object) -> str:
    """The text that a mistake ends in; it is one text on stderr, without a traceback."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)  # some terminals make usage errors colourful
