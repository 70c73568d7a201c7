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


def test_p_values_of_new_normal_scores_are_as_small_as_they_say() -> None:
    """Of n left-out scores and one more, each rank is as likely: P(p <= k / (n + 1)) is k / (n + 1)."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(3000):
        scores = rng.gamma(2.0, size=20)
        p = calibrate(scores[:-1]).p_value(scores[-1])
        assert p is not None
        values.append(p)
    for share in (0.05, 0.25, 0.5):
        assert np.mean(np.array(values) <= share + 1e-9) == pytest.approx(share, abs=0.03)


def test_a_moved_threshold_is_that_of_another_quantile() -> None:
    scores = np.random.default_rng(1).normal(size=200)
    for by in ("rank", "normal"):
        moved = calibrate(scores, 0.95, by=by, promise="cross", left_out=7).moved(0.1)
        assert moved == calibrate(scores, 0.9, by=by, promise="cross", left_out=7)
    with pytest.raises(ValueError, match="not kept"):
        Calibration(1.0, 0.95, 5).moved(0.1)
    assert Calibration(1.0, 0.95, 5).p_value(2.0) is None
    with pytest.raises(ValueError, match="as many as n = 3"):
        Calibration.from_dict(calibrate([1.0, 2.0, 3.0]).to_dict() | {"scores": [1.0]})
