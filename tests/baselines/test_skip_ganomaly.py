import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.skip_ganomaly import Generator, SkipGANomaly
from unblot.data import DataConfig, load_data
from unblot.detectors import Batch, Detector, to_signed
from unblot.layers.blocks import parameter_count

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]


def small(channels: int = 1, size: int = 16, **options: Any) -> SkipGANomaly:
    torch.manual_seed(0)
    return SkipGANomaly(channels=channels, size=size, **({"width": 4} | options))


@pytest.mark.parametrize(("size", "generator", "discriminator"), [(32, 16.66, 0.66), (64, 29.25, 2.77)])
def test_parameters_at_the_default(size: int, generator: float, discriminator: float) -> None:
    detector = SkipGANomaly(channels=3, size=size)
    assert parameter_count(detector.generator) / 1e6 == pytest.approx(generator, abs=0.006)
    assert parameter_count(detector.discriminator) / 1e6 == pytest.approx(discriminator, abs=0.005)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "halvings"), [(16, 4), (32, 5), (48, 4), (64, 6), (80, 4)])
def test_sizes(channels: int, size: int, halvings: int) -> None:
    generator = Generator(channels, size, 4)
    assert len(generator.down) == len(generator.up) + 1 == halvings
    x = torch.zeros(2, channels, size, size)
    assert generator(x).shape == x.shape


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_skip_carries_the_image(level: int) -> None:
    """With all that lies below cut off, the level's own skip still lets the image through."""
    generator = Generator(1, 32, 4).eval()
    generator.up[-1 - level].register_forward_hook(lambda module, given, made: torch.zeros_like(made))
    a, b = generator(torch.zeros(1, 1, 32, 32)), generator(torch.rand(1, 1, 32, 32))
    assert not torch.equal(a, b)


def test_every_layer_learns(smooth: Images) -> None:
    torch.manual_seed(0)
    generator = Generator(1, 32, 4)
    generator(smooth(4, size=32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in generator.parameters())


# --- Steps


def test_each_step_changes_its_own_network_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    first, second = walk(small(), "train", as_batch(smooth()))
    assert (first.optimizer, first.reached, first.changed) == ("generator", {"generator"}, {"generator"})
    assert (second.optimizer, second.reached, second.changed) == ("discriminator", {"discriminator"}, {"discriminator"})
    assert set(second.losses) == {"discriminator"}  # not the latent loss, as in the public code
    assert set(second.logs) == {"d_real", "d_fake"}


def test_each_network_runs_once_over_each_image(smooth: Images, as_batch: Batches) -> None:
    detector, batch = small(), as_batch(smooth())
    passes: list[tuple[str, Tensor]] = []
    for name in ("generator", "discriminator"):
        getattr(detector, name).register_forward_hook(lambda m, given, made, name=name: passes.append((name, given[0])))
    list(detector.training_step("train", batch))
    assert [name for name, _ in passes] == ["generator", "discriminator", "discriminator"]
    assert torch.equal(passes[0][1], batch.noisy)
    assert torch.equal(passes[1][1], batch.clean)


# --- Losses and score, by hand


def slope(network: nn.Module) -> Tensor:
    """Gradient of the network's only parameter."""
    (parameter,) = network.parameters()
    assert parameter.grad is not None
    return parameter.grad


class Gray(nn.Module):
    """Restores every image to one gray."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, images: Tensor) -> Tensor:
        return self.value.expand_as(images)


class Linear(nn.Module):
    """Logit: the mean pixel. Feature: three times the pixels."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).mean(1), 3 * images


def by_hand(**options: Any) -> SkipGANomaly:
    detector = small(**options)
    detector.generator, detector.discriminator = Gray(0.0), Linear()  # type: ignore[assignment]
    return detector


def half() -> Batch:
    """Clean images of gray 0.5; the noisy ones are far from them, so a loss against those would show."""
    clean, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    return Batch(noisy=-clean, clean=clean, index=n, group=n)


def test_losses_by_hand() -> None:
    first, second = by_hand().training_step("train", half())
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx(
        {"adversarial": math.log(2), "contextual": 40 * 0.5, "latent": (3 * 0.5) ** 2}
    )
    log1p = math.log1p(math.exp(-0.5))  # -log sigmoid(0.5), the clean image's logit; the restored one's is 0
    assert second.losses["discriminator"].item() == pytest.approx((log1p + math.log(2)) / 2)
    assert {k: v.item() for k, v in second.logs.items()} == pytest.approx(
        {"d_real": 1 / (1 + math.exp(-0.5)), "d_fake": 0.5}
    )


def test_gradient_of_the_judged_losses_by_hand() -> None:
    detector = by_hand()
    step = next(iter(detector.training_step("train", half())))
    torch.autograd.backward(step.losses["adversarial"] + step.losses["latent"])
    # d/dv of -log sigmoid(v) + mean (1.5 - 3 v)² at v = 0
    assert slope(detector.generator).item() == pytest.approx(-0.5 - 2 * 1.5 * 3)


def test_adversarial_loss_does_not_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.baselines.skip_ganomaly.LAMBDA_LAT", 0.0)
    detector = by_hand()
    detector.generator = Gray(-20.0)  # type: ignore[assignment]  # D(x̂) = sigmoid(-20)
    step = next(iter(detector.training_step("train", half())))
    torch.autograd.backward(step.losses["adversarial"])
    assert slope(detector.generator).item() == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize(
    ("form", "r", "latent"), [("norm", 256 * 0.5, (256 * 1.5**2) ** 0.5), ("mean", 0.5**2, 1.5**2)]
)
def test_score_by_hand(form: str, r: float, latent: float) -> None:
    x = torch.full((2, 1, 16, 16), 0.5)
    scores = by_hand(score_form=form).score(x)
    assert scores.image.tolist() == pytest.approx([0.9 * r + 0.1 * latent] * 2)
    assert torch.equal(scores.map, x)


# --- Training


def test_a_few_steps_on_digits_lower_the_contextual_loss(as_batch: Batches, fit: Fit) -> None:
    digits = load_data(DataConfig("digits", size=16, limit=64)).train
    clean = to_signed(torch.stack([digits[i]["image"] for i in range(64)]))
    history = [shown["contextual"] for shown in fit(small(width=8), as_batch(clean), {"train": 30})]
    assert sum(history[-3:]) < 0.6 * sum(history[:3])


def test_a_saved_detector_scores_the_same_bits(
    smooth: Images, as_batch: Batches, fit: Fit, reload: Callable[[Detector], Detector]
) -> None:
    detector, x = small(3, score_form="mean"), smooth(channels=3)
    fit(detector, as_batch(x), {"train": 2})
    with torch.no_grad():
        before, after = detector.eval().score(x), reload(detector).eval().score(x)
    assert torch.equal(before.image, after.image)
    assert torch.equal(before.map, after.map)
