"""Watching scores: how rarely it alarms where nothing changes, and how soon where something does."""

from __future__ import annotations

import numpy as np
import pytest

from unblot.evaluation.drift import watch


def series(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(3.0, size=n) + shift


def test_false_alarms_come_no_sooner_than_promised() -> None:
    """Mean run length, cut off at four times what is promised: cutting can only shorten it."""
    every, lengths = 50, []
    for seed in range(200):
        found = watch(series(2 * seed, 30), series(2 * seed + 1, 4 * every), every=every, seed=seed)
        lengths.append(4 * every if found.alarm is None else found.alarm + 1)
    assert np.mean(lengths) > every


def test_p_values_of_unchanged_scores_are_uniform() -> None:
    from scipy.stats import kstest

    p_values = np.concatenate([watch(series(s, 20), series(s + 100, 30)).p_values for s in range(50)])
    assert kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("shift", "rising"), [(4.0, True), (-4.0, False)])
@pytest.mark.parametrize("quiet", [0, 400])
def test_a_change_is_found_soon_and_placed_where_it_began(shift: float, rising: bool, quiet: int) -> None:
    scores = np.concatenate([series(1, quiet), series(2, 60, shift)])
    found = watch(series(0, 300), scores, every=1000)
    assert found.alarm is not None and found.start is not None
    assert quiet <= found.alarm < quiet + 40
    assert abs(found.start - quiet) <= 8
    assert found.rising == rising


def test_equal_scores_and_seeds() -> None:
    flat = np.ones(500)
    assert watch(np.ones(30), flat).alarm is None, "what never varies has not changed"
    one, other = (watch(np.ones(30), flat, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.p_values, other.p_values)
    assert len(watch([1.0], []).evidence) == 0


@pytest.mark.parametrize(
    ("known", "scores", "every", "said"),
    [([], [1.0], 100, "no left-out"), ([1.0], [np.nan], 100, "finite"), ([1.0], [1.0], 1, "above 1")],
)
def test_what_cannot_be_watched_is_refused(known: list[float], scores: list[float], every: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        watch(known, scores, every=every)
