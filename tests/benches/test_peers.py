"""What the benchmarks compare does the same job: every peer changes the share of the pixels that the core changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from benches.peers import PEERS, Peer, albumentations_dropout, torch_loop
from benches.workloads import AREA, corrupter, layout

SHAPE = (256, 3, 32, 32)


def _changed(before: torch.Tensor, after: Any) -> float:
    """Share of pixels that differ in any channel."""
    images = np.stack(after) if isinstance(after, list) else after.numpy()
    channels = 3 if layout(before) == "NHWC" else 1
    return float((images != before.numpy()).any(axis=channels).mean())


def _flat(dtype: torch.dtype) -> torch.Tensor:
    """A batch that no noise leaves as it is: hardly a value of the noise is 0.25 or 77."""
    if dtype == torch.uint8:
        return torch.full((256, 32, 32, 3), 77, dtype=dtype)
    return torch.full(SHAPE, 0.25)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_the_core_changes_the_stated_share(dtype: torch.dtype) -> None:
    images = _flat(dtype)
    before = images.clone()
    corrupter(images)()
    assert _changed(before, images) == pytest.approx(AREA, abs=0.01)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peers_change_the_same_share(peer: Peer) -> None:
    pytest.importorskip(peer.module)
    images = _flat(peer.dtype)
    before = images.clone()
    result = peer.prepare(images)()
    after = result if isinstance(result, torch.Tensor | list) else images
    share = _changed(before, after)
    overlapping = peer.prepare in (torch_loop, albumentations_dropout)
    low = 0.7 * AREA if overlapping else 0.87 * AREA
    assert low < share < 1.13 * AREA, f"{share:.3f} of the pixels changed"


def test_peers_say_what_they_leave_out() -> None:
    assert all(len(peer.says) > 50 for peer in PEERS)
