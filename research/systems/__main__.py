"""Measures the systems of the two sources and makes the tables of their pages.

``python -m research.systems measure`` and ``python -m research.systems pages``. See docs/systems/index.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from research.systems.measure import PATENT_SIZE, SYSTEMS, measure, score_gmac, settings
from research.systems.pages import overview, write_pages
from unblot.files import write_json

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "systems"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 after a clear message."""
    parser = argparse.ArgumentParser(prog="python -m research.systems", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = verbs.add_parser("measure", help="measure, write the figures and print the table; takes minutes")
    verb.add_argument("--out", type=Path, default=HERE / "systems.json", metavar="FILE")
    verb.add_argument("--images", type=int, default=32, help="of the epoch that is timed (default: 32)")
    verb.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    verb.add_argument("--only", default=",".join(SYSTEMS), metavar="NAME,…", help="these alone; others are kept")
    verb.set_defaults(does=_measure)
    verb = verbs.add_parser("pages", help="put the figures and the options into the pages")
    verb.add_argument("--figures", type=Path, default=HERE / "systems.json", metavar="FILE")
    verb.add_argument("--pages", type=Path, default=DOCS, metavar="FOLDER")
    verb.set_defaults(does=_pages)
    given = parser.parse_args(arguments)
    try:
        given.does(given)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(given: argparse.Namespace) -> None:
    names = given.only.split(",")
    if unknown := sorted(set(names) - set(SYSTEMS)):
        raise ValueError(f"no system named {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    torch.set_num_threads(given.threads)
    measured: dict[str, Any] = {**settings(), "systems": {}}
    if given.out.exists():
        kept = json.loads(given.out.read_text(encoding="utf-8"))
        if kept | {"systems": {}} == measured:
            measured = kept
        elif len(names) < len(SYSTEMS):
            raise ValueError(f"{given.out} was measured in another way; measure all systems, or give another --out")
    for name in names:
        measured["systems"][name] = measure(name, images=given.images)
        if name == "dae":
            measured["systems"][name]["larger"] = {str(PATENT_SIZE): score_gmac(name, PATENT_SIZE)}
        measured["systems"] = {known: measured["systems"][known] for known in SYSTEMS if known in measured["systems"]}
        write_json(given.out, measured)
    print(overview(measured))


def _pages(given: argparse.Namespace) -> None:
    write_pages(json.loads(given.figures.read_text(encoding="utf-8")), given.pages)


if __name__ == "__main__":
    # The figures are of one thread unless told otherwise, that of the corruption, too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
