"""``unblot`` and ``python -m unblot``: starts the command line, or says which extra is missing.

The corruption core needs NumPy alone; the command needs the ``train`` extra. This file imports nothing outside the
standard library, so that the message reaches whoever installed the core alone.
"""

from __future__ import annotations

import sys
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
}


def main() -> None:
    """Run the command line on ``sys.argv``; exit code 2 where packages of the ``train`` extra are missing."""
    if missing := [package for module, package in _NEEDED.items() if find_spec(module) is None]:
        sys.stderr.write(
            f"error: the unblot command needs {', '.join(missing)}, not found by this Python ({sys.executable}). "
            'To install all that it needs: pip install "unblot[train]"\n'
        )
        sys.exit(2)
    from unblot.cli import app

    app(prog_name="unblot")


if __name__ == "__main__":
    main()
