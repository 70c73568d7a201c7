"""Files are replaced whole or not at all, and nothing but files is replaced."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from unblot.errors import UserError
from unblot.files import replacing, write_bytes, write_json, write_text


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write_bytes(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old", encoding="utf-8")
    with pytest.raises(KeyError), replacing(tmp_path / "file") as beside:
        beside.write_text("half", encoding="utf-8")
        raise KeyError("stopped")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and devices among its files")
def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    """Whoever is root would take the device from the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (pipe, Path(os.devnull), tmp_path / "link"):
        with pytest.raises(UserError, match="a device or a pipe, which is not replaced"):
            write_bytes(path, b"x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    with pytest.raises(UserError, match="it is a folder"):
        write_bytes(tmp_path, b"x")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/file").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("far/file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far/file").read_text(encoding="utf-8") == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")
def test_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o640)
    (tmp_path / "file").chmod(0o640)
    write_bytes(tmp_path / "file", b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_folder_that_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*file: No such file.*; check the name.*untouched"):
        write_bytes(tmp_path / "nowhere" / "file", b"x")


def test_names_that_are_no_text_come_back_from_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "pr\udcfcfung ü"})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": "pr\udcfcfung ü"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
