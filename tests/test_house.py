"""Imports run one way, between the rooms of the house and within them (docs/design.md)."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "python" / "unblot"

# Each room may import from those on its right, and everyone from the foundation.
FOUNDATION = {"_core", "errors", "files", ""}
ALLOWED = {
    "errors": set(),
    "files": set(),
    "corruption": set(),
    "data": set(),
    "calibration": set(),
    "layers": {"calibration"},
    "backbones": {"layers"},
    "detectors": {"backbones", "layers", "calibration"},
    "baselines": {"detectors", "layers"},
    "evaluation": {"detectors", "layers", "calibration", "data"},
    "training": {"evaluation", "detectors", "calibration", "data", "corruption"},
    "report": {"evaluation", "detectors", "layers", "data", "corruption"},
    "comparison": {"training", "evaluation", "report", "detectors", "calibration", "data"},
    "deploy": {"training", "evaluation", "detectors", "calibration", "data"},
    "sklearn": {"training", "evaluation", "detectors", "data", "corruption"},
    "cli": {
        *("comparison", "deploy", "training", "evaluation", "report", "detectors", "backbones", "calibration", "data"),
        "corruption",
    },
    "__main__": {"cli"},
}


def modules() -> dict[str, Path]:
    """The file of each module, by its dotted name below ``unblot``."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports(module: str, *, everywhere: bool) -> set[str]:
    """The modules that a module imports: those it loads with itself, or ``everywhere`` in it; none for types alone."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for_types = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in for_types or not (everywhere or getattr(node, "col_offset", 1) == 0):
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "unblot":
                below = name.removeprefix("unblot").lstrip(".")
                found.add(below if below in MODULES or below == "_core" else below.rpartition(".")[0])
    return found - {module}


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_knows_only_those_below_it(module: str) -> None:
    allowed = ALLOWED[room(module)] | FOUNDATION | {room(module)} if module else FOUNDATION | set(ALLOWED)
    wrong = {name for name in imports(module, everywhere=True) if room(name) not in allowed}
    assert not wrong, f"{module} may import from {sorted(allowed)} alone"


def test_no_room_is_without_a_rule() -> None:
    assert {room(module) for module in MODULES} - {""} == set(ALLOWED)
    for name, allowed in ALLOWED.items():
        assert all(name not in ALLOWED[other] for other in allowed), f"{name} and one that it imports know each other"


def test_no_modules_import_each_other() -> None:
    graph = {module: imports(module, everywhere=False) for module in MODULES if not module.endswith("__init__")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules in a circle: {' -> '.join(error.args[1])}")
