"""Thresholds from few scores: what a normal distribution's bound keeps, and what it says of itself."""

from __future__ import annotations

import numpy as np
import pytest

from unblot.calibration import Calibration, calibrate


@pytest.mark.parametrize("n", [2, 5, 15])
def test_normal_scores_pass_the_normal_bound_as_often_as_asked(n: int) -> None:
    rng = np.random.default_rng(n)
    above = [rng.normal(3, 2) > calibrate(rng.normal(3, 2, n), 0.9, by="normal").threshold for _ in range(4000)]
    assert np.mean(above) == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 4000) ** 0.5)


def test_the_bound_says_what_it_assumes() -> None:
    made = calibrate([1.0, 2.0, 4.0], by="normal", promise="cross")
    assert (made.n, made.quantile, made.promise) == (3, 0.95, "normal")
    assert made.promised.startswith("about 5 % of new normal images lie above it if their scores are normally distr")
    assert Calibration.from_dict(made.to_dict()) == made
    assert made.threshold > calibrate([1.0, 2.0, 4.0]).threshold  # the rank can only take the largest


def test_a_bound_follows_units() -> None:
    scores = np.array([0.1, 0.4, 0.2, 0.7])
    plain, moved = (calibrate(values, by="normal").threshold for values in (scores, 10 * scores - 3))
    assert moved == pytest.approx(10 * plain - 3)


@pytest.mark.parametrize(
    ("scores", "given", "said"),
    [
        ([1.0], {"by": "normal"}, "at least 2 scores"),
        ([1.0, 2.0], {"by": "normal", "quantile": 1.0}, "quantile below 1"),
        ([1.0, 2.0], {"by": "gauss"}, "by must be one of rank, normal; got 'gauss'"),
    ],
)
def test_what_has_no_bound_is_refused(scores: list[float], given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        calibrate(scores, **given)  # type: ignore[arg-type]
