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


def test_takes_less_time_than_numpy_alone() -> None:
    timed = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    ours, numpys = (min(float(run(timed.format(name))[0]) for _ in range(3)) for name in ("unblot", "numpy"))
    assert ours < numpys


def test_every_public_name_exists() -> None:
    needs_torch = {"BoxNoiseCollate", "RandomBoxNoise"}
    absent = set() if importlib.util.find_spec("torch") else needs_torch
    names = sorted(set(unblot.__all__) - absent)
    code = f"import unblot; print(*[name for name in {names} if getattr(unblot, name, None) is None])"
    assert run(code) == []
