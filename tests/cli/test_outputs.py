"""What is written: never over what is read or is not ours, checked before any work, row by row, and known again."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.commands import ok, refused, run

from unblot.cli import failures
from unblot.data.listing import list_images
from unblot.evaluation import stream

TINY = ["--model", "dae", "--set", "width=4", "--size", "8", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]


def images(folder: Path, count: int, *, low: int = 0, high: int = 120, name: str = "part {}.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([low, high])
    for i in range(count):
        Image.fromarray(rng.integers(low, high, (9, 10), np.uint8)).save(folder / name.format(i))


def digests(folder: Path) -> dict[str, str]:
    return {str(p): sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    images(root / "parts" / "fine", 24)
    images(root / "parts" / "bad", 5, low=150, high=255)
    ok("train", root / "parts", "--normal", "fine", "--abnormal", "bad", "--out", root / "run", *TINY)
    return root / "run"


@pytest.fixture
def parts(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the abnormal images, in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    for path in (trained.parent / "parts" / "bad").iterdir():
        (tmp_path / "night").mkdir(exist_ok=True)
        (tmp_path / "night" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "night"


# --- nothing that is read, or is not ours, is replaced ----------


def test_no_output_takes_the_place_of_an_input_or_of_a_file_of_someone_else(trained: Path, parts: Path) -> None:
    data, here = trained.parent / "parts", parts.parent
    (here / "notes.txt").write_text("mine", encoding="utf-8")
    (here / "mine").mkdir()
    for name in ("metrics.json", "scores.csv", "report.html", "audit.json", "audit.html", "table.md", "table.json"):
        (here / "mine" / name).write_text('{"mine": 1}', encoding="utf-8")
    folders = ["--normal", "fine", "--abnormal", "bad"]
    before = digests(here) | digests(data) | digests(trained)
    for words in (
        ["predict", trained, parts, "--maps", parts],
        ["predict", trained, parts, "--out", parts / "part 1.png"],
        ["predict", trained, parts, "--out", "notes.txt"],
        ["predict", trained, parts, "--out", trained / "config.json"],
        ["predict", trained, parts, "--out", "mine/scores.csv"],
        ["export", trained, "--out", data / "fine" / "part 0.png"],
        ["export", trained, "--out", trained / "checkpoint.safetensors"],
        ["preview", data, *folders, "--out", data / "bad" / "part 2.png"],
        ["preview", "--out", "notes.txt"],
        ["eval", trained, "--out", "mine"],
        ["audit", data, *folders, "--out", "mine"],
        ["compare", data, *folders, "--models", "dae", "--out", "mine"],
        ["train", data, *folders, *TINY, "--out", "mine"],
    ):
        assert "name another place" in refused(*words) or "Give another" in refused(*words), words
    assert digests(here) | digests(data) | digests(trained) == before


def test_what_the_program_wrote_itself_is_replaced(trained: Path, parts: Path) -> None:
    for _ in range(2):
        ok("predict", trained, parts, "--out", "s.csv", "--maps", "maps")
        ok("eval", trained, "--out", "judged")
        ok("preview", "--count", "1")
    assert len(table(Path("s.csv"))) == 5


def test_pictures_that_the_program_wrote_are_no_images_of_the_line(trained: Path, parts: Path) -> None:
    before = list_images(parts)
    for _ in range(2):
        rows = list(csv.DictReader(ok("predict", trained, parts, "--maps", parts / "maps").stdout.splitlines()))
        assert len(rows) == 5
    ok("preview", "--count", "1", "--out", parts / "preview.png")
    assert list_images(parts) == before
    error = refused("predict", trained, parts / "maps")
    assert "no images" in error
    assert "unblot wrote (heat maps, previews)" in error
    assert "heat maps or previews" in refused("predict", trained, parts / "preview.png")


# --- before any work ----------


def test_places_are_looked_at_before_images_are_read(trained: Path, parts: Path) -> None:
    data = trained.parent / "parts"
    Path("file").write_text("x", encoding="utf-8")
    Path("folder").mkdir()
    Path("folder/x").write_text("x", encoding="utf-8")
    Path("broken").mkdir()
    Path("broken/1.png").write_bytes(b"no image")
    broken = ["broken", "--normal", "broken"]
    for words in (
        ["predict", trained, "broken", "--out", "file/scores.csv"],
        ["predict", trained, "broken", "--out", "folder"],
        ["predict", trained, "broken", "--out", "n" * 250 + ".csv"],
        ["predict", trained, "broken", "--maps", "file"],
        ["predict", trained, "broken", "--maps", "file/deep/maps"],
        ["train", *broken, *TINY, "--out", "file"],
        ["train", *broken, *TINY, "--out", "folder"],
        ["train", *broken, *TINY, "--out", trained],
        ["eval", trained, "--out", "file"],
        ["export", trained, "--check", "broken", "--out", "file/m.onnx"],
        ["export", trained, "--check", "broken", "--out", "folder"],
        ["preview", *broken, "--out", "folder"],
        ["audit", *broken, "--out", "file"],
        ["compare", *broken, "--models", "dae", "--out", "file"],
    ):
        assert "as an image" not in refused(*words), words
    assert not Path("runs").exists()
    assert data.is_dir()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_takes_no_files_is_refused(trained: Path, parts: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "cannot write into" in refused("predict", trained, parts, "--out", "locked/s.csv")


# --- broken images and interrupted work ----------


def test_one_broken_image_costs_its_own_score_and_no_other(trained: Path, parts: Path) -> None:
    ok("predict", trained, parts, "--out", "whole.csv")
    whole = {row["path"]: row["score"] for row in table(Path("whole.csv"))}
    picture = parts / "part 2.png"
    data = picture.read_bytes()
    for content in (data[: len(data) // 2], b"", b"text"):
        picture.write_bytes(content)
        result = run("predict", trained, parts, "--out", "s.csv", "--maps", "maps", "--batch-size", "2")
        assert result.exit_code == 1
        assert "1 of 5 images have no score" in result.stderr
        assert "part 2.png" in result.stderr
        rows = {row["path"]: row for row in table(Path("s.csv"))}
        assert list(rows) == list(whole)
        assert (rows[picture.as_posix()]["score"], rows[picture.as_posix()]["predicted"]) == ("", "")
        for name, row in rows.items():
            if name != picture.as_posix():
                assert float(row["score"]) == pytest.approx(float(whole[name]), rel=1e-5)
                assert (Path("maps") / row["map"]).is_file()
    lines = [json.loads(line) for line in run("predict", trained, parts, "--json").stdout.splitlines()]
    assert [line["score"] is None for line in lines] == [False, False, True, False, False]
    assert "cannot be read" in lines[2]["error"]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets the user stop the command when so many batches are scored."""
    scored = stream._scored

    def after(batches: int) -> None:
        done: list[int] = []

        def count(*given: Any) -> Any:
            if len(done) == batches:
                raise KeyboardInterrupt
            done.append(1)
            return scored(*given)

        monkeypatch.setattr(stream, "_scored", count)

    yield after
    monkeypatch.undo()


def test_rows_stand_in_the_file_when_the_command_is_stopped(
    trained: Path, parts: Path, stopped: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("predict", trained, parts, "--out", "whole.csv")
    with monkeypatch.context():
        stopped(2)
        result = run("predict", trained, parts, "--out", "s.csv", "--batch-size", "2")
    assert result.exit_code == 130
    assert "4 of 5 images have their row in s.csv" in result.stderr
    assert table(Path("s.csv")) == table(Path("whole.csv"))[:4]


def test_a_start_over_the_same_file_goes_on(trained: Path, parts: Path) -> None:
    ok("predict", trained, parts, "--out", "whole.csv")
    text = Path("whole.csv").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    Path("s.csv").write_text("".join(lines[:3]) + lines[3][:-9], encoding="utf-8")  # the last row was cut off
    said = ok("predict", trained, parts, "--out", "s.csv", "--resume").stderr
    assert "of 5 images" in said
    assert [row["path"] for row in table(Path("s.csv"))] == [row["path"] for row in table(Path("whole.csv"))]
    # A row without a score is tried again.
    Path("s.csv").write_text("".join([*lines[:3], lines[3].split(",")[0] + ",,\n"]), encoding="utf-8")
    ok("predict", trained, parts, "--out", "s.csv", "--resume")
    assert len(table(Path("s.csv"))) == 5
    assert all(row["score"] for row in table(Path("s.csv")))
    assert "name it with --out" in refused("predict", trained, parts, "--resume")


def test_rows_of_another_detector_are_not_gone_on_with(trained: Path, parts: Path) -> None:
    ok("predict", trained, parts, "--out", "s.csv")
    text = Path("s.csv").read_text(encoding="utf-8")
    first = table(Path("s.csv"))[0]["score"]
    Path("s.csv").write_text(text.replace(first, repr(float(first) * 1.1)), encoding="utf-8")
    changed = digests(parts.parent)
    assert "another detector" in refused("predict", trained, parts, "--out", "s.csv", "--resume")
    assert "columns" in refused("predict", trained, parts, "--out", "s.csv", "--resume", "--maps", "maps")
    assert digests(parts.parent) == changed


def test_a_file_is_left_alone_until_the_first_rows_are_there(
    trained: Path, parts: Path, stopped: Callable[[int], None]
) -> None:
    ok("predict", trained, parts, "--out", "s.csv")
    before = Path("s.csv").read_bytes()
    stopped(0)
    assert run("predict", trained, parts, "--out", "s.csv").exit_code == 130
    assert Path("s.csv").read_bytes() == before


# --- numbers that judge nothing ----------


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": float("nan")},
        {"threshold": float("-inf")},
        {"threshold": "0.5"},
        {"threshold": None},
        {"threshold": True},
        {"quantile": float("nan")},
        {"quantile": 7},
        {"n": -1},
        {"n": 2.5},
        {"left_out": 10**6},
        {"map_range": [0, float("inf")]},
        {"map_range": 3},
    ],
)
def test_a_calibration_that_no_training_writes_is_refused(
    trained: Path, parts: Path, change: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    stored = json.loads((copy / "calibration.json").read_text(encoding="utf-8"))
    (copy / "calibration.json").write_text(json.dumps(stored | change), encoding="utf-8")
    error = refused("predict", copy, parts)
    assert "calibration.json" in error
    assert next(iter(change)) in error


# --- one line for what the system refuses ----------


def test_a_disk_that_is_full_is_one_line(trained: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    error = refused("predict", trained, parts, "--maps", "maps")
    assert "maps/part 0.png: No space left on device; make room" in error.replace("\\", "/")
    assert list(Path("maps").iterdir()) == []
    assert "preview.png: No space left" in refused("preview", "--count", "1")
    assert not Path("preview.png").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "x: File name too long; give a shorter name"),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), "a/b: Read-only file system; the disk is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied; allow this user"),
        (OSError(errno.EMFILE, "Too many open files"), "standard output: Too many open files; allow more"),
        (MemoryError(), "memory ran out. Use a smaller --batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out (DefaultCPUAllocator"),
    ],
)
def test_what_the_system_refuses_names_the_place_and_the_remedy(error: Exception, said: str) -> None:
    found = failures.said(error)
    assert found is not None
    assert said in found
    assert "\n" not in found


def test_a_fault_of_ours_is_not_hidden() -> None:
    assert failures.said(ValueError("a fault")) is None
    assert failures.said(RuntimeError("shape mismatch")) is None
    assert failures.said(BrokenPipeError(errno.EPIPE, "Broken pipe")) == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_standard_output_that_takes_nothing_is_one_line(trained: Path, parts: Path) -> None:
    words = [sys.executable, "-m", "unblot", "predict", str(trained), str(parts)]
    with Path("/dev/full").open("w") as sink:
        done = subprocess.run(words, stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


# --- what it costs ----------


def test_predict_loads_nothing_that_trains(trained: Path, parts: Path) -> None:
    program = (
        "import sys; from unblot.__main__ import main\n"
        f"sys.argv = ['unblot', 'predict', {str(trained)!r}, {str(parts / 'part 0.png')!r}, '--maps', 'maps']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'lightning_fabric', 'sklearn', 'scipy', 'matplotlib', 'torchvision', 'timm', 'jinja2', 'pandas',\n"
        "         'openvino', 'onnx', 'onnxruntime',\n"
        "         'unblot.training.loop', 'unblot.evaluation.audit', 'unblot.comparison'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
