"""Files of a commit are found in a clone, bare or not, even where they were deleted since, and in a plain folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from research.suite.source import Source, SourceError
from tests.research.conftest import Repository

FILES = {"a/one.png": b"1", "a/two words ü.jpg": b"\x00\n2\n", "b/three.PNG": b""}


def test_deleted_files_are_read_from_their_commit(repository: Repository) -> None:
    clone, commit = repository(FILES)
    with Source(clone, commit) as source:
        assert source.paths() == sorted(FILES)
        assert [source.read(path) for path in source.paths()] == [FILES[path] for path in sorted(FILES)]
    with Source(clone) as now:
        assert now.paths() == []


def test_a_bare_clone_and_a_git_directory_will_do(repository: Repository, tmp_path: Path) -> None:
    clone, commit = repository(FILES)
    subprocess.run(["git", "clone", "--quiet", "--bare", clone, tmp_path / "bare"], check=True)
    for where in (tmp_path / "bare", clone / ".git"):
        with Source(where, commit) as source:
            assert source.read("a/one.png") == b"1"


def test_a_plain_folder_is_read_as_it_lies_even_inside_a_clone(repository: Repository) -> None:
    clone, _ = repository(FILES)
    (clone / "images" / "x").mkdir(parents=True)
    (clone / "images" / "x" / "y.png").write_bytes(b"new")
    with Source(clone / "images", "0" * 40) as source:
        assert source.paths() == ["x/y.png"]
        assert source.read("x/y.png") == b"new"


def test_paths_are_asked_for_by_beginning_and_end(repository: Repository) -> None:
    clone, commit = repository(FILES)
    with Source(clone, commit) as source:
        assert source.paths("a/") == ["a/one.png", "a/two words ü.jpg"]
        assert source.paths("", ".png") == ["a/one.png", "b/three.PNG"]


def test_what_is_missing_is_named_with_the_remedy(repository: Repository, tmp_path: Path) -> None:
    clone, commit = repository(FILES)
    with pytest.raises(SourceError, match=r"is no folder; give a clone"):
        Source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"has no commit 1{40}; clone the whole history"):
        Source(clone, "1" * 40)
    with Source(clone, commit) as source, pytest.raises(SourceError, match=r"has no file a/four.png"):
        source.read("a/four.png")
