"""``unblot`` and ``python -m unblot``: starts the command line, or says which extra is missing.

The corruption core needs NumPy alone; the command needs the ``train`` extra, scoring with an exported file the
``runtime`` extra, help and shell completion typer. This file imports nothing outside the standard library, so that the
message reaches whoever installed the core alone.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = {
    "typer": "typer",
    "torch": "torch",
    "torchvision": "torchvision",
    "lightning_fabric": "lightning-fabric",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "tqdm": "tqdm",
    "filelock": "filelock",
}


_RUNTIME = {"typer": "typer", "PIL": "pillow", "tqdm": "tqdm", "onnxruntime": "onnxruntime"}


def _extra(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The extra that a command line needs, and its packages by module."""
    if "_UNBLOT_COMPLETE" in os.environ or not words or {"--help", "--version"} & set(words):
        return "train", {"typer": "typer"}
    if words[0] in ("predict", "monitor") and any(word.lower().endswith(".onnx") for word in words):
        return "runtime", _RUNTIME
    return "train", _NEEDED


def main() -> None:
    """Run the command line on ``sys.argv``; exit code 2 where packages that it needs are missing."""
    extra, needed = _extra(sys.argv[1:])
    if missing := [package for module, package in needed.items() if find_spec(module) is None]:
        sys.stderr.write(
            f"error: the unblot command needs {', '.join(missing)}, not found by this Python ({sys.executable}). "
            f'To install all that it needs: pip install "unblot[{extra}]"\n'
        )
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what this terminal, pipe or log cannot show: it is shown escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from unblot.cli import app

    app(prog_name="unblot")


if __name__ == "__main__":
    main()
