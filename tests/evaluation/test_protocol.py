"""Protocols: which images share a batch, what BatchNorm normalises with, and that the clean path stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unblot.calibration import calibrate
from unblot.data import ImageSet, Splits
from unblot.errors import UserError
from unblot.evaluation import CLEAN, NOT_REACHABLE, PUBLISHED, Protocol, evaluate, protocol_named, score_set
from unblot.evaluation.protocol import batch_statistics


def test_only_the_protocol_without_a_switch_is_reachable() -> None:
    assert CLEAN.reachable
    assert CLEAN.label == "clean"
    for switch in ("batch_statistics", "class_order", "best_epoch"):
        protocol = Protocol("x", **{switch: True})
        assert not protocol.reachable
        assert NOT_REACHABLE in protocol.label
        assert "cannot be had in use" in protocol.text
    assert protocol_named("published") is PUBLISHED
    with pytest.raises(UserError, match="did you mean 'published'"):
        protocol_named("publishd")


@pytest.mark.parametrize("protocol", [CLEAN, PUBLISHED, Protocol("x", class_order=True), Protocol("y", True)])
@pytest.mark.parametrize("n", [1, 4, 9, 13])
def test_every_image_stands_in_one_batch(protocol: Protocol, n: int) -> None:
    labels = np.arange(n) % 2
    batches = replace(protocol, batch_size=4).batches(labels)
    assert sorted(i for batch in batches for i in batch) == list(range(n))
    assert all(len(batch) <= 5 for batch in batches)
    if protocol.batch_statistics and n > 1:
        assert all(len(batch) > 1 for batch in batches)


def test_order_by_class_makes_batches_of_one_class() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 200)
    ordered = [set(labels[b].tolist()) for b in replace(PUBLISHED, batch_size=8).batches(labels)]
    assert sum(len(classes) == 2 for classes in ordered) <= 1
    assert ordered[0] == {0}
    assert ordered[-1] == {1}
    mixed = replace(PUBLISHED, class_order=False, batch_size=8).batches(np.sort(labels))
    assert sum(len(set(np.sort(labels)[b].tolist())) == 2 for b in mixed) > 20


def test_batch_statistics_are_those_of_the_batch_and_leave_no_trace() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5)).eval()
    images = torch.randn(8, 2, 3, 3) * 3 + 5
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with batch_statistics(model):
        out = model(images)
    mean, std = images.mean((0, 2, 3), keepdim=True), images.var((0, 2, 3), unbiased=False, keepdim=True).sqrt()
    torch.testing.assert_close(out, (images - mean) / std, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(layer.training for layer in model)
    torch.testing.assert_close(model(images), images, rtol=1e-4, atol=1e-4)


@pytest.fixture
def lit(gray: Callable[..., ImageSet]) -> ImageSet:
    """Normal and abnormal images that differ in brightness, files of both mixed."""
    rng = np.random.default_rng(1)
    return gray(*((int(rng.integers(100, 140)) + 20 * label, label, "x") for label in rng.integers(0, 2, 64).tolist()))


def test_a_batch_of_one_class_hides_what_it_has_in_common(brightness: Callable[..., Any], lit: ImageSet) -> None:
    """By brightness the classes can be told; normalised by a batch of one class they cannot: order alone undoes it."""
    from sklearn.metrics import roc_auc_score

    def auroc(**switches: bool) -> float:
        protocol = Protocol("x", batch_size=8, **switches)
        scores = score_set(brightness(), lit, protocol=protocol, progress=False).image
        return float(roc_auc_score(lit.labels, scores))

    clean = auroc()
    assert clean > 0.7
    assert auroc(class_order=True) == clean  # the order alone changes nothing
    assert auroc(batch_statistics=True) > clean - 0.15
    assert auroc(batch_statistics=True, class_order=True) < clean - 0.15


def test_clean_scores_do_not_depend_on_the_batch(brightness: Callable[..., Any], lit: ImageSet) -> None:
    one = score_set(brightness(), lit, batch_size=1, progress=False)
    for protocol in (CLEAN, Protocol("x", class_order=True, batch_size=7)):
        other = score_set(brightness(), lit, protocol=protocol, batch_size=64, progress=False)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.maps, other.maps)


def test_what_is_not_reachable_says_so(brightness: Callable[..., Any], splits: Splits, tmp_path: Path) -> None:
    judged = evaluate(brightness(), splits, calibrate([0.0]), protocol=replace(PUBLISHED, batch_size=4), progress=False)
    assert not judged.metrics["reachable_in_use"]
    assert judged.metrics["switches"]["best_epoch"] is False  # the weights of other epochs are gone
    assert NOT_REACHABLE in judged.metrics["threshold"]["source"]
    assert judged.metrics["f1"] == judged.metrics["f1_minmax_0.2"]
    judged.write(tmp_path)
    rows = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert all(NOT_REACHABLE in row for row in rows[1:])
