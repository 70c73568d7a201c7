"""Pixels are counted in bounded memory, and what that costs in exactness is known and kept."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from unblot.evaluation import pixel_metrics
from unblot.evaluation.maps import MapRange, MapStore
from unblot.evaluation.pixels import PixelMetrics
from unblot.evaluation.values import Values, from_keys, to_keys

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.lists(floats, min_size=1, max_size=50))
def test_keys_stand_in_the_order_of_their_values(values: list[float]) -> None:
    array = np.array(values, np.float32)
    keys = to_keys(array)
    assert (from_keys(keys) == array).all()
    assert (np.sign(keys[:, None].astype(np.int64) - keys) == np.sign(array[:, None].astype(np.float64) - array)).all()


@settings(deadline=None)
@given(st.lists(floats, min_size=1, max_size=200), st.integers(2, 40), st.randoms())
def test_a_table_stays_small_and_knows_no_order(values: list[float], most: int, chance: Any) -> None:
    tables = []
    for _ in range(2):
        chance.shuffle(values)
        seen = Values(most)
        for part in np.array_split(np.array(values, np.float32), 3):
            seen.add(part)
        keys, weights = seen.table()
        assert len(keys) <= most
        assert weights.sum() == len(values)
        assert seen.lost == 0 or len(np.unique(to_keys(np.array(values, np.float32)))) > most
        tables.append((keys.tolist(), weights.tolist(), seen.lost))
    assert tables[0] == tables[1]


def some(seed: int, side: int = 64, count: int = 8) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, side, side), bool)
    for mask in masks[count // 2 :]:
        y, x = rng.integers(0, side - 20, 2)
        mask[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = True
    return rng.gamma(2, 1, masks.shape).astype(np.float32) + 0.8 * masks, masks


@pytest.mark.parametrize("most", [30, 300, 3000])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_stays_within_the_bound_that_is_stated(seed: int, most: int) -> None:
    maps, masks = some(seed)
    maps = maps.astype(np.float32)
    exact, seen = pixel_metrics(maps, masks), PixelMetrics(most)
    for anomaly_map, mask in zip(maps, masks, strict=True):
        seen.add(anomaly_map, mask)
    found = seen.result()
    assert exact is not None
    assert found is not None
    assert exact["error_bound"] == 0
    assert exact["auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)
    assert exact["auprc"] == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-12)
    assert 0 < found["error_bound"] < 100 / most
    for key in ("auroc", "auprc", "pro_0.3"):
        assert abs(found[key] - exact[key]) <= found["error_bound"]


def test_a_million_values_are_told_apart_as_well_as_a_figure_needs() -> None:
    maps, masks = some(0, side=512, count=12)
    found = pixel_metrics(maps.astype(np.float32), masks)
    assert found is not None
    assert found["auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-5)
    assert found["error_bound"] < 1e-4


def peak(count: int) -> int:
    """Bytes at most while ``count`` maps are taken into account and kept for a report."""
    rng = np.random.default_rng(0)
    tracemalloc.start()
    seen, spread, store = PixelMetrics(1 << 12), MapRange(), MapStore(count, 64)
    for i in range(count):
        anomaly_map = rng.random((96, 96), np.float32)
        seen.add(anomaly_map, anomaly_map > 0.9)
        spread.add(anomaly_map[None])
        store.add([i], anomaly_map[None])
    seen.result(), spread.bounds(), store.bounds()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.evaluation.values.BUFFER", 1 << 15)
    monkeypatch.setattr("unblot.evaluation.maps.Values", lambda: Values(1 << 12))
    peak(2)
    few, many = peak(20), peak(200)
    assert many - few < 180 * 96 * 96 * 4 / 8  # all 180 more maps would take eight times as much


def test_maps_come_back_from_the_store_shrunk_by_the_mean() -> None:
    maps = np.random.default_rng(0).normal(0, 1e6, (5, 32, 32)).astype(np.float32)
    store = MapStore(5, 8)
    store.add([3, 1], maps[:2])
    store.add([0, 2, 4], maps[2:])
    np.testing.assert_allclose(store[3], maps[0].reshape(8, 4, 8, 4).mean((1, 3)), rtol=1e-4, atol=1)
    assert store[-1].shape == (8, 8)
    low, high = store.bounds()
    assert low == maps.min()
    assert np.quantile(maps, 0.99) < high <= maps.max()
    with pytest.raises(IndexError):
        store[5]
