"""anomalib's DRAEM on our splits: it is trained for its time and scores what we score."""

from __future__ import annotations

import pytest
import torch

from unblot.data import ImageSet
from unblot.data.items import Item, Source

pytest.importorskip("anomalib")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_it_is_trained_for_its_time() -> None:
    from anomalib.models.image.draem.torch_model import DraemModel
    from benches.draem import three_channels, train

    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    sources = [Source(Item(str(i), 0, "good", str(i)), image.numpy()) for i, image in enumerate(pixels[:, 0])]
    images = ImageSet(sources, channels=1, size=32)
    model = DraemModel()
    before = {name: value.clone() for name, value in model.named_parameters()}
    shown = train(model, images, seconds=0.0, batch_size=2, precision=torch.float32)
    assert shown == 2, "time is up after the first step"
    assert all(
        not torch.equal(value, before[name]) for name, value in model.named_parameters() if value.grad is not None
    )
    clean = three_channels(pixels)
    assert clean.shape == (4, 3, 32, 32)
    torch.testing.assert_close(clean[:, 2], pixels[:, 0] / 255)
