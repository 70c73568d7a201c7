"""The benchmark of training speed: that both sides do their work, and how the ratio is taken."""

from __future__ import annotations

import pytest
import torch
from benches.training import Original, Ours, Work, main, measure, shares

from unblot.layers.blocks import parameter_count


def test_the_original_trains_its_networks() -> None:
    original = Original(steps=1)
    before = [p.detach().clone() for p in (*original.generator.parameters(), *original.discriminator.parameters())]
    assert original() == 64
    after = [*original.generator.parameters(), *original.discriminator.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_both_sides_train_networks_of_one_size() -> None:
    """The biases of our first and last layers are all that differs: 64 in three encoders, 3 and 1 at the ends."""
    original, ours = Original(steps=1), Ours(1, "ganomaly", "fp32")
    assert parameter_count(ours.detector) == (
        parameter_count(original.generator) + parameter_count(original.discriminator) + 3 * 64 + 3 + 1
    )


def test_the_original_judges_four_times_and_makes_once() -> None:
    original = Original(steps=1)
    passes: list[str] = []
    for name in ("encoder", "decoder", "second", "features"):
        getattr(original, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    original()
    assert {name: passes.count(name) for name in passes} == {"encoder": 1, "decoder": 1, "second": 1, "features": 4}


def test_ratios_are_taken_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves with the work alone: what else the machine does has no part in it."""
    now = 0.0
    monkeypatch.setattr("benches.training.time.perf_counter", lambda: now)

    def work(seconds: float) -> Work:
        def run() -> int:
            nonlocal now
            now += seconds
            return 100

        return run

    first, second = measure({"slow": work(0.02), "fast": work(0.005)}, turns=3)
    assert first.times == (1.0, 1.0, 1.0)
    assert second.times == pytest.approx((4.0, 4.0, 4.0))
    assert first.rate == pytest.approx(5000)


def test_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        main(["--turns", "1", "--steps", "1", "--threads", "1", "--precisions", "fp32"])  # bf16 may take minutes
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ") and "way" not in line] == [
        "| the original's step, fp32",
        "| ganomaly, fp32",
    ]


def test_shares_of_the_time_add_up() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        parts = shares("dae", steps=1)
    finally:
        torch.set_num_threads(threads)
    assert sum(parts.values()) == pytest.approx(1)
    assert all(0 <= share < 1 for share in parts.values())
    assert parts["convolutions"] > parts["optimizers"] > 0
