"""The made parts of ``docs/claims.md``: an entry for each claim, the differences, and what was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from research.claims.claims import CLAIMS, CORRUPTIONS, Claim
from research.claims.measure import compared, difference_table, level_table
from research.pages import filled, table

__all__ = ["page"]

STATES = {"yes": "yes", "always": "yes, always", "no": "no"}


def page(text: str, found: Sequence[Mapping[str, Any]]) -> str:
    """The page with its made parts as they should be.

    Args:
        text: of the page.
        found: trainings (:func:`research.claims.measure.read`).
    """
    parts = {
        "overview": table(
            ["claim", "implemented", "switch", "AUROC, with − without"], [_row(claim, found) for claim in CLAIMS]
        ),
        "claims": "\n\n".join(map(_entry, CLAIMS)),
        "corruptions": table(["name", "corruption"], [[f"`{name}`", _code(name)] for name in CORRUPTIONS]),
        "differences": difference_table(found),
        "levels": level_table(found),
    }
    return filled(text, parts)


def _row(claim: Claim, found: Sequence[Mapping[str, Any]]) -> list[str]:
    of = [(pair, compared(pair, found)) for pair in claim.pairs]
    told = [f"{each['mean']:+.3f} (`{pair.off}`)" if each else "not run" for pair, each in of]
    measured = "; ".join(dict.fromkeys(told))
    if not claim.pairs:
        measured = f"as claim {claim.repeats}" if claim.repeats else "not measured"
    return [
        f"[{claim.number}](#claim-{claim.number})",
        STATES[claim.state],
        (claim.switch or "none").replace("|", "\\|"),
        measured,
    ]


def _entry(claim: Claim) -> str:
    said = [f"### Claim {claim.number}", claim.says]
    if claim.repeats:
        said.append(f"It repeats [claim {claim.repeats}](#claim-{claim.repeats}).")
    switch = claim.switch or "none; it always holds" if claim.state != "no" else "none; not implemented"
    said.append(f"Switch: {switch}. {claim.note}".strip())
    if claim.rows or claim.number == 10:
        said.append(f"![Claim {claim.number}: digits without and with it](claims/{claim.number:02}.png)")
    return "\n\n".join(said)


def _code(name: str) -> str:
    """A corruption as code, with what differs from the default alone."""
    spec = CORRUPTIONS[name]
    if spec is None:
        return "none"
    plain = type(spec)()
    given = [
        f"{field}={value!r}"
        for field in spec.to_dict()
        if (value := getattr(spec, field, None)) != getattr(plain, field, None)
    ]
    return f"`{type(spec).__name__}({', '.join(given)})`"
