import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.alad import ALAD
from unblot.detectors import Batch, Detector
from unblot.layers.blocks import parameter_count

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]

DISCRIMINATORS = {"d_xz", "d_xx", "d_zz"}


def small(channels: int = 1, size: int = 16, **options: Any) -> ALAD:
    torch.manual_seed(0)
    return ALAD(channels=channels, size=size, **({"width": 8, "latent": 8} | options))


def test_parameters_at_the_default() -> None:
    detector = ALAD(channels=3, size=32)
    counts = {name: round(parameter_count(network) / 1e6, 2) for name, network in detector.named_children()}
    assert counts == {"encoder": 1.07, "generator": 1.07, "d_xz": 5.69, "d_xx": 0.22, "d_zz": 0.01}


# --- The steps


def test_each_step_changes_its_own_side_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    taken = walk(small(), "train", as_batch(smooth()))
    assert [step.optimizer for step in taken] == ["discriminators", "generator"]
    assert taken[0].reached == taken[0].changed == DISCRIMINATORS
    assert taken[1].reached == taken[1].changed == {"encoder", "generator"}


def test_cycles_reach_encoder_and_generator(smooth: Images, as_batch: Batches) -> None:
    detector = small()
    _, step = detector.training_step("train", as_batch(smooth()))
    for name in ("fool_xx", "fool_zz"):
        for network in (detector.encoder, detector.generator):
            gradients = torch.autograd.grad(
                step.losses[name], [*network.parameters()], retain_graph=True, allow_unused=True
            )
            assert any(g is not None and g.any() for g in gradients)


def test_the_encoder_sees_the_corrupted_image_and_the_discriminators_the_clean_one(
    smooth: Images, as_batch: Batches
) -> None:
    detector, batch = small(), as_batch(smooth())
    seen: dict[str, list[Tensor]] = {}
    for name in ("encoder", "d_xz", "d_xx"):
        getattr(detector, name).register_forward_hook(
            lambda module, args, made, name=name: seen.setdefault(name, []).extend(args)
        )
    list(detector.training_step("train", batch))
    assert torch.equal(seen["encoder"][0], batch.noisy)
    for name in ("d_xz", "d_xx"):
        assert torch.equal(seen[name][0], batch.clean)
        assert not any(x.shape == batch.noisy.shape and torch.equal(x, batch.noisy) for x in seen[name])


# --- Spectral normalisation


def without_normalisation(monkeypatch: pytest.MonkeyPatch) -> ALAD:
    with monkeypatch.context() as patched:
        patched.setattr("unblot.baselines.alad._normalise", lambda network: None)
        return small()


def norms(network: nn.Module) -> list[float]:
    """Largest singular value of each hidden layer's matrix."""
    layers = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return [torch.linalg.matrix_norm(m.weight.detach().flatten(1), 2).item() for m in layers]


def test_hidden_layers_have_norm_one(
    smooth: Images, as_batch: Batches, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, plain = small(), without_normalisation(monkeypatch)
    for d in (detector, plain):
        fit(d, as_batch(smooth(8)), {"train": 3})
        d.eval()
    hidden = [net.features if name == "encoder" else net.hidden for name, net in children(detector).items()]
    assert len(hidden) == 4
    for network in hidden:
        assert norms(network) == pytest.approx([1.0] * len(norms(network)), abs=0.2)  # one step of the power iteration
    assert max(norms(plain.d_xx.hidden)) < 0.7  # what they have without it, so early in training
    # The last layer is free, for a logit has no bound.
    assert not hasattr(detector.d_xx.classifier, "parametrizations")


def children(detector: ALAD) -> dict[str, Any]:
    return {name: network for name, network in detector.named_children() if name != "generator"}


def test_initial_weights_keep_their_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalisation divides what DCGAN's initial weights are; it does not replace them."""
    normalised, plain = small(), without_normalisation(monkeypatch)
    kept, drawn = normalised.d_xx.hidden.state_dict(), plain.d_xx.hidden.state_dict()
    for layer in ("0", "3"):
        assert torch.equal(kept[f"{layer}.parametrizations.weight.original"], drawn[f"{layer}.weight"])


# --- Losses and score by hand


class Mean(nn.Module):
    """Encoder: the mean pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.flatten(1).mean(1, keepdim=True)


class Flat(nn.Module):
    """Generator: an image of one gray, half of z."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, z: Tensor) -> Tensor:
        return (self.scale * z[:, :1, None, None]).expand(-1, 1, 16, 16)


class Weighed(nn.Module):
    """Logit: 2 · mean of the first + 3 · mean of the second."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return 2 * first.flatten(1).mean(1) + 3 * second.flatten(1).mean(1)


class WeighedImages(Weighed):
    """With a feature: 3 · the second images."""

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(first, second), 3 * second


def by_hand() -> ALAD:
    detector = small(latent=1)
    detector.encoder, detector.generator = Mean(), Flat()  # type: ignore[assignment]
    detector.d_xz, detector.d_xx, detector.d_zz = Weighed(), WeighedImages(), Weighed()  # type: ignore[assignment]
    return detector


def real(logit: float) -> float:
    """-log D"""
    return math.log1p(math.exp(-logit))


def fake(logit: float) -> float:
    """-log(1 - D)"""
    return math.log1p(math.exp(logit))


def test_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda n, latent, device: torch.full((n, latent), 0.8))
    x, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    batch = Batch(noisy=-0.6 * torch.ones_like(x), clean=x, index=n, group=n)
    first, second = by_hand().training_step("train", batch)
    # z = 0.8, G(z) = 0.4, E(G(z)) = 0.4; E(noisy) = -0.6, x̂ = -0.3.
    x_found, made_z = 2 * 0.5 + 3 * -0.6, 2 * 0.4 + 3 * 0.8
    x_x, x_restored = 5 * 0.5, 2 * 0.5 + 3 * -0.3
    z_z, z_again = 5 * 0.8, 2 * 0.8 + 3 * 0.4
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx(
        {"xz": real(x_found) + fake(made_z), "xx": real(x_x) + fake(x_restored), "zz": real(z_z) + fake(z_again)}
    )
    assert first.logs["d_real"].item() == pytest.approx(1 / (1 + math.exp(-x_found)))
    assert first.logs["d_fake"].item() == pytest.approx(1 / (1 + math.exp(-made_z)))
    assert first.logs["d_fake_xx"].item() == pytest.approx(1 / (1 + math.exp(-x_restored)))
    assert {k: v.item() for k, v in second.losses.items()} == pytest.approx(
        {"fool_xz": fake(x_found) + real(made_z), "fool_xx": real(x_restored), "fool_zz": real(z_again)}
    )
    assert second.logs["reconstruction"].item() == pytest.approx(0.8**2)


def test_score_by_hand() -> None:
    x = torch.stack([torch.full((1, 16, 16), 0.5), torch.full((1, 16, 16), -1.0)])
    scores = by_hand().score(x)  # x̂ = x / 2
    assert scores.image.tolist() == pytest.approx([256 * 3 * 0.25, 256 * 3 * 0.5])
    assert torch.allclose(scores.map, x.abs() / 2)


# --- Training and reading back


@pytest.mark.parametrize("channels", [1, 3])
def test_a_few_steps_lower_the_reconstruction_error(channels: int, smooth: Images, as_batch: Batches, fit: Fit) -> None:
    history = fit(small(channels, latent=16), as_batch(smooth(4, channels)), {"train": 100}, lr=5e-3)
    errors = [shown["reconstruction"] for shown in history]
    assert sum(errors[-10:]) < 0.6 * sum(errors[:10])


def test_a_saved_detector_scores_the_same_bits(
    smooth: Images, as_batch: Batches, fit: Fit, reload: Callable[[Detector], Detector]
) -> None:
    detector, x = small(), smooth(6)
    fit(detector, as_batch(x), {"train": 3})
    with torch.no_grad():
        first, second = detector.eval().score(x), reload(detector).eval().score(x)
    assert torch.equal(first.image, second.image) and torch.equal(first.map, second.map)
