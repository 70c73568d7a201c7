"""The filter bank: what its features mean, and that they serve as a backbone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from unblot.backbones.filters import FILTERS, FilterBank
from unblot.backbones.frozen import Backbone
from unblot.detectors import Batch, create


def grating(period: float, angle: float = 0.0, size: int = 64) -> torch.Tensor:
    """Stripes, (1, 1, size, size)."""
    y, x = torch.meshgrid(torch.arange(size) - size / 2, torch.arange(size) - size / 2, indexing="ij")
    turn = torch.tensor(angle)
    return 0.5 * torch.sin(2 * torch.pi / period * (x * turn.cos() + y * turn.sin()))[None, None]


def energies(image: torch.Tensor) -> torch.Tensor:
    """Log energies at stride 8 in the middle of an image, (scale, orientation)."""
    (found,) = FilterBank((8,))(image)
    at = [3 + 8 * j for j in range(4)]  # after the colours: orientations, then brighter and darker
    return torch.stack([found[0, i : i + 6, 4, 4] for i in at])


@pytest.mark.parametrize(("period", "scale"), [(4, 0), (8, 1), (16, 2)])
@pytest.mark.parametrize("orientation", range(6))
def test_energy_stands_at_the_scale_and_orientation_of_stripes(period: int, scale: int, orientation: int) -> None:
    found = energies(grating(period, torch.pi * orientation / 6))
    assert divmod(int(found.argmax()), 6) == (scale, orientation)


def test_contrast_is_an_offset_and_brightness_changes_no_energy() -> None:
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    strong, weak, bright = energies(noise), energies(noise / 2), energies(noise / 2 + 0.4)
    assert torch.allclose(strong[0] - weak[0], torch.full((6,), 2.0).log(), atol=0.05)
    assert torch.allclose(weak, bright, atol=1e-3)


def test_dark_and_bright_spots_differ() -> None:
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., 34:36, 34:36] = 1
    bright, dark = (FilterBank((8,))(sign * spot)[0][0, :, 4, 4] for sign in (1, -1))
    assert torch.allclose(bright[3:9], dark[3:9], atol=1e-4)
    assert bright[9] > dark[9] and bright[10] < dark[10]


def test_each_stride_keeps_to_itself() -> None:
    x = torch.rand(2, 3, 96, 64) * 2 - 1
    together = FilterBank((4, 8, 16))(x)
    for stride, found in zip((4, 8, 16), together, strict=True):
        alone = FilterBank((stride,))
        assert found.shape == (2, alone.channels[0], 96 // stride, 64 // stride)
        assert torch.allclose(alone(x)[0], found, atol=1e-5)
    with pytest.raises(ValueError, match="powers of two"):
        FilterBank((2, 4))


def test_as_a_backbone_it_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("frozen", "networks", "weights"):
        monkeypatch.setattr(f"unblot.backbones.{module}.timm_module", lambda: pytest.fail("timm is not needed"))
    backbone = Backbone(FILTERS, (8, 16))
    backbone.load_pretrained()
    assert backbone.title == "filters, no weights"
    gray = torch.rand(1, 1, 64, 64) * 2 - 1
    for a, b in zip(backbone(gray), FilterBank((8, 16))(gray), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_memory_of_it_finds_another_texture() -> None:
    torch.manual_seed(0)
    normal = torch.cat([grating(6 + i % 3, 0.05 * (i % 5)) for i in range(16)]) + 0.1 * torch.randn(16, 1, 64, 64)
    memory = create("memory", channels=1, size=64, backbone=FILTERS, strides=[8], coreset_size=300)
    (phase,) = memory.phases(0)
    number = torch.arange(16)
    list(memory.training_step(phase.name, Batch(normal, normal, number, number)))
    memory.finish_phase(phase.name)
    wrong = normal.clone()
    wrong[:, :, 24:40, 24:40] = wrong[:, :, 24:40, 24:40].mT
    fresh = wrong, normal + 0.05 * torch.randn_like(normal)
    scores = torch.cat([memory.score(x).image for x in fresh])
    assert roc_auc_score([1] * 16 + [0] * 16, scores) == 1
