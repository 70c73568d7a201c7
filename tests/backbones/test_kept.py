"""Which features of training images are kept, how much of them, and that they come back as they were."""

import pytest
import torch
from torch import Tensor

from unblot.backbones import kept
from unblot.backbones.kept import HALF, KeptFeatures


def features(n: int, value: float = 0.0) -> list[Tensor]:
    return [torch.full((n, 2, 4, 4), value), torch.full((n, 3, 2, 2), value)]


def test_features_come_back_in_order_with_their_groups() -> None:
    torch.manual_seed(0)
    given = [torch.randn(7, 2, 4, 4), torch.randn(7, 3, 2, 2)]
    found = KeptFeatures()
    found.add([f[:4] for f in given], torch.arange(4), torch.arange(4))
    found.add([f[4:] for f in given], torch.arange(4, 7), torch.arange(4, 7))
    batches = list(found.batches(3))
    assert [len(groups) for _, groups in batches] == [3, 1, 3]
    assert torch.cat([groups for _, groups in batches]).tolist() == found.groups.tolist() == list(range(7))
    for number, plain in enumerate(given):
        again = torch.cat([each[number] for each, _ in batches])
        assert again.dtype == torch.float32
        torch.testing.assert_close(again, plain, rtol=2**-10, atol=1e-6)


def test_the_first_images_are_kept_and_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "IMAGES", 5)
    found = KeptFeatures()
    for start in range(0, 12, 4):
        found.add(features(4), torch.arange(start, start + 4), torch.arange(start, start + 4))
    assert len(found) == 5
    assert found.groups.tolist() == found.index.tolist() == [0, 1, 2, 3, 4]


def test_bytes_are_bounded_as_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    each = (2 * 4 * 4 + 3 * 2 * 2) * 2  # half precision
    monkeypatch.setattr(kept, "BYTES", 3 * each + each - 1)
    found = KeptFeatures()
    for start in range(0, 6, 2):
        found.add(features(2), torch.arange(start, start + 2), torch.arange(start, start + 2))
    assert len(found) == 3
    stored = sum(f.untyped_storage().nbytes() for batch in found._features for f in batch)
    assert stored <= kept.BYTES
    monkeypatch.setattr(kept, "BYTES", each - 1)
    none = KeptFeatures()
    none.add(features(2), torch.arange(2), torch.arange(2))
    assert len(none) == 0
    assert list(none.batches()) == []


def test_values_beyond_half_precision_stay_finite() -> None:
    found = KeptFeatures()
    found.add(features(1, 1e9), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    found.add(features(1, -1e9), torch.ones(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))
    values = [each[0].unique().tolist() for each, _ in found.batches()]
    assert values == [[HALF], [-HALF]]


def test_what_was_cleared_is_forgotten_and_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "IMAGES", 2)
    found = KeptFeatures()
    found.add(features(2), torch.arange(2), torch.arange(2))
    found.clear()
    assert len(found) == 0
    assert found.groups.dtype == torch.int64
    assert list(found.batches()) == []
    found.add(features(3), torch.arange(3), torch.arange(3))
    assert len(found) == 2
