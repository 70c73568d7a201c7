import pytest
import torch
from torch import nn

from unblot.baselines.dae import Autoencoder, DenoisingAutoencoder
from unblot.detectors import Batch


def test_everything_passes_through_the_bottleneck() -> None:
    network = Autoencoder(1, width=8, latent=5).eval()
    latent = network.encoder(torch.rand(2, 1, 32, 32))
    assert latent.shape == (2, 5, 4, 4)
    network.encoder.register_forward_hook(lambda module, given, made: torch.zeros_like(made))
    assert torch.equal(network(torch.zeros(1, 1, 32, 32)), network(torch.ones(1, 1, 32, 32)))


def test_loss_and_score_by_hand() -> None:
    detector = DenoisingAutoencoder(channels=3, size=8)
    detector.autoencoder = nn.Identity()  # type: ignore[assignment]
    clean = torch.full((1, 3, 8, 8), 0.25)
    noisy, n = torch.full((1, 3, 8, 8), -0.25), torch.zeros(1, dtype=torch.int64)
    (step,) = detector.training_step("train", Batch(noisy, clean, n, n))
    assert step.losses["reconstruction"].item() == pytest.approx(0.5**2)

    detector.autoencoder = nn.Hardtanh(-0.5, 0.5)  # type: ignore[assignment]
    image = torch.zeros(1, 3, 8, 8)
    image[0, :, 0, 0] = torch.tensor([1.0, 0.5, -0.5])  # residuals 0.5, 0, 0
    scores = detector.score(image)
    assert scores.map[0, 0, 0, 0].item() == pytest.approx(0.25 / 3)
    assert scores.map.count_nonzero() == 1
    assert scores.image.item() == pytest.approx(0.25 / 3 / 64)
