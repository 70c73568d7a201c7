"""Puts the paper's figures beside those of a comparison: ``python -m research.paper compare/cifar10``.

The folder is one that ``unblot compare`` wrote. The tables of AUROC and AUPRC are written into it as ``paper.md``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from research.paper.beside import beside
from unblot.files import write_text


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m research.paper", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of unblot compare; it holds table.json")
    folder = parser.parse_args().folder
    try:
        summary = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{folder / 'table.json'} cannot be read ({error}); give the folder that unblot compare wrote")
    text = beside(summary)
    write_text(folder / "paper.md", text)
    print(text)


if __name__ == "__main__":
    main()
