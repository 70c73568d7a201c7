"""The patent's claims: pictures of them, trainings with and without each, and their page.

``python -m research.claims pictures docs/claims``, ``measure --out FOLDER`` and ``page``. See docs/claims.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from research.claims.claims import CORRUPTIONS, PAIRS
from research.claims.measure import Settings, measure, read, write_table
from research.claims.page import page
from research.claims.pictures import write_pictures
from unblot.errors import UserError
from unblot.files import write_text

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 after a clear message."""
    parser = argparse.ArgumentParser(prog="python -m research.claims", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = verbs.add_parser("pictures", help="draw a picture of each claim, with fixed seeds")
    verb.add_argument("folder", type=Path, metavar="FOLDER")
    verb.set_defaults(does=_pictures)
    verb = verbs.add_parser("measure", help="train with and without each claim; what is there is not trained again")
    verb.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="one small file for each training")
    verb.add_argument("--only", metavar="CLAIM,…", help="what these claims compare (default: all)")
    verb.add_argument("--seeds", default="0,1,2", metavar="SEED,…", help="default: 0,1,2")
    verb.add_argument("--limit", type=int, help="at most so many training images, for a trial")
    for setting in fields(Settings):
        kind = type(setting.default)
        verb.add_argument(f"--{setting.name.replace('_', '-')}", type=kind, default=setting.default)
    verb.set_defaults(does=_measure)
    verb = verbs.add_parser("page", help="put claims and figures into their page")
    verb.add_argument("--results", type=Path, default=HERE / "results", metavar="FOLDER")
    verb.add_argument("--page", type=Path, default=DOCS / "claims.md", metavar="FILE")
    verb.set_defaults(does=_page)
    given = parser.parse_args(arguments)
    try:
        given.does(given)
    except (OSError, ValueError, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _pictures(given: argparse.Namespace) -> None:
    for path in write_pictures(given.folder):
        print(path)


def _measure(given: argparse.Namespace) -> None:
    settings = Settings(**{setting.name: getattr(given, setting.name) for setting in fields(Settings)})
    claims = {pair.claim for pair in PAIRS}
    only = {int(number) for number in given.only.split(",")} if given.only else claims
    if without := sorted(only - claims):
        raise ValueError(f"claim {', '.join(map(str, without))} compares nothing; those that do: {sorted(claims)}")
    needed = {name for pair in PAIRS if pair.claim in only for name in (pair.on, pair.off)}
    corruptions = [name for name in CORRUPTIONS if name in needed]
    seeds = [int(seed) for seed in given.seeds.split(",")]
    for path in measure(given.out, settings, corruptions=corruptions, seeds=seeds, limit=given.limit):
        print(path, flush=True)
    print(write_table(given.out).read_text(encoding="utf-8"))


def _page(given: argparse.Namespace) -> None:
    write_text(given.page, page(given.page.read_text(encoding="utf-8"), read(given.results)))


if __name__ == "__main__":
    sys.exit(main())
