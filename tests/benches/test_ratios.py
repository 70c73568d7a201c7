"""The harness of the table of ratios, with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benches.ratios import Ratio, Row, paired


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: Callable[[], float]) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds()

        return run


def test_a_ratio_is_that_of_times_measured_in_turn() -> None:
    clock = Clock()
    ratio = paired(clock.work(lambda: 1.0), clock.work(lambda: 4.0), clock=clock, seconds=0, least=8)
    assert ratio == Ratio(0.25, 0.25, 0.25, 8)


def test_what_slows_the_machine_for_a_while_does_not_change_the_ratio() -> None:
    clock = Clock()
    slow = iter([1.0] * 20 + [50.0] * 1000)  # after the first few turns the machine is fifty times slower
    pace = {"now": 1.0}

    def ours() -> float:
        pace["now"] = next(slow)
        return pace["now"]

    ratio = paired(clock.work(ours), clock.work(lambda: 2 * pace["now"]), clock=clock, seconds=0, least=30)
    assert ratio.median == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bar", "faster", "measured", "shown", "met"),
    [
        (4.0, True, 0.2, "5.00 (4.00 to 10)", "yes"),
        (6.0, True, 0.2, "5.00 (4.00 to 10)", "**no**"),
        (0.5, False, 0.2, "0.20 (0.10 to 0.25)", "yes"),
        (0.1, False, 0.2, "0.20 (0.10 to 0.25)", "**no**"),
        (None, False, 0.2, "0.20 (0.10 to 0.25)", "–"),
    ],
)
def test_a_line_says_whether_its_bar_is_met(
    bar: float | None, faster: bool, measured: float, shown: str, met: str
) -> None:
    cells = Row("what", bar, Ratio(measured, 0.1, 0.25, 9), faster).cells()
    assert cells[2:] == [shown, met]


def test_a_peer_that_is_not_installed_is_named() -> None:
    assert Row("what", 4.0, None, True, "not installed").cells() == ["what", "≥ 4", "not installed", "–"]
