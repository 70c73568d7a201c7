import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.nested import Generator, Nested
from unblot.detectors import Batch
from unblot.layers.blocks import parameter_count


def batch(n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(n, 1, 16, 16, generator=generator) * 2 - 1
    noisy = torch.rand(n, 1, 16, 16, generator=generator) * 2 - 1
    return Batch(noisy, clean, torch.arange(n), torch.arange(n))


def parameters(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def unchanged(before: list[Tensor], network: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_size_and_work_of_the_default_generator() -> None:
    generator = Generator(channels=3)
    macs = 0

    def count(module: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += made.numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            macs += given[0].numel() * module.weight[0].numel()

    for module in generator.modules():
        module.register_forward_hook(count)
    generator(torch.zeros(1, 3, 32, 32))
    assert parameter_count(generator) == pytest.approx(9.5e6, rel=0.005)
    assert macs == pytest.approx(0.50e9, rel=0.005)


@pytest.mark.parametrize("stem_skip", [True, False])
def test_stem_skip_is_the_only_way_around_the_encoder(stem_skip: bool) -> None:
    torch.manual_seed(0)
    generator = Generator(1, width=0.125, stem_skip=stem_skip).eval()
    # Cut z1, through which everything below full resolution comes.
    generator.encoder[1].register_forward_hook(lambda module, given, made: torch.zeros_like(made))
    a, b = generator(torch.zeros(1, 1, 16, 16)), generator(torch.ones(1, 1, 16, 16))
    assert torch.equal(a, b) == (not stem_skip)


def test_every_node_contributes() -> None:
    generator = Generator(1, width=0.125)
    generator(torch.rand(4, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


def test_each_step_changes_its_own_network_alone() -> None:
    torch.manual_seed(0)
    detector = Nested(channels=1, size=16, width=0.125)
    (phase,) = detector.phases(1e-3)
    order = []
    for step in detector.training_step(phase.name, batch()):
        order.append(step.optimizer)
        networks = {"discriminator": detector.discriminator, "generator": detector.generator}
        own = networks.pop(step.optimizer)
        (other,) = networks.values()
        detector.zero_grad()
        before, before_other = parameters(own), parameters(other)
        torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
        assert all(p.grad is None for p in other.parameters())
        assert all(p.grad is not None for p in own.parameters())
        phase.optimizers[step.optimizer].step()
        assert not unchanged(before, own)
        assert unchanged(before_other, other)
    assert order == ["discriminator", "generator"]


def test_optimizers_hold_one_network_each_with_the_papers_settings() -> None:
    detector = Nested(channels=1, size=16, width=0.125)
    (phase,) = detector.phases(2e-4)
    for name, network in (("discriminator", detector.discriminator), ("generator", detector.generator)):
        (group,) = phase.optimizers[name].param_groups
        assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))


def test_the_restored_images_are_made_once() -> None:
    detector = Nested(channels=1, size=16, width=0.125)
    passes: list[int] = []
    detector.generator.register_forward_hook(lambda *_: passes.append(1))
    list(detector.training_step("train", batch()))
    assert len(passes) == 1


class Constant(nn.Module):
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


def by_hand(**options: Any) -> Nested:
    detector = Nested(channels=1, size=16, width=0.125, **options)
    detector.generator = Constant(0.0)  # type: ignore[assignment]
    detector.discriminator = Linear()  # type: ignore[assignment]
    return detector


def test_losses_by_hand() -> None:
    half = torch.full((2, 1, 16, 16), 0.5)
    n = torch.arange(2)
    # The noisy image is far from the clean one, so a loss against it would show.
    given = Batch(noisy=-half, clean=half, index=n, group=n)
    first, second = by_hand().training_step("train", given)
    log1p = math.log1p(math.exp(-0.5))  # -log sigmoid(0.5), the real image's logit; the restored one's is 0
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx({"discriminator": log1p + math.log(2)})
    assert {k: v.item() for k, v in first.logs.items()} == pytest.approx(
        {"d_real": 1 / (1 + math.exp(-0.5)), "d_fake": 0.5}
    )
    assert {k: v.item() for k, v in second.losses.items()} == pytest.approx(
        {
            "adversarial": math.log(2),  # -log D(x̂)
            "contextual": 20 * 0.5 * 0.5**2,  # |x - x̂| = 0.5 < 1
            "latent": 3 * 0.5 - 0.5,  # |f - f̂| = 1.5 > 1
        }
    )


def test_adversarial_loss_does_not_saturate() -> None:
    """Where the discriminator is sure that x̂ is false, its gradient on the generator is at its largest."""
    detector = by_hand()
    detector.generator = Constant(-20.0)  # type: ignore[assignment]  # D(x̂) = sigmoid(-20)
    _, step = detector.training_step("train", batch())
    (gradient,) = torch.autograd.grad(step.losses["adversarial"], list(detector.generator.parameters()))
    assert gradient.item() == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize(("form", "r", "latent"), [("norm", 256 * 0.5, (256 * 1.5**2) ** 0.5), ("mean", 0.5, 1.5**2)])
def test_score_by_hand(form: str, r: float, latent: float) -> None:
    x = torch.full((2, 1, 16, 16), 0.5)
    scores = by_hand(score_form=form).score(x)
    assert scores.image.tolist() == pytest.approx([0.9 * r + 0.1 * latent] * 2)
    assert torch.equal(scores.map, x)
