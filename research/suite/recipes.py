"""All recipes by name, with reduced versions of some: small images are a kind of their own, and few sets have them."""

from __future__ import annotations

from dataclasses import replace

from research.suite.placing import Recipe, smaller
from research.suite.sets import boards, mvtec, parts, small, surfaces

__all__ = ["RECIPES"]

_WHOLE = {
    recipe.name: recipe
    for table in (surfaces.RECIPES, boards.RECIPES, mvtec.RECIPES, parts.RECIPES, small.RECIPES)
    for recipe in table
}
_REDUCED = {
    "magnetic-tile-0": 96,
    "solar-cells": 96,
    "castings": 64,
    "bottles": 64,
    "capsules": 128,
    "commutators": 128,
}  # name: longer side in pixels


def _reduced(whole: Recipe, side: int) -> Recipe:
    return replace(
        whole,
        name=f"{whole.name}-at-{side}",
        title=f"{whole.title}, longer side reduced to {side} px",
        place=lambda source: smaller(whole.place(source), side),
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (*_WHOLE.values(), *(_reduced(_WHOLE[n], side) for n, side in _REDUCED.items()))
}
