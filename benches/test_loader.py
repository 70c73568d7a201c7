"""A ``DataLoader`` that decodes real pictures, with the collate and without: an epoch of 256 tiles in batches of 64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benches.workloads import SPEC, Tiles
from torch.utils.data import DataLoader, default_collate

from unblot import BoxNoiseCollate

COLLATES: dict[str, Callable[[list[Any]], Any]] = {
    "without": default_collate,
    "replace": BoxNoiseCollate(SPEC, "replace", index=1),
    "pair": BoxNoiseCollate(SPEC, "pair", index=1),
    "pair and mask": BoxNoiseCollate(SPEC, "pair", index=1, mask=True),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize(("side", "suffix"), [(32, ".png"), (224, ".jpg")])
def test_epoch(benchmark: Any, tmp_path: Path, side: int, suffix: str, collate: str, workers: int) -> None:
    benchmark.group = f"epoch of {side} × {side} {suffix[1:]} tiles, {workers} workers"
    tiles = Tiles(tmp_path, side, suffix)
    loader = DataLoader(
        tiles, batch_size=64, collate_fn=COLLATES[collate], num_workers=workers, persistent_workers=workers > 0
    )
    benchmark(lambda: sum(1 for _ in loader))
