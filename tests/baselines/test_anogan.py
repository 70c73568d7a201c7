import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.anogan import AnoGAN
from unblot.detectors import Batch, Detector
from unblot.layers.blocks import parameter_count

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]


def small(channels: int = 1, size: int = 16, **options: Any) -> AnoGAN:
    torch.manual_seed(0)
    return AnoGAN(channels=channels, size=size, **({"width": 4, "latent": 8, "search_steps": 5} | options))


def test_parameters_at_the_default() -> None:
    detector = AnoGAN(channels=3, size=32)
    counts = [parameter_count(n) / 1e6 for n in (detector.generator, detector.discriminator)]
    assert counts == pytest.approx([1.07, 0.66], abs=0.005)


# --- The steps


def test_each_step_changes_its_own_network_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    taken = walk(small(), "train", as_batch(smooth()))
    assert [step.optimizer for step in taken] == ["discriminator", "generator"]
    for step in taken:
        assert step.reached == step.changed == {step.optimizer}


def test_images_are_generated_once(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    detector, passes = small(), []
    detector.generator.register_forward_hook(lambda *_: passes.append(1))
    walk(detector, "train", as_batch(smooth()))
    assert len(passes) == 1


# --- The corruption's part


def seen_by_the_discriminator(detector: AnoGAN, batch: Batch) -> list[Tensor]:
    seen: list[Tensor] = []
    detector.discriminator.register_forward_hook(lambda module, args, made: seen.append(args[0]))
    list(detector.training_step("train", batch))
    return seen


def test_images_that_were_not_corrupted_do_not_count(smooth: Images, as_batch: Batches) -> None:
    batch = as_batch(smooth())
    half = replace(batch, noisy=torch.cat([batch.noisy[:2], batch.clean[2:]]))
    detector = small()
    detector.discriminator = Linear()  # type: ignore[assignment]
    step = next(detector.training_step("train", half))
    expected = sum(math.log1p(math.exp(noisy.mean())) for noisy in batch.noisy[:2]) / 4
    assert step.losses["corrupted"].item() == pytest.approx(expected)


def test_without_corruption_it_is_the_papers_training(smooth: Images, as_batch: Batches) -> None:
    batch = as_batch(smooth(), noise=0.0)
    seen = seen_by_the_discriminator(small(), batch)
    assert len(seen) == 3  # real, generated, generated: no pass that would move BatchNorm's statistics
    assert torch.equal(seen[0], batch.clean)


# --- Losses and score by hand


class Flat(nn.Module):
    """Generator: an image of one gray, the first value of z."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        return (self.scale * z[:, :1, None, None]).expand(-1, 1, 16, 16)


class Linear(nn.Module):
    """Logit: the mean pixel. Feature: three times the pixels."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).mean(1), 3 * images


def by_hand(**options: Any) -> AnoGAN:
    detector = small(**options)
    detector.generator, detector.discriminator = Flat(), Linear()  # type: ignore[assignment]
    return detector


def test_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = by_hand()
    monkeypatch.setattr(torch, "rand", lambda n, latent, device: torch.full((n, latent), 0.7))  # z = 0.4
    half, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    first, second = detector.training_step("train", Batch(-half, half, index=n, group=n))
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx(
        {
            "discriminator": math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.4)),
            "corrupted": math.log1p(math.exp(-0.5)),
        }
    )
    assert {k: v.item() for k, v in first.logs.items()} == pytest.approx(
        {"d_real": 1 / (1 + math.exp(-0.5)), "d_fake": 1 / (1 + math.exp(-0.4))}
    )
    assert {k: v.item() for k, v in second.losses.items()} == pytest.approx({"adversarial": math.log1p(math.exp(-0.4))})


def test_score_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of Adam moves z by its rate: up for a brighter image, down for a darker one."""
    monkeypatch.setattr("unblot.baselines.anogan.SEARCH_LR", 0.25)
    detector = by_hand(search_steps=1)
    detector.starts.fill_(0.5)
    x = torch.stack([torch.full((1, 16, 16), 1.0), torch.full((1, 16, 16), 0.0)])
    scores = detector.score(x)
    assert scores.image.tolist() == pytest.approx([0.25 * 256 * (0.9 + 0.1 * 3)] * 2)
    assert scores.map.flatten().tolist() == pytest.approx([0.25] * 512)


def test_the_best_of_several_starts_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.baselines.anogan.SEARCH_LR", 0.1)
    detector = by_hand(search_steps=1, restarts=3)
    detector.starts.copy_(torch.tensor([-1.0, 0.2, 0.9])[:, None].expand(3, 8))
    x = torch.stack([torch.full((1, 16, 16), 1.0), torch.full((1, 16, 16), -0.8)])
    assert detector.restore(x)[:, 0, 0, 0].tolist() == pytest.approx([1.0, -0.9])
    assert detector.score(x).map[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.1], abs=1e-6)


# --- The search


def test_more_steps_come_nearer(smooth: Images, as_batch: Batches, fit: Fit) -> None:
    detector, x = small(), smooth(8)
    fit(detector, as_batch(x), {"train": 20})
    detector.eval()
    scores = []
    for detector.search_steps in (1, 10, 60):
        with torch.no_grad():
            scores.append(detector.score(x).image)
    assert (scores[2] < scores[1]).all() and (scores[1] < scores[0]).all()


def test_the_search_leaves_no_gradient_and_no_change(smooth: Images) -> None:
    detector = small().eval()
    with torch.no_grad():
        scores = detector.score(smooth())
    assert all(p.grad is None and p.requires_grad for p in detector.parameters())
    assert not scores.image.requires_grad and not scores.map.requires_grad


def test_the_same_image_has_the_same_score(smooth: Images, as_batch: Batches, fit: Fit) -> None:
    detector, x = small(search_steps=50), smooth(4)
    fit(detector, as_batch(x), {"train": 10})
    detector.eval()
    first = detector.score(x)
    torch.manual_seed(1)
    again, others = detector.score(x), detector.score(torch.cat([x[:1], -torch.ones(3, 1, 16, 16)]))
    assert torch.equal(first.image, again.image) and torch.equal(first.map, again.map)
    assert others.image[0].item() == pytest.approx(first.image[0].item(), rel=1e-4)


def test_training_brings_the_search_nearer_to_normal_images(
    smooth: Images, as_batch: Batches, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unblot.baselines.anogan.SEARCH_LR", 0.1)
    detector, x = small(latent=16, width=8, search_steps=30), smooth(4)

    def distance() -> float:
        detector.eval()
        with torch.no_grad():
            return detector.score(x).map.mean().item()

    fit(detector, as_batch(x), {"train": 1})  # BatchNorm has statistics
    before = distance()
    fit(detector, as_batch(x), {"train": 60}, lr=2e-3)
    assert distance() < 0.6 * before


def test_a_saved_detector_scores_the_same_bits(
    smooth: Images, as_batch: Batches, fit: Fit, reload: Callable[[Detector], Detector]
) -> None:
    detector, x = small(restarts=2), smooth(6)
    fit(detector, as_batch(x), {"train": 3})
    torch.manual_seed(1)  # the starts come from the file, not from here
    with torch.no_grad():
        first, second = detector.eval().score(x), reload(detector).eval().score(x)
    assert torch.equal(first.image, second.image) and torch.equal(first.map, second.map)
