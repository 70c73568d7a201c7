import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.ganomaly import GANomaly
from unblot.data import DataConfig, load_data
from unblot.detectors import Batch, Detector, to_signed
from unblot.layers.blocks import parameter_count

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]


def small(channels: int = 1, size: int = 16, **options: Any) -> GANomaly:
    torch.manual_seed(0)
    return GANomaly(channels=channels, size=size, **({"width": 4, "latent": 8} | options))


@pytest.mark.parametrize(("size", "generator", "discriminator"), [(32, 3.21, 0.66), (64, 10.73, 2.77)])
def test_parameters_at_the_default(size: int, generator: float, discriminator: float) -> None:
    detector = GANomaly(channels=3, size=size)
    assert parameter_count(detector.generator) / 1e6 == pytest.approx(generator, abs=0.005)
    assert parameter_count(detector.discriminator) / 1e6 == pytest.approx(discriminator, abs=0.005)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 48, 64, 80])
def test_sizes(channels: int, size: int) -> None:
    detector, x = small(channels, size).eval(), torch.zeros(2, channels, size, size)
    restored, code, code_restored = detector.generator(x)
    assert restored.shape == x.shape
    assert code.shape == code_restored.shape == (2, 8)
    assert detector.score(x).map.shape == (2, 1, size, size)


# --- Steps


def test_each_step_changes_its_own_network_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    first, second = walk(small(), "train", as_batch(smooth()))
    assert (first.optimizer, first.reached, first.changed) == ("generator", {"generator"}, {"generator"})
    assert (second.optimizer, second.reached, second.changed) == ("discriminator", {"discriminator"}, {"discriminator"})
    assert set(second.logs) == {"d_real", "d_fake"}


@pytest.mark.parametrize(
    ("loss", "reached"),
    [
        ("adversarial", {"encoder", "decoder"}),  # through the discriminator's features
        ("contextual", {"encoder", "decoder"}),
        ("encoder", {"encoder", "decoder", "second"}),
    ],
)
def test_what_each_loss_teaches(loss: str, reached: set[str], smooth: Images, as_batch: Batches) -> None:
    detector = small()
    step = next(iter(detector.training_step("train", as_batch(smooth()))))
    torch.autograd.backward(step.losses[loss])
    parts = dict(detector.generator.named_children())
    assert {
        n for n, part in parts.items() if any(p.grad is not None and p.grad.any() for p in part.parameters())
    } == reached


def test_each_network_runs_once_over_each_image(smooth: Images, as_batch: Batches) -> None:
    detector = small()
    passes: list[str] = []
    for name in ("generator", "discriminator"):
        getattr(detector, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    list(detector.training_step("train", as_batch(smooth())))
    assert passes == ["generator", "discriminator", "discriminator"]


def test_the_encoder_sees_the_corrupted_image(smooth: Images, as_batch: Batches) -> None:
    detector, batch = small(), as_batch(smooth())
    seen: list[Tensor] = []
    detector.generator.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    list(detector.training_step("train", batch))
    assert torch.equal(seen[0], batch.noisy)


# --- Losses and score, by hand


def slope(network: nn.Module) -> Tensor:
    """Gradient of the network's only parameter."""
    (parameter,) = network.parameters()
    assert parameter.grad is not None
    return parameter.grad


class Fixed(nn.Module):
    """Restores every image to one gray; the codes are given."""

    def __init__(self, value: float, code: list[float], code_restored: list[float]) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.codes = torch.tensor(code), torch.tensor(code_restored)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code, code_restored = (c.expand(len(images), -1) for c in self.codes)
        return self.value.expand_as(images), code, code_restored


class Linear(nn.Module):
    """Logit: the mean pixel. Feature: three times the pixels."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).mean(1), 3 * images


def by_hand(**options: Any) -> GANomaly:
    detector = small(**options)
    detector.generator = Fixed(0.0, [1.0, 2.0], [1.5, 1.0])  # type: ignore[assignment]
    detector.discriminator = Linear()  # type: ignore[assignment]
    return detector


def half() -> Batch:
    """Clean images of gray 0.5; the noisy ones are far from them, so a loss against those would show."""
    clean, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    return Batch(noisy=-clean, clean=clean, index=n, group=n)


def test_losses_by_hand() -> None:
    first, second = by_hand().training_step("train", half())
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx(
        {
            "adversarial": (3 * 0.5) ** 2,  # features 1.5 and 0
            "contextual": 50 * 0.5,
            "encoder": (0.5**2 + 1.0**2) / 2,
        }
    )
    log1p = math.log1p(math.exp(-0.5))  # -log sigmoid(0.5), the clean image's logit; the restored one's is 0
    assert second.losses["discriminator"].item() == pytest.approx((log1p + math.log(2)) / 2)
    assert {k: v.item() for k, v in second.logs.items()} == pytest.approx(
        {"d_real": 1 / (1 + math.exp(-0.5)), "d_fake": 0.5}
    )


def test_gradient_of_the_adversarial_loss_by_hand() -> None:
    detector = by_hand()
    step = next(iter(detector.training_step("train", half())))
    torch.autograd.backward(step.losses["adversarial"])
    # d/dv mean (1.5 - 3 v)² at v = 0
    assert slope(detector.generator).item() == pytest.approx(-2 * 1.5 * 3)


@pytest.mark.parametrize(("form", "expected"), [("norm", 0.5 + 1.0), ("mean", (0.5**2 + 1.0**2) / 2)])
def test_score_by_hand(form: str, expected: float) -> None:
    x = torch.full((2, 1, 16, 16), 0.5)
    scores = by_hand(score_form=form).score(x)
    assert scores.image.tolist() == pytest.approx([expected] * 2)
    assert torch.equal(scores.map, x)


# --- Training


def test_a_few_steps_on_digits_lower_the_contextual_loss(as_batch: Batches, fit: Fit) -> None:
    digits = load_data(DataConfig("digits", size=16, limit=64)).train
    clean = to_signed(torch.stack([digits[i]["image"] for i in range(64)]))
    history = [shown["contextual"] for shown in fit(small(width=8), as_batch(clean), {"train": 40}, lr=2e-3)]
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
