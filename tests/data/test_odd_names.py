"""Names of files are any bytes: they pass through folders, groups, splits and tables without being changed or lost."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unblot.data import DataConfig, find_groups, load_data, split_by_group
from unblot.data.folders import sources_of
from unblot.data.listing import list_images
from unblot.data.splits import draw_limit
from unblot.data.tables import csv_text
from unblot.errors import UserError

# All that a file may be called under Linux; bytes that are no text are there as Python shows them.
ODD = st.sampled_from("\udc80\udcff ,;\"'\\\r\n\t%*[]?#-\u2028\x85")
LETTERS = ODD | st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
PART = st.text(LETTERS, min_size=1, max_size=8).filter(lambda part: part[0] != ".")
PATHS = st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), min_size=1, max_size=12, unique=True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems take fewer names")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(LETTERS, max_size=8), st.text(LETTERS, max_size=8)), max_size=8))
def test_a_table_comes_back_from_a_reader(rows: list[tuple[str, str]]) -> None:
    text = csv_text(["path", "group"], rows)
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert read == [["path", "group"], *map(list, rows)]
    assert text.startswith("path,group\n")
    assert text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text


@settings(deadline=None, max_examples=60)
@given(PATHS, st.data())
def test_groups_of_a_table_are_found_for_every_name_that_text_can_hold(names: list[str], data: st.DataObject) -> None:
    names = [name for name in names if not re.search("[\udc80-\udcff]", name)]
    # Two that only a slash or a leading space tells apart are one to a table.
    names = list({name.replace("\\", "/").lstrip(" "): name for name in names}.values())
    names = [name for name in names if name.strip(" ")]
    groups = [data.draw(st.text(LETTERS, min_size=1, max_size=4).filter(_text)) for _ in names]
    with TemporaryDirectory() as folder:
        table = Path(folder, "groups.csv")
        table.write_text(csv_text(["path", "group"], zip(names, groups, strict=True)), encoding="utf-8", newline="")
        # A reader of tables passes over spaces after a comma.
        assert find_groups(names, str(table)) == [group.lstrip(" ") if _bare(group) else group for group in groups]
        with pytest.raises(UserError, match="has no row for the image"):
            find_groups([*names, "not there"], str(table))


def _text(text: str) -> bool:
    return not re.search("[\udc80-\udcff]", text) and bool(text.strip(" "))


def _bare(cell: str) -> bool:
    """Whether a cell is written without quotes."""
    return not re.search(r'[",\r\n]', cell)


@settings(deadline=None, max_examples=60)
@given(PATHS, st.integers(1, 3))
def test_a_rule_gives_every_name_one_group_or_names_the_one_it_cannot(names: list[str], level: int) -> None:
    assert find_groups(names) == names == find_groups(names, "none")
    try:
        groups = find_groups(names, f"folder:{level}")
    except UserError as error:
        short = [name for name in names if name.count("/") < level]
        assert repr(short[0]) in str(error)
    else:
        assert groups == [name.split("/")[level - 1] for name in names]
    whole = find_groups(names, r"(?s).+")
    assert whole == names
    for name in names:
        assert find_groups(names, re.escape(name) + r"|(?s:.)*")[names.index(name)]


@settings(deadline=None, max_examples=60)
@given(PATHS, st.integers(0, 9), st.data())
def test_splits_of_odd_names_hold_every_image_once(names: list[str], seed: int, data: st.DataObject) -> None:
    groups = [data.draw(st.sampled_from(names)) for _ in names]
    abnormal = data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    try:
        parts = split_by_group(groups, abnormal, held_out=0.2, test=0.2, seed=seed)
    except UserError:
        normal = set(groups) - {g for g, bad in zip(groups, abnormal, strict=True) if bad}
        assert len(normal) < 3
    else:
        sides = [parts.train, parts.held_out, parts.test]
        assert sorted(parts.train + parts.held_out + parts.test) == list(range(len(names)))
        held = [{groups[i] for i in side} for side in sides]
        assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
        assert not any(abnormal[i] for i in parts.train + parts.held_out)
    kept = draw_limit(groups, data.draw(st.integers(1, 20)), seed)
    assert kept == sorted(set(kept))
    cut = [g for g in set(groups) if 0 < sum(groups[i] == g for i in kept) < groups.count(g)]
    assert len(cut) <= 1


@linux
@settings(deadline=None, max_examples=40)
@given(PATHS)
def test_every_file_of_a_folder_is_found_once_under_its_own_name(names: list[str]) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        files = set()
        for name in names:
            file = folder / f"{name}.png"
            if any(parent.is_file() for parent in file.parents if parent != folder) or file.exists():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            files.add(file)
        found = list_images(folder)
        assert set(found) == files
        assert len(found) == len(files)
        assert found == sorted(found, key=lambda file: file.relative_to(folder).as_posix())
        sources = sources_of([folder, *found])
        assert [Path(source.item.name) for source in sources] == found
        rows = csv.reader(io.StringIO(csv_text(["path"], [[s.item.name] for s in sources]), newline=""))
        assert [Path(row[0]) for row in rows][1:] == found  # what a script reads leads it to the file


@linux
def test_a_whole_set_of_odd_names_is_loaded_and_split(tmp_path: Path) -> None:
    odd = [
        os.fsdecode(b"\xff\xfe"),
        "a,b",
        'quo"te',
        "line\nend",
        "return\r",
        " space ",
        "-dash",
        "a\\b",
        "naïve",
        "%s",
    ]
    for i, name in enumerate(odd):
        for kind in ("good ones", "-bad"):
            file = tmp_path / kind / f"{kind[-1]} {name}" / f"{name}.png"
            file.parent.mkdir(parents=True)
            Image.fromarray(np.full((4, 4), 10 * i, np.uint8)).save(file)
    config = DataConfig(str(tmp_path), normal=("good ones",), abnormal=("-bad",), size=4, group="folder:-1")
    splits = load_data(config, progress=False)
    everything = [item.name for part in (splits.train, splits.held_out, splits.test) for item in part.items]
    assert sorted(everything) == sorted(f"{k}/{k[-1]} {n}/{n}.png" for n in odd for k in ("good ones", "-bad"))
    assert splits.describe().encode("utf-8", "backslashreplace")
