"""``import unblot`` is light: nothing heavy is loaded before it is needed."""

import importlib.util
import subprocess
import sys

import pytest

import unblot


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import unblot", ["torch", "torchvision", "numpy", "unblot._core"]),
        ("import unblot; unblot.BoxNoise()", ["torch", "torchvision"]),
        ("import unblot.corruption", ["torch", "torchvision"]),
        (
            "import unblot, numpy as np; d = unblot.corrupt(np.zeros((9, 9), np.uint8), unblot.BoxNoise()); d.mask()",
            ["torch", "torchvision"],
        ),
    ],
)
def test_loads_no_more_than_it_needs(code: str, absent: list[str]) -> None:
    loaded = run(f"{code}\nimport sys\nprint(*[name for name in {absent!r} if name in sys.modules])")
    assert loaded == []


def test_import_loads_the_standard_library_alone() -> None:
    """So it takes no time, on whatever machine."""
    code = "import sys; before = set(sys.modules); import unblot; print(*set(sys.modules) - before)"
    loaded = {name.partition(".")[0] for name in run(code)}
    assert loaded <= {"unblot", *sys.stdlib_module_names}


def test_every_public_name_exists() -> None:
    needs_torch = {"BoxNoiseCollate", "RandomBoxNoise"}
    absent = set() if importlib.util.find_spec("torch") else needs_torch
    names = sorted(set(unblot.__all__) - absent)
    code = f"import unblot; print(*[name for name in {names} if getattr(unblot, name, None) is None])"
    assert run(code) == []
