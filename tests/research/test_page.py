"""The page of the suite names every set, and where it comes from."""

from __future__ import annotations

from pathlib import Path

from research.suite.recipes import RECIPES

PAGE = (Path(__file__).parents[2] / "docs" / "suite.md").read_text(encoding="utf-8")


def test_every_set_and_its_source_stand_on_the_page() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name, recipe in RECIPES.items():
        if recipe.title.endswith(" px") and "-at-" in name:
            assert f"`{name}`" in PAGE
            continue
        family, _, member = name.rpartition("-")
        mine = [row for row in rows if f"`{name}`" in row or (f"`{family}-" in row and f"`-{member}`" in row)]
        assert len(mine) == 1, name
        assert f"{recipe.repository} `{recipe.commit[:10]}`" in mine[0] or not recipe.repository
