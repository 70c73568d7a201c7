"""The program that the verbs belong to: ``app``, and the one place where errors become exit codes.

What they say, :mod:`unblot.cli.failures` knows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unblot.cli import failures

__all__ = ["app", "exit_codes"]

_ORDER = ("preview", "audit", "models", "backbones", "train", "eval", "predict", "monitor", "export", "compare")


@contextmanager
def exit_codes() -> Iterator[None]:
    """The one place where errors become exit codes."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        said = failures.said(error)
        if said is None:
            raise
        if said:
            typer.echo(f"error: {said}", err=True)
        failures.drop_output(error)
        raise typer.Exit(2 if said else 1) from None


class _Verbs(TyperGroup):
    """The group of all verbs."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (the base class has it)
        """In the order of use, then what is not in it."""
        return sorted(self.commands, key=lambda verb: _ORDER.index(verb) if verb in _ORDER else len(_ORDER))

    def invoke(self, ctx: Any) -> Any:
        with exit_codes():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Verbs,
    help="Train image anomaly detectors from normal images only, and judge images with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import unblot

        typer.echo(f"unblot {unblot.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Flags that stand before a verb; ``version`` is handled by its callback."""
    del version
    # On a GPU Fabric advises to call a function of torch, which the user of a program cannot.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
