"""Features of training images that are kept for the calibration: the first ones, within bounds."""

from __future__ import annotations

import pytest
import torch

from unblot.models import kept as module
from unblot.models.kept import KeptFeatures


def test_they_come_back_in_order_with_their_groups() -> None:
    kept = KeptFeatures()
    given = [(torch.rand(n, 3, 4, 4), torch.rand(n, 5, 2, 2), torch.randint(9, (n,))) for n in (5, 1, 3)]
    for fine, coarse, groups in given:
        kept.add([fine, coarse], groups)
    found = list(kept.batches(2))
    assert [len(groups) for _, groups in found] == [2, 2, 1, 1, 2, 1]
    assert all(f.dtype == torch.float32 for features, _ in found for f in features)
    for number in (0, 1):
        back = torch.cat([features[number] for features, _ in found])
        torch.testing.assert_close(back, torch.cat([g[number] for g in given]), rtol=1e-3, atol=1e-3)
    groups = torch.cat([g[2] for g in given])
    assert torch.equal(torch.cat([g for _, g in found]), groups)
    assert torch.equal(kept.groups, groups)
    assert len(kept) == 9
    kept.clear()
    assert (len(kept), len(kept.groups), list(kept.batches())) == (0, 0, [])
    kept.add([torch.rand(1, 2, 2, 2)], torch.arange(1))
    assert len(kept) == 1, "it may be filled anew"


def test_the_first_images_are_kept_as_many_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 7)
    kept = KeptFeatures()
    for start in (0, 5, 10):
        kept.add([torch.zeros(5, 1, 1, 1)], torch.arange(start, start + 5))
    assert kept.groups.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_no_more_bytes_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 100)
    kept = KeptFeatures()
    for start in (0, 2, 4):
        kept.add([torch.zeros(2, 4, 2, 2)], torch.arange(start, start + 2))  # 32 bytes an image in half precision
    assert kept.groups.tolist() == [0, 1, 2]
    stored = sum(f.numel() * 2 for features, _ in kept.batches() for f in features)
    assert stored <= 100


def test_features_beyond_half_precision_stay_finite() -> None:
    kept = KeptFeatures()
    kept.add([torch.tensor([1e9, -1e9]).view(1, 2, 1, 1)], torch.arange(1))
    (((found,), _),) = kept.batches()
    assert found.flatten().tolist() == [65504, -65504]
