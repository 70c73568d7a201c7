"""``unblot models``: which detectors there are, and what can be set of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblot.cli import flags, output, settings
from unblot.cli.program import app

if TYPE_CHECKING:
    from unblot.detectors import Option

__all__ = ["models"]

_COLUMNS = ("detector", "images", "corruption", "weights", "what it does")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="A detector; all are listed without.", show_default=False)] = None,
    *,
    json_: flags.Json = False,
) -> None:
    """List the detectors, or the options of one: what each does, its default and which values are accepted.

    Example: unblot models memory
    """
    voice = output.Voice(json_)
    from unblot.detectors import available

    if name is None:
        found = [_described(each) for each in available()]
        voice.say(
            output.table([list(_COLUMNS), *map(_row, found)]) + "\n\nunblot models NAME lists the options of one."
        )
        voice.line(models=found)
        return
    with settings.user_values():
        one = _described(name)
    voice.say(_page(one))
    voice.line(**one)


def _described(name: str) -> dict[str, Any]:
    """What is known of a detector, as JSON values."""
    from unblot.backbones.frozen import backbone_title
    from unblot.detectors.registry import find

    cls = find(name)
    own, options = cls.recommended, cls.options_type.listed()
    backbone = next((known.default for known in options if known.name == "backbone"), None)
    return {
        "name": name,
        "summary": cls.summary,
        "size": own.size,
        "largest_size": own.largest or own.size,
        "size_multiple": cls.size_multiple,
        "corruption": own.corruption,
        "batch_size": own.batch_size,
        "lr": own.lr,
        "backbone": None if backbone is None else backbone_title(backbone),
        "options": [
            {"name": o.name, "default": _as_json(o.default), "accepted": o.accepted, "meaning": o.meaning}
            for o in options
        ],
        "example": output.command("unblot", "train", "digits", "--model", name, *_example(options)),
    }


def _example(options: list[Option]) -> list[str]:
    """An option set to half of its default, of the first that is a number."""
    for known in options:
        if known.kind in (int, float):
            half = max(1, known.default // 2) if known.kind is int else known.default / 2
            return ["--set", f"{known.name}={half}"]
    return []


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _sizes(one: dict[str, Any]) -> str:
    sizes = sorted({one["size"], one["largest_size"]})
    return " to ".join(map(str, sizes)) + " px"


def _row(one: dict[str, Any]) -> list[str]:
    weights = (one["backbone"] or ", no weights").partition(", ")[2]
    return [one["name"], _sizes(one), one["corruption"], weights, one["summary"]]


def _page(one: dict[str, Any]) -> str:
    """What is said of one detector."""
    facts = [
        ["detector", f"{one['name']}: {one['summary']}"],
        ["images", f"{_sizes(one)}, a multiple of {one['size_multiple']}"],
        ["training", f"corruption {one['corruption']}, batch size {one['batch_size']}, learning rate {one['lr']:g}"],
        ["backbone", one["backbone"] or "none, no weights"],
        ["example", one["example"]],
        ["options", "each with its default:" if one["options"] else "none"],
    ]
    lines = [
        f"\n\n  --set {output.command(o['name'] + '=' + _text(o['default']))}\n      {o['meaning']} ({o['accepted']})"
        for o in one["options"]
    ]
    return output.table(facts) + "".join(lines)


def _text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
