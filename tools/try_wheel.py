"""Try a wheel (or sdist) as a user gets it: empty environments, no source tree, several Python versions.

    python tools/try_wheel.py dist/unblot-*.whl --python python3.11 --python python3.13 --extra train

For each Python: a new virtual environment, the core alone with its NumPy tests; with ``--extra train`` also what
README's quick start does, on digits. Ends with one line for each Python and exit code 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
QUICK_START = (
    ["preview", "digits"],
    ["train", "digits", "--model", "dae", "--epochs", "1", "--out", "run", "--quiet"],
    ["eval", "run", "--quiet"],
    ["predict", "run", "image.png", "--out", "scores.csv"],
)


def attempt(artefact: Path, python: str, extra: str | None) -> str:
    """What was found, in one line; raises CalledProcessError where a step fails."""
    with tempfile.TemporaryDirectory(prefix="unblot-wheel-") as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

        def run(*words: str | Path) -> str:
            done = subprocess.run(
                [str(word) for word in words],
                cwd=folder,
                env=environment,
                check=True,
                text=True,
                stdout=subprocess.PIPE,
            )
            return done.stdout.strip()

        run(python, "-m", "venv", "env")
        bin_ = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        pip = (bin_ / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(*pip, artefact)
        where = run(
            bin_ / "python",
            "-c",
            "import unblot, sys; print(sys.version.split()[0], unblot.__version__, unblot.__file__)",
        )
        if str(folder) not in where:
            raise RuntimeError(f"another copy of unblot was imported: {where}")
        version, release, _ = where.split(maxsplit=2)
        run(*pip, "pytest", "hypothesis")
        shutil.copytree(TESTS / "numpy_only", folder / "numpy_only")
        said = [run(bin_ / "python", "-m", "pytest", "-q", "numpy_only").splitlines()[-1]]
        if extra:
            run(*pip, f"{artefact}[{extra}]")
            picture = "from PIL import Image; Image.new('L', (8, 8), 90).save('image.png')"
            run(bin_ / "python", "-c", picture)
            for words in QUICK_START:
                run(bin_ / "unblot", *words)
            if not (folder / "run" / "eval" / "report.html").is_file() or not (folder / "scores.csv").is_file():
                raise RuntimeError("the quick start left no report or no scores")
            said.append("quick start: preview, train, eval, predict")
        return f"Python {version}, unblot {release}: {'; '.join(said)}"


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--python", action="append", help="an interpreter; repeatable")
    parser.add_argument("--extra", help="install this extra, too, and run the quick start")
    given = parser.parse_args()
    failed = 0
    for python in given.python or [sys.executable]:
        try:
            print(attempt(given.artefact.resolve(), python, given.extra), flush=True)
        except (subprocess.CalledProcessError, RuntimeError, OSError) as error:
            failed += 1
            print(f"FAILED with {python}: {error}", flush=True)
            if isinstance(error, subprocess.CalledProcessError) and error.stdout:
                print(error.stdout, flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
