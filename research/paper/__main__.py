"""The paper's tables and figures for our own trainings. See docs/paper.md.

``python -m research.paper keep FOLDER``, ``controls --root DIR``, ``pictures FOLDER --root DIR`` and ``page``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research.paper.beside import page
from research.paper.kept import CONTROLS, FORMAT, keep, read_kept
from unblot.errors import UserError
from unblot.files import write_json, write_text

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
RESULTS = HERE / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 after a clear message."""
    parser = argparse.ArgumentParser(prog="python -m research.paper", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = verbs.add_parser("keep", help="keep the figures of a comparison, finished or not")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="that unblot compare wrote")
    verb.set_defaults(does=_keep)
    verb = verbs.add_parser("controls", help="score CIFAR-10 by an untrained network and by mean colours")
    verb.add_argument("--root", required=True, help="folder of CIFAR-10")
    verb.add_argument("--model", default="nested", help="the untrained network (default: nested)")
    verb.add_argument("--width", type=float, default=0.25, help="its width (default: 0.25)")
    verb.add_argument("--classes", default="all", metavar="NAME,…", help="default: all")
    verb.add_argument("--limits", type=int, nargs=2, metavar=("TRAIN", "TEST"), help="fewer images, for a trial")
    verb.set_defaults(does=_controls)
    verb = verbs.add_parser("pictures", help="draw figures 6 and 7")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="that unblot compare wrote, all classes finished")
    verb.add_argument("--root", type=Path, required=True, help="folder of CIFAR-10")
    verb.add_argument("--model", default="nested", help="whose (default: nested)")
    verb.add_argument("--classes", default="airplane,bird", metavar="NAME,…", help="default: airplane,bird")
    verb.add_argument("--out", type=Path, default=DOCS / "paper", metavar="FOLDER")
    verb.set_defaults(does=_pictures)
    verb = verbs.add_parser("page", help="put the kept figures into their page")
    verb.add_argument("--page", type=Path, default=DOCS / "paper.md", metavar="FILE")
    verb.set_defaults(does=_page)
    for each in verbs.choices.values():
        each.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="of kept figures")
    given = parser.parse_args(arguments)
    try:
        given.does(given)
    except (OSError, ValueError, StopIteration, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _keep(given: argparse.Namespace) -> None:
    for name, kept in keep(given.folder).items():
        write_json(given.results / f"{name}.json", kept)
        print(given.results / f"{name}.json")


def _controls(given: argparse.Namespace) -> None:
    """Class by class, so that a run that ends early keeps what it has; a class that is kept is not scored again."""
    from research.paper.controls import controls
    from unblot.data import DataConfig
    from unblot.data.cifar10 import CLASSES
    from unblot.training import TrainConfig

    path = given.results / f"{CONTROLS}-cifar10.json"
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    limit, test_limit = given.limits or (None, None)
    data = DataConfig("cifar10", root=given.root, abnormal=CLASSES[:1], limit=limit, test_limit=test_limit)
    config = TrainConfig(given.model, model_options={"width": given.width}, corruption="none", device="cpu")
    asked = CLASSES if given.classes == "all" else given.classes.split(",")
    for name in asked:
        if name not in {cell["left_out"] for cell in cells}:
            cells += controls(config, data, [name])
            write_json(
                path, {"format": FORMAT, "data": "cifar10", "network": [given.model, given.width], "cells": cells}
            )
            print(name, flush=True)


def _pictures(given: argparse.Namespace) -> None:
    from research.paper.pictures import histograms, restorations

    given.out.mkdir(parents=True, exist_ok=True)
    histograms(given.folder, given.model, given.out / f"histograms-{given.model}.png")
    names = given.classes.split(",")
    restorations(given.folder, given.model, names, given.root, given.out / f"restorations-{given.model}.png")


def _page(given: argparse.Namespace) -> None:
    write_text(given.page, page(given.page.read_text(encoding="utf-8"), read_kept(given.results)))


if __name__ == "__main__":
    sys.exit(main())
