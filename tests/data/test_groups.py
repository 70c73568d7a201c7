"""The rules of grouping: expressions, folder levels, tables, none, numbers joined by a gap."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unblot.data import DataConfig, find_groups, load_data
from unblot.data.magnetic_tile import GROUP, GROUP_GAP
from unblot.errors import UserError

Picture = Callable[..., Path]


def test_groups_come_from_captures_or_the_whole_match() -> None:
    names = ["line 1/part7_a.png", "line 1/part7_b.png", "line 2/part7_a.png"]
    assert find_groups(names, r"part\d+") == ["part7"] * 3
    assert find_groups(names, r"line (\d)/part(\d+)") == ["1/7", "1/7", "2/7"]
    assert find_groups(names) == names


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.integers(0, 100))
def test_numbers_share_a_group_where_small_steps_lead_from_one_to_the_other(numbers: list[int], gap: int) -> None:
    groups = find_groups([f"n{n}.png" for n in numbers], r"n(\d+)", gap)
    pairs = sorted(zip(numbers, groups, strict=True))
    for (a, group_a), (b, group_b) in pairwise(pairs):
        assert (group_a == group_b) == (b - a <= gap)


def test_numbers_are_joined_only_within_equal_other_captures() -> None:
    assert find_groups(["a1.png", "b2.png", "a3.png"], r"(\w)(\d)", 5) == ["a/1-3", "b/2-2", "a/1-3"]


def test_magnetic_tile_captures_are_found_again_from_their_names() -> None:
    rng = random.Random(0)
    captures = []
    start = 0
    for tile in range(202):  # numbers within a capture at most 200 apart, captures further apart
        start += rng.randint(201, 40_000)
        for exposure in range(1, 7):
            captures.append((f"MT_Free/Imgs/exp{exposure}_num_{start}.jpg", tile))
            start += rng.randint(1, 200) if exposure < 6 else 0
    rng.shuffle(captures)
    groups = find_groups([name for name, _ in captures], GROUP, GROUP_GAP)
    assert len(set(groups)) == 202
    assert len({(group, tile) for group, (_, tile) in zip(groups, captures, strict=True)}) == 202


@pytest.mark.parametrize(
    ("pattern", "gap", "said"),
    [
        (r"tile(\d+)", None, "does not match 'x/part1.png'"),
        (r"(part)", 3, "in 'x/part1.png' it is 'part'"),
        (None, 3, "give group"),
        ("none", 3, "give group"),
        ("folder:2", None, r"folder:2 asks for a folder that 'x/part1.png' does not have: it has 1 \(x\)"),
        ("folder:-2", None, "choose a level that every image has"),
    ],
)
def test_a_grouping_that_cannot_be_names_the_path(pattern: str | None, gap: int | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        find_groups(["x/part1.png"], pattern, gap)


def test_groups_by_folder_take_the_name_at_one_level() -> None:
    names = ["train/part7/a.png", "test/part7/b.png", "test/part8/deep/b.png"]
    assert find_groups(names, "folder:2") == ["part7", "part7", "part8"]
    assert find_groups(names, "folder:1") == ["train", "test", "test"]
    assert find_groups(names, "folder:-1") == ["part7", "part7", "deep"]
    assert find_groups(["3/a.png", "4/a.png", "9/a.png"], "folder:1", gap=1) == ["3-4", "3-4", "9-9"]
    with pytest.raises(UserError, match="it lies in no folder"):
        find_groups(["a.png"], "folder:1")


def test_none_is_every_image_its_own() -> None:
    assert find_groups(["a", "b"], "none") == ["a", "b"]


def test_groups_by_table(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text('\ufeffgroup, path, more\ntile 1, a/1.png, x\n"tile, 2", a\\2.png, y\n', encoding="utf-8")
    assert find_groups(["a/2.png", "a/1.png"], str(table)) == ["tile, 2", "tile 1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,kind\na,1\n", "has no column group; its first line must name .* it says: path, kind"),
        ("", "has no column path and no column group.*it says: nothing"),
        ("path,group\na,\n", "line 2: path or group is empty"),
        ("path,group\na\n", "line 2: path or group is empty"),
        ("path,group\na,1\na,2\n", "line 3: 'a' has the groups '1' and '2'"),
        ("path,group\nb,1\n", "has no row for the image 'a' .its 1 rows begin with 'b'"),
        ("path,group\n", "has no row for the image 'a' .it has no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "groups.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=said):
        find_groups(["a"], str(table))


def test_a_table_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the table of groups .*nowhere\.csv: No such file"):
        find_groups(["a"], str(tmp_path / "nowhere.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"path,group\n\xff\xfe,1\n")
    with pytest.raises(UserError, match="is not a table of comma-separated values in UTF-8"):
        find_groups(["a"], str(tmp_path / "bytes.csv"))


@pytest.mark.parametrize("rule", ["folder:", "folder:0", "folder:x", "folder:1.5", "folder:1,2"])
def test_a_wrong_level_is_refused_before_images_are_looked_for(rule: str) -> None:
    with pytest.raises(UserError, match="group folder:N takes the level of a folder"):
        DataConfig("nowhere", group=rule)


def test_every_rule_reaches_the_split(tmp_path: Path, picture: Picture) -> None:
    rows = ["path,group"]
    for i in range(24):
        picture(tmp_path / f"ok/day{i // 4}/{i:02d}.png")
        rows.append(f"ok/day{i // 4}/{i:02d}.png,{i // 3}")
    (tmp_path / "groups.csv").write_text("\n".join([*rows, "bad/0.png,x"]))
    picture(tmp_path / "bad/0.png")

    def groups(rule: str) -> int:
        splits = load_data(DataConfig(str(tmp_path), normal=("ok",), abnormal=("bad",), size=8, group=rule))
        sides = [{i.group for i in part.items if not i.label} for part in (splits.train, splits.held_out, splits.test)]
        assert not sides[0] & sides[2] and not sides[0] & sides[1]
        assert rule in splits.describe()
        return sum(map(len, sides))

    assert groups("none") == 24
    assert groups(r"day\d|bad") == groups("folder:-1") == 6
    assert groups(str(tmp_path / "groups.csv")) == 8
