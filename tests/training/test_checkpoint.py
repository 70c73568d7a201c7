import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unblot.errors import UserError
from unblot.training.checkpoint import Position, read, write


class Model(nn.Module):
    """Whole and floating numbers, a scalar, an empty buffer, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.b = nn.Linear(3, 4)
        self.b.weight = self.a.weight
        self.memory: torch.Tensor
        self.register_buffer("memory", torch.empty(0, 4))


def trained() -> tuple[Model, torch.optim.Adam]:
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.norm(model.a(torch.rand(5, 3)) + model.b(torch.rand(5, 3))).square().sum().backward()
        optimizer.step()
    return model, optimizer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    write(path, *_given(), Position(1, 2, 30))
    return path


def _given() -> tuple[Model, dict[str, torch.optim.Optimizer]]:
    model, optimizer = trained()
    return model, {"main": optimizer}


def test_everything_comes_back_bit_for_bit(path: Path) -> None:
    model, optimizer = trained()
    again = Model()
    fresh = torch.optim.Adam(again.parameters(), 0.05)
    checkpoint = read(path)
    checkpoint.restore_model(again)
    checkpoint.restore_optimizers({"main": fresh})
    assert checkpoint.position == Position(1, 2, 30)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert fresh.param_groups[0]["lr"] == 0.05  # a setting of the run, not a state
    state, state_again = optimizer.state_dict()["state"], fresh.state_dict()["state"]
    assert state.keys() == state_again.keys()
    for number, moments in state.items():
        assert moments.keys() == state_again[number].keys()
        assert all(torch.equal(value, state_again[number][name]) for name, value in moments.items())


def test_the_same_state_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", *_given(), Position(1, 2, 30))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_any_safetensors_reader_opens_it(path: Path) -> None:
    tensors = load_file(path)
    assert tensors["model/a.weight"].shape == (4, 3)
    assert "optimizer/main/0/exp_avg" in tensors


def test_a_buffer_that_grew_in_training_comes_back(tmp_path: Path) -> None:
    model = Model()
    model.memory = torch.rand(7, 4)
    write(tmp_path / "grown", model, {}, Position())
    again = Model()
    read(tmp_path / "grown").restore_model(again)
    assert torch.equal(again.memory, model.memory)


def test_another_network_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint.safetensors holds other networks") as caught:
        read(path).restore_model(nn.Linear(2, 2))
    assert re.search(
        r"2 missing, such as bias; \d+ too many, such as a\.\w+\)\. Train the run again", str(caught.value)
    )


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_checkpoint_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    before = path.read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    if at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif at == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        path.with_name(f".{path.name}.tmp").mkdir()  # the file beside cannot be opened
    with pytest.raises(UserError, match=r"cannot write .*checkpoint.safetensors.*untouched"):
        write(path, *_given(), Position(2, 0, 60))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert read(path).position == Position(1, 2, 30)
    assert at == "write" or list(path.parent.iterdir()) == [path]  # nothing half written is left


def test_a_leftover_of_a_kill_is_no_hindrance(path: Path) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(b"half a checkp")
    write(path, *_given(), Position(2, 0, 60))
    assert read(path).position.step == 60
    assert not beside.exists()


def test_truncated_anywhere_it_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for length in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"checkpoint.safetensors is not a whole checkpoint.*train again"):
            read(path)


def test_any_changed_byte_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            checkpoint = read(path)
        except UserError:
            continue
        # A header can carry a change without meaning (a space): then everything must still be as written.
        assert place < int.from_bytes(data[:8], "little") + 8
        assert checkpoint.position == Position(1, 2, 30)


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(99, "written by a newer unblot: upgrade"), (1, "Use the version that wrote it"), ("x", "Use")],
)
def test_another_format_is_named(path: Path, version: int | str, remedy: str) -> None:
    # What else a newer header says, and how, is not known: the format alone decides.
    header = {"format": version, "place": [1], "sum": 0}
    save_file({"x": torch.zeros(1)}, path, {"unblot": json.dumps(header)})
    with pytest.raises(UserError, match=rf"format '?{version}'?; .*reads format 2\. .*{remedy}"):
        read(path)


def test_other_files_are_refused(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not a whole checkpoint of unblot"):
        read(path)
    with pytest.raises(UserError, match=r"cannot read .*nowhere"):
        read(path.parent / "nowhere")


def test_an_optimizer_with_other_state_than_tensors_is_named(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter])
    optimizer.state[parameter]["history"] = [1, 2]
    with pytest.raises(TypeError, match=r"'main'.*'history'.*list"):
        write(tmp_path / "x", nn.Linear(1, 1), {"main": optimizer}, Position())
    assert not list(tmp_path.iterdir())
