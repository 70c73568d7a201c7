"""Kill a training at random moments, resume it each time, and compare its last checkpoint with an uninterrupted one's.

    python -m tools.faults --kills 20

Exit code 1 where a checkpoint differs. Results of one machine are compared with each other alone.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["kill_and_resume"]

CHECKPOINT = "checkpoint.safetensors"
PROGRAM = """
import sys
import torch
from unblot.data import DataConfig, load_data
from unblot.training import TrainConfig, train

torch.set_num_threads(1)
out, resume, epochs = sys.argv[1], sys.argv[2] == "resume", int(sys.argv[3])
data = DataConfig("digits", abnormal=("3",), size=16, limit=256)
splits = load_data(data)
config = TrainConfig("dae", model_options={"width": 8}, epochs=epochs, batch_size=16, device="cpu")
print("start", flush=True)
train(config, splits, out, data=data, resume=resume, progress=False)
"""


def _start(out: Path, epochs: int) -> subprocess.Popen[str]:
    resume = "resume" if (out / "config.json").exists() else "new"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), resume, str(epochs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill_and_resume(folder: Path, *, kills: int, epochs: int, seed: int) -> list[str]:
    """Train once without and then with ``kills`` kills; a line on each.

    Args:
        folder: where the runs go.
        kills: how many times the process is killed.
        epochs: of the training.
        seed: of the moments.

    Raises:
        RuntimeError: a resumed training failed, or its last checkpoint has other bytes.
    """
    whole = _start(folder / "whole", epochs)
    _, error = whole.communicate()
    if whole.returncode:
        raise RuntimeError(f"the uninterrupted training failed: {error}")
    drawn, lines, run, killed = random.Random(seed), [], folder / "killed", 0
    number = 0
    while True:
        started = _start(run, epochs)
        assert started.stdout is not None
        started.stdout.readline()  # the data are loaded; what follows is the training
        if killed < kills:
            # A new run is begun for as long as kills are left, so that each of them falls into a training.
            moment = drawn.uniform(0.0, 0.15 * epochs)
            time.sleep(moment)
            started.send_signal(signal.SIGKILL)
            started.communicate()
            if started.returncode == -signal.SIGKILL:
                killed += 1
                held = "a checkpoint" if (run / CHECKPOINT).exists() else "no checkpoint yet"
                lines.append(f"kill {killed}: {moment:.2f} s after the start of run {number}, {held}")
                continue
        _, error = started.communicate()
        if started.returncode:
            raise RuntimeError(f"the resumed training failed: {error}")
        if (run / CHECKPOINT).read_bytes() != (folder / "whole" / CHECKPOINT).read_bytes():
            raise RuntimeError("the last checkpoint differs from that of the uninterrupted training")
        lines.append(f"run {number} ended with the bytes of the uninterrupted training")
        if killed >= kills:
            return lines
        number += 1
        run = folder / f"killed-{number}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            lines = kill_and_resume(Path(folder), kills=asked.kills, epochs=asked.epochs, seed=asked.seed)
        except RuntimeError as error:
            sys.exit(f"error: {error}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
