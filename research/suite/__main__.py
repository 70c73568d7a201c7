"""``python -m research.suite``: ``list``, ``layout``, ``run``, ``table`` and ``curve``. See docs/suite.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from research.pages import fill
from research.suite.cells import Cell, CellError, Model, find_sets, finished, run_cell
from research.suite.curve import curve
from research.suite.placing import layout
from research.suite.recipes import RECIPES
from research.suite.source import Source, SourceError
from research.suite.table import as_markdown, summary

# The default, and what it is made of, each alone.
MODELS = "auto,memory,feature_mask"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 after a clear message where it cannot be done, or 1 where a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m research.suite", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = _verb(verbs, "list", _list, "the sets, and where each comes from")
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb = _verb(verbs, "layout", _layout, "lay a set out from a clone of its repository")
    verb.add_argument("name", metavar="NAME", help="a set of the list")
    verb.add_argument("--source", type=Path, metavar="CLONE", help="a clone of the set's repository, or its files")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="the set's new folder, as SETS/NAME")
    verb = _verb(verbs, "run", _run, "train and evaluate every model on every set; what is finished is not run again")
    verb.add_argument("--sets", type=Path, required=True, metavar="DIR", help="folder that holds the sets' folders")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results and the table go")
    verb.add_argument("--only", metavar="NAME,…", help="these sets alone")
    verb.add_argument(
        "--models",
        default=MODELS,
        metavar="NAME[+KEY=VALUE],…",
        help=f"the default first; memory+size=64 has an option of its own (default: {MODELS})",
    )
    verb.add_argument("--keep-runs", action="store_true", help="keep run directories, below OUT/work")
    verb = _verb(verbs, "table", _table, "print the table of a run's table.json, or of docs/results.json")
    verb.add_argument("file", type=Path, metavar="FILE", help="as run writes it")
    verb = _verb(verbs, "curve", _curve, "put AUROC and false alarms by the number of images into a page")
    verb.add_argument("file", type=Path, metavar="FILE", help="table.json of a run with models such as memory+limit=4")
    verb.add_argument("--page", type=Path, required=True, metavar="FILE", help="with places made: auroc, made: alarms")
    given = parser.parse_args(arguments)
    try:
        return int(given.does(given))
    except (CellError, SourceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _verb(verbs: Any, name: str, does: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(does=does)
    return verb


def _list(given: argparse.Namespace) -> int:
    shown = ("name", "title", "repository", "commit", "division", "dropped", "group")
    entries = [{key: getattr(recipe, key) for key in shown} for recipe in RECIPES.values()]
    if given.json:
        print(json.dumps(entries, indent=2))
        return 0
    for entry in entries:
        origin = f"github.com/{entry['repository']} at {entry['commit']}" if entry["repository"] else "scikit-learn"
        print(f"{entry['name']}: {entry['title']}\n    {origin}\n    {entry['division']}")
        if entry["dropped"]:
            print(f"    left out: {entry['dropped']}")
    return 0


def _layout(given: argparse.Namespace) -> int:
    if given.name not in RECIPES:
        raise SourceError(f"there is no set {given.name!r}; there are {', '.join(RECIPES)}")
    recipe = RECIPES[given.name]
    if recipe.repository and given.source is None:
        raise SourceError(
            f"{given.name} needs --source: git clone --no-checkout https://github.com/{recipe.repository}, and name "
            "the clone"
        )
    with Source(given.source or Path(), recipe.commit) if recipe.repository else Source.none() as source:
        counts = layout(recipe, source, given.out)
    print(f"{given.out}: {', '.join(f'{number} {part}' for part, number in sorted(counts.items()))}")
    return 0


def _run(given: argparse.Namespace) -> int:
    sets = find_sets(given.sets, given.only.split(",") if given.only else None)
    models = _models(given.models)
    cells = [Cell(images, model, given.out) for images in sets for model in models]
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "table.md").open("a").close()
    except OSError as error:
        raise CellError(f"cannot write below --out {given.out}: {error.strerror}; name another folder") from error
    missing, failed = [cell for cell in cells if cell.result() is None], 0
    for number, cell in enumerate(missing, 1):
        place = f"{number}/{len(missing)} {cell.images.name}, {cell.model.text}"
        print(f"{place} …", flush=True)
        result = run_cell(cell, given.keep_runs)
        if result["error"]:
            failed += 1
            print(f"{place} failed: {result['error']}", file=sys.stderr)
            continue
        print(f"{place}: AUROC {result['auroc']:.3f}, {result['training']['seconds']:.0f} s", flush=True)
        _write(given.out, models)
    _write(given.out, models)
    print(f"{len(cells) - failed} of {len(cells)} cells are finished, table {given.out / 'table.md'}")
    return 1 if failed else 0


def _table(given: argparse.Namespace) -> int:
    try:
        told = json.loads(given.file.read_text(encoding="utf-8"))
        print(as_markdown(told["cells"], told["models"]), end="")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CellError(f"{given.file} is no table.json of python -m research.suite run ({error!r})") from error
    return 0


def _curve(given: argparse.Namespace) -> int:
    try:
        cells = json.loads(given.file.read_text(encoding="utf-8"))["cells"]
        fill(given.page, {"auroc": curve(cells, "auroc"), "alarms": curve(cells, "false_positive_rate")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CellError(f"no curve can be made of {given.file} in {given.page} ({error!r})") from error
    return 0


def _models(text: str) -> list[Model]:
    """The models asked for, each checked before any is trained."""
    from unblot.detectors import available

    models = [Model(each.strip()) for each in text.split(",") if each.strip()]
    if not models or len(set(models)) < len(models):
        raise CellError(f"--models takes different names with commas between, the default first; got {text!r}")
    for model in models:
        if model.name not in available():
            raise CellError(f"--models names {model.name!r}; there are {', '.join(available())}")
        if set("/\\") & set(model.text):
            raise CellError(f"--models: {model.text!r} names a file of its own, which has no / or \\ in its name")
        _ = model.flags
    return models


def _write(out: Path, models: Sequence[Model]) -> None:
    """The table of all that is finished below ``out``, as Markdown and as JSON; each is replaced whole."""
    cells, names = finished(out), [model.text for model in models]
    table = {"models": names, "cells": cells, "summary": summary(cells, names)}
    for name, text in (("table.md", as_markdown(cells, names)), ("table.json", json.dumps(table, indent=2) + "\n")):
        partial = out / f".{name}.part"
        partial.write_text(text, encoding="utf-8")
        partial.replace(out / name)


if __name__ == "__main__":
    sys.exit(main())
