"""``unblot audit`` as a user meets it: what it prints and writes, and its exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from unblot import cli


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["audit", *map(str, words), "--quiet"])


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 parts photographed three times each, in a folder of each day; 8 abnormal images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part in range(48):
        folder = tmp_path / "my parts" / (f"fine/{part:02d}" if part < 40 else "bad")
        folder.mkdir(parents=True, exist_ok=True)
        surface = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)).resize(
            (40, 40), Image.Resampling.BICUBIC
        )
        for n in range(3 if part < 40 else 1):
            x = int(rng.integers(0, 2))
            surface.crop((x, 0, x + 38, 38)).point(lambda v, n=n: v // (n + 1)).save(folder / f"{part}-{n}.png")
    return tmp_path / "my parts"


def test_a_leak_ends_in_exit_code_1_and_a_page_with_pairs(parts: Path) -> None:
    result = run(parts, "--normal", "fine", "--abnormal", "bad", "--group", "none")
    assert result.exit_code == 1
    assert re.search(r"^FAKES  near-duplicates across the split: \d+ of 24 normal test images", result.stdout, re.M)
    assert "would be faked" in result.stderr
    stored = json.loads(Path("audits/my-parts/audit.json").read_text(encoding="utf-8"))
    assert stored["level"] == "fake"
    near = next(f for f in stored["findings"] if f["check"].startswith("near"))
    assert near["figures"]["share"] > 0.5
    page = Path("audits/my-parts/audit.html").read_text(encoding="utf-8")
    assert (
        page.count("data:image/png;base64,") == sum(len(row) for f in stored["findings"] for row in f["examples"]) > 4
    )
    assert not re.search(r"(src|href)=[\"'](?!data:)|https?://", page)  # nothing comes from elsewhere
    assert near["examples"][0][0] in page


@pytest.mark.parametrize("rule", ["folder:-1", "groups.csv"])
def test_split_by_part_the_leak_is_gone(parts: Path, rule: str) -> None:
    rows = [f"{p.relative_to(parts).as_posix()},{p.stem.partition('-')[0]}" for p in parts.rglob("*.png")]
    Path("groups.csv").write_text("\n".join(["path,group", *rows]), encoding="utf-8")
    words = ["--normal", "fine", "--abnormal", "bad", "--group", rule, "--out", "here"]
    result = run(parts, *words)
    found = {f["check"]: f["level"] for f in json.loads(Path("here/audit.json").read_text())["findings"]}
    assert found["near-duplicates across the split"] == "fine", result.output
    assert result.exit_code == 0


def test_a_wrong_rule_is_refused(parts: Path) -> None:
    result = run(parts, "--normal", "fine", "--abnormal", "bad", "--group", "folder:0")
    assert result.exit_code == 2
    assert "group folder:N takes the level of a folder" in result.stderr
    assert not Path("audits").exists()
