"""What the documents say is true: their Python runs, their commands run, and what cannot be run here at least exists.

``tests/docs/blocks.py`` says which block is what. Commands run in a folder that holds what the documents speak of:
images of parts in ``parts/good`` and ``parts/bad``, and some in ``new/``. Trainings that say no length get one epoch on
few images, and those of the default few steps.
"""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image
from tests.docs.blocks import PAGES, ROOT, Block, blocks, commands
from typer.testing import CliRunner

from unblot.cli import app

ALL = [block for page in PAGES for block in blocks(page)]
SHORT = {"--epochs": "1", "--limit": "16"}
FEW_STEPS = ("--set", "steps=8")  # of the default, whose marking networks learn as long from few images as from many
PLACEHOLDERS = {"S": "0", "N": "1"}  # of commands that are only checked


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a reader, with images of parts: good ones smooth, bad ones with a bright spot."""
    rng = np.random.default_rng(0)
    for part in range(60):
        kind = "good" if part < 40 else "bad"
        coarse = rng.integers(60, 180, (4, 4), np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC)).copy()
        if kind == "bad":
            y, x = rng.integers(4, 30, 2)
            picture[y : y + 6, x : x + 6] = 255 - picture[y : y + 6, x : x + 6]
        for place in (tmp_path / "parts" / kind, *([tmp_path / "new"] if part % 20 == 0 else [])):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"part{part:02}.png")
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path


def parsed(words: list[str]) -> str:
    """The verb of a command line that the real parser takes; fails with the parser's own message where it does not."""
    command: Any = typer.main.get_command(app)
    args, names, context = [PLACEHOLDERS.get(word, word) for word in words], list[str](), None
    while True:
        context = command.make_context("unblot", list(args), parent=context)
        if not hasattr(command, "commands"):
            return " ".join(names)
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, args = command.resolve_command(context, rest)
        names.append(name)


def exists(words: list[str]) -> bool:
    """Whether what another command names is there; raises ValueError for one that only a checked block may hold."""
    match words:
        case ["make", *rest]:
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
            return {word for word in rest if "=" not in word} <= targets
        case ["pip" | "python", *_] if "install" in words:
            known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            asked = re.findall(r"\[([^\]]*)\]", " ".join(words))
            return set(",".join(asked).replace(" ", "").split(",")) - {""} <= set(known["optional-dependencies"])
        case ["python", "-m", module, *_]:
            return module in ("venv",) or find_spec(module) is not None
        case ["python", file, *_]:
            return (ROOT / file).is_file()
    raise ValueError(f"no rule for {words[0]!r}")


@pytest.mark.parametrize("block", ALL, ids=lambda block: block.where)
def test_blocks_are_python_or_commands_that_exist(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    assert block.kind != "unknown", f"{block.where}: neither Python nor commands; mark it as text if it is neither"
    if block.kind == "python":
        compile(block.text, block.where, "exec")
    if block.kind == "commands":
        monkeypatch.chdir(ROOT)
        for words in commands(block.text):
            if words[0] in ("unblot", "torchrun") and "unblot" in words:
                parsed(words[words.index("unblot") + 1 :])
            elif block.runs or words[0] in ("make", "pip", "python"):
                assert exists(words), f"{block.where}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_blocks_run_in_order(page: Path, folder: Path) -> None:
    """One namespace for each page, with what a reader has: ``dataset``, ``model``, ``criterion``."""
    names: dict[str, Any] = {
        "dataset": [torch.rand(1, 16, 16) for _ in range(16)],
        "model": torch.nn.Conv2d(1, 1, 3, padding=1),
        "criterion": torch.nn.functional.mse_loss,
    }
    for block in blocks(page):
        if block.runs and block.kind == "python":
            exec(compile(block.text, block.where, "exec"), names)
        if block.runs and block.kind == "commands":
            for words in commands(block.text):
                if words[0] == "unblot":
                    run(words[1:], block.where)


def run(words: list[str], where: str) -> None:
    """Run a command as a shell would, patterns of file names filled in."""
    filled = [name for word in words for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    if words[0] in ("train", "compare") and "--resume" not in words:
        filled += [text for flag, value in SHORT.items() if flag not in words for text in (flag, value)]
    if words[0] == "train" and not {"--model", "--resume"} & {*words}:
        filled += FEW_STEPS
    result = CliRunner().invoke(app, filled, prog_name="unblot")
    assert result.exit_code == 0, f"{where}: unblot {' '.join(filled)}\n{result.output}\n{result.exception!r}"


def test_the_documents_have_blocks_and_most_of_them_run() -> None:
    """Were the parser blind, everything above would pass."""
    assert sum(block.kind == "python" for block in ALL) >= 7
    unblots = [block for block in ALL if block.kind == "commands" and "unblot " in block.text]
    assert len(unblots) >= 25
    assert sum(block.runs for block in unblots) >= 12


@pytest.mark.parametrize(
    ("command", "said"),
    [("train digits --epoch 3", "epoch"), ("trian", "trian"), ("eval", "run"), ("train --size x", "integer")],
)
def test_a_command_that_is_wrong_is_found(command: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        parsed(command.split())
    assert "UsageError" in {cls.__name__ for cls in type(caught.value).__mro__}


@pytest.mark.parametrize("words", [["make", "nothing"], ["pip", "install", ".[nothing]"], ["python", "nothing.py"]])
def test_what_does_not_exist_is_found(words: list[str]) -> None:
    assert not exists(words)
