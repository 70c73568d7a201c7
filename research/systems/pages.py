"""The tables of ``docs/systems``, from what was measured and from the detectors' own options."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from research.pages import filled, table
from unblot.detectors.registry import find
from unblot.files import write_text

__all__ = ["differences", "options_table", "overview", "pages", "size_table", "write_pages"]


def overview(measured: Mapping[str, Any]) -> str:
    """One row for each system, and how it was measured."""
    rows = []
    for name, of in measured["systems"].items():
        steps, seconds = of["step_gmac"], of["epoch_seconds"]
        rows.append(
            [
                f"[`{name}`]({name}.md)",
                _millions(sum(of["parameters"].values())),
                _short(of["score_gmac"]),
                _by_phase(steps),
                str(of["images"]),
                _by_phase({phase: taken["processor"] for phase, taken in seconds.items()}),
            ]
        )
    header = ["system", "parameters, million", "GMAC of a score", "GMAC of an image's training steps"]
    header += ["images of an epoch", "its seconds"]
    return f"{table(header, rows)}\n\n{_how(measured)}"


def _how(measured: Mapping[str, Any]) -> str:
    size, threads = measured["size"], _threads(measured["threads"])
    return (
        f"Options as they come, images of {size} × {size} pixels and {measured['channels']} channels. An epoch "
        f"is of so many images of {measured['data']}, with the corruption `{measured['corruption']}`, in batches of at "
        f"most {measured['batch_size']}. Its seconds are those of a processor ({measured['machine']}, "
        f"{measured['vectors']}), {threads}, torch {measured['torch']}; other work ran on the machine. Where a "
        "training has two phases, both are given."
    )


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def size_table(name: str, measured: Mapping[str, Any]) -> str:
    """What was measured of one system."""
    of = measured["systems"][name]
    networks = [[f"parameters, {net}", f"{_millions(count)} million"] for net, count in of["parameters"].items()]
    rows = [
        *networks,
        ["GMAC of a score", _short(of["score_gmac"])],
        *([f"GMAC of a score at {size} px", _short(gmac)] for size, gmac in of.get("larger", {}).items()),
        *([f"GMAC of an image's training steps, {phase}", _short(gmac)] for phase, gmac in of["step_gmac"].items()),
        *(
            [f"epoch of {of['images']} images, {phase}", f"{_short(taken['processor'])} s"]
            for phase, taken in of["epoch_seconds"].items()
        ),
    ]
    return table(["measured", ""], rows)


def options_table(name: str) -> str:
    """The options of a detector, with defaults."""
    rows = [[f"`{option.name}`", f"`{option.default}`", option.meaning] for option in find(name).options_type.listed()]
    return table(["option", "default", "what it is"], rows)


def differences(name: str) -> str | None:
    """What the file of a detector says of public code, as Markdown; None where it says nothing.

    It is the last part of the module's docstring, from the paragraph on that begins with "Where".
    """
    text = inspect.getdoc(sys.modules[find(name).__module__]) or ""
    _, found, said = text.partition("\n\nWhere ")
    if not found:
        return None
    return re.sub(r":\w+:`", "`", f"Where {said}").replace("``", "`")


def pages(measured: Mapping[str, Any], folder: Path) -> dict[Path, str]:
    """The pages of a folder as they should be.

    Raises:
        ValueError: a page lacks the place of a table.
    """
    made = {folder / "index.md": {"sizes": overview(measured)}}
    for name in measured["systems"]:
        parts = {"size": size_table(name, measured), "options": options_table(name)}
        if (said := differences(name)) is not None:
            parts["differences"] = said
        made[folder / f"{name}.md"] = parts
    return {page: filled(page.read_text(encoding="utf-8"), parts) for page, parts in made.items()}


def write_pages(measured: Mapping[str, Any], folder: Path) -> None:
    """Put all tables into the pages of a folder."""
    for page, text in pages(measured, folder).items():
        write_text(page, text)


def _by_phase(values: Mapping[str, float]) -> str:
    return " + ".join(map(_short, values.values()))


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
