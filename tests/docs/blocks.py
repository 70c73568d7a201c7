"""The code blocks of the documents, and the marks before them.

Every fenced or indented block of the documents is Python or commands, and is run. A comment on a line of its own before
a block says what is different:

    <!-- checked, not run: why -->        Python is compiled; of commands, names and options are checked
    <!-- text -->                         a drawing, not code

``<!-- page checked, not run: why -->`` holds for all blocks below it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands"]

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "examples/README.md",
        "docs/*.md",
        "docs/systems/*.md",
    )
    for page in ROOT.glob(pattern)
)
_COMMANDS = {"unblot", "make", "pip", "python", "cargo", "torchrun", "srun", "apt-get", "git", "source", "maturin"}
_CHECKED = re.compile(r"<!-- (page )?checked, not run: \S.* -->")


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        where: page and line.
        kind: "python", "commands", "text", or "unknown".
        text: what stands in it.
        runs: whether it is run, not only checked.
    """

    where: str
    kind: str
    text: str
    runs: bool


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    mark, page = "", False
    for token in MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8")):
        if token.type == "html_block":
            mark = token.content.strip()
            page = page or mark.startswith("<!-- page checked")
            if "checked" in mark and not _CHECKED.fullmatch(mark):
                raise ValueError(f"{path.name}: {mark} says no reason; write <!-- checked, not run: why -->")
        elif token.type in ("fence", "code_block"):
            line = (token.map or [0])[0] + 1
            kind = "text" if mark == "<!-- text -->" else _kind(token.info.strip(), token.content)
            yield Block(f"{path.name}:{line}", kind, token.content, not (page or _CHECKED.fullmatch(mark)))
            mark = ""
        elif token.type == "inline":
            mark = ""


def _kind(language: str, text: str) -> str:
    if language:
        known = {"python": "python", "py": "python", "text": "text", "sh": "commands", "bash": "commands"}
        return known.get(language, "unknown")
    first = next((line for line in text.splitlines() if line and not line.startswith("#")), "")
    if re.match(r"(from|import) ", first):
        return "python"
    return "commands" if first.split(maxsplit=1)[:1] and first.split()[0] in _COMMANDS else "unknown"


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a block as words; lines that end in a backslash go on, comments are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words
