"""What the benchmark of scoring times: the default's parts as after a training."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("timm")

from benches.scoring import WEIGHTED, cases, images, seconds
from unblot.models.fusion import FROM_SCRATCH, PARTS, Fusion

from unblot.models.bank import Bank


def test_each_way_to_weigh_the_default_is_timed_with_what_it_asks_alone() -> None:
    torch.manual_seed(0)
    restoring, *ways = cases(64, shown=96)
    assert restoring[:2] == ("feature_dae", 100)
    asked = [
        [part for part, w in zip(parts, weights, strict=True) if w]
        for parts in (PARTS, FROM_SCRATCH)
        for weights in WEIGHTED
    ]
    for (title, bar, detector), parts in zip(ways, asked, strict=True):
        assert bar == 50
        assert title.endswith(" + ".join(parts))
        assert isinstance(detector, Fusion)
        assert list(detector.parts) == parts
        fine = [bank for bank in detector.modules() if isinstance(bank, Bank) and len(bank.memory) == 5000]
        assert fine, "at stride 8 there are more patches than are kept"
        assert seconds(detector, images(2, 64)) > 0
