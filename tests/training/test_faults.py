"""Faults that a night of training meets. Each leaves a whole checkpoint, or none, and says what to do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tools.faults import kill_and_resume
from tools.soak import soak

from unblot.baselines.dae import DenoisingAutoencoder
from unblot.data import ImageSet, Splits
from unblot.data.items import Item, Source
from unblot.detectors import Batch, Step
from unblot.errors import UserError
from unblot.training import TrainConfig, train
from unblot.training.checkpoint import read
from unblot.training.run import only_writer
from unblot.training.run_files import CHECKPOINT

Config = Callable[..., TrainConfig]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


@posix
@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    lines = kill_and_resume(tmp_path, kills=2, epochs=8, seed=1)
    assert sum(line.startswith("kill") for line in lines) == 2
    assert lines[-1].endswith("bytes of the uninterrupted training")


@posix
def test_a_full_disk_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system itself refuses the bytes: no file may grow beyond a limit, set after the first epoch."""
    import resource

    original, calls = DenoisingAutoencoder.training_step, iter(range(1, 100))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def step(self: DenoisingAutoencoder, phase: str, batch: Batch) -> Iterator[Step]:
        if next(calls) == 4:  # the first of the second epoch
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        return original(self, phase, batch)

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", step)
    try:
        with pytest.raises(UserError, match=r"cannot write .*checkpoint\.safetensors: File too large.*untouched"):
            train(make_config(), splits, tmp_path / "run", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal_before)
    assert read(tmp_path / "run" / CHECKPOINT).position.epoch == 1
    assert not list((tmp_path / "run").glob("*.tmp"))
    monkeypatch.undo()
    train(make_config(), splits, tmp_path / "run", resume=True, progress=False)
    assert read(tmp_path / "run" / CHECKPOINT).position.finished


def on_disk(folder: Path, count: int, kept: int = 0) -> ImageSet:
    """Images that are decoded when they are asked for."""
    folder.mkdir()
    sources = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(path)
        sources.append(Source(Item(path.name, 0, "good", path.name), path))
    return ImageSet(sources, channels=1, size=16, cache_bytes=kept)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_becomes_unreadable_is_named_and_the_epoch_before_is_kept(
    workers: int, tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = on_disk(tmp_path / "images", 20)
    torn = Splits("torn", images, splits.held_out, splits.test)
    original = DenoisingAutoencoder.training_step
    calls = iter(range(1, 100))

    def step(self: DenoisingAutoencoder, phase: str, batch: Batch) -> Iterator[Step]:
        if next(calls) == 3:  # the last of the first epoch
            (tmp_path / "images" / "7.png").write_bytes(b"torn")
        return original(self, phase, batch)

    monkeypatch.setattr(DenoisingAutoencoder, "training_step", step)
    with pytest.raises(UserError) as error:
        train(make_config(workers=workers, judge="none"), torn, tmp_path / "run", progress=False)
    said = str(error.value)
    assert re.search(r"^train [12]/3: .*7\.png cannot be read as an image", said), said
    assert "--resume" in said
    assert "Traceback" not in said


@posix
def test_a_loading_process_that_is_killed_is_said(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    class Deadly(ImageSet):
        def __getitem__(self, index: int) -> dict[str, object]:
            if torch.utils.data.get_worker_info() is not None and index == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(index)

    images = on_disk(tmp_path / "images", 20, kept=1 << 20)
    images.__class__ = Deadly
    with pytest.raises(
        UserError, match=r"train 1/3: a process that loads images was ended from outside.*fewer workers"
    ):
        train(
            make_config(workers=1), Splits("x", images, splits.held_out, splits.test), tmp_path / "run", progress=False
        )


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_loading_process_that_dies_while_it_hands_a_batch_over_is_said(
    error: Exception, tmp_path: Path, splits: Splits, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Iterator[object]:
        yield from ()
        raise error

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", broken)
    said = rf"train 1/3: a process that loads images was ended.*{type(error).__name__}.*No epoch was finished"
    with pytest.raises(UserError, match=said):
        train(make_config(judge="none"), splits, tmp_path / "run", progress=False)


CTRL_C = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background ignores it
torch.set_num_threads(1)
from unblot.training import loop
write = loop.write
def told(*given):
    write(*given)
    print("epoch", flush=True)
loop.write = told
from unblot.__main__ import main
sys.argv = ["unblot", "train", "digits", "--limit", "64", "--model", "dae", "--set", "width=4", "--size", "8",
    "--epochs", "100000", "--device", "cpu", "--quiet", "--out", sys.argv[1]]
main()
"""


@posix
@pytest.mark.slow
def test_ctrl_c_keeps_the_finished_epochs_and_says_how_to_go_on(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", CTRL_C, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    while running.stdout.readline().strip() not in ("epoch", ""):
        pass
    running.send_signal(signal.SIGINT)
    try:
        _, said = running.communicate(timeout=300)
    finally:
        running.kill()
    assert running.returncode == 130, said
    assert f"unblot train --resume --out {tmp_path / 'run'}" in said
    assert "Traceback" not in said
    assert read(tmp_path / "run" / CHECKPOINT).position.epoch >= 1


def test_two_processes_do_not_train_into_one_run(tmp_path: Path, splits: Splits, make_config: Config) -> None:
    train(make_config(epochs=1), splits, tmp_path / "run", progress=False)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom unblot.training.run import only_writer\n"
        "with only_writer(Path(sys.argv[1]), resume=True):\n    print('mine', flush=True)\n    time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "mine\n"
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    with pytest.raises(UserError, match=r"another process is training into .*run"):
        train(make_config(epochs=1), splits, tmp_path / "run", resume=True, progress=False)
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before
    other.kill()  # the claim ends with the process, however it ends
    other.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            train(make_config(epochs=1), splits, tmp_path / "run", resume=True, progress=False)
            break
        except UserError:
            time.sleep(0.1)
    else:
        pytest.fail("the claim of a killed process stays")


def test_a_folder_that_is_no_run_gets_no_lock(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with only_writer(tmp_path, resume=False):
        assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with only_writer(tmp_path / "nowhere", resume=True):
        assert not (tmp_path / "nowhere").exists()


def test_memory_of_a_soak_is_flat() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    seen = soak(3000, report=3)
    assert [number for number, _ in seen] == [1000, 2000, 3000]
    assert seen[-1][1] - seen[0][1] < 2
