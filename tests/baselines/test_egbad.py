import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.egbad import EGBAD
from unblot.data import DataConfig, load_data
from unblot.detectors import Batch, Detector, to_signed
from unblot.layers.blocks import parameter_count

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]


def small(channels: int = 1, size: int = 16, **options: Any) -> EGBAD:
    torch.manual_seed(0)
    return EGBAD(channels=channels, size=size, **({"width": 4, "latent": 8} | options))


@pytest.mark.parametrize(("size", "counts"), [(32, [1.48, 1.48, 5.48]), (64, [4.40, 4.40, 11.78])])
def test_parameters_at_the_default(size: int, counts: list[float]) -> None:
    detector = EGBAD(channels=3, size=size)
    found = [parameter_count(n) / 1e6 for n in (detector.encoder, detector.generator, detector.discriminator)]
    assert found == pytest.approx(counts, abs=0.006)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 48, 64, 80])
def test_sizes(channels: int, size: int) -> None:
    detector, x = small(channels, size).eval(), torch.zeros(2, channels, size, size)
    assert detector.encoder(x).shape == (2, 8)
    assert detector.restore(x).shape == x.shape
    assert detector.score(x).map.shape == (2, 1, size, size)


# --- Steps


def test_each_step_changes_its_own_networks_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    first, second = walk(small(), "train", as_batch(smooth()))
    both = {"encoder", "generator"}
    assert (first.optimizer, first.reached, first.changed) == ("generator", both, both)
    assert (second.optimizer, second.reached, second.changed) == ("discriminator", {"discriminator"}, {"discriminator"})
    assert set(second.logs) == {"d_real", "d_fake"}


@pytest.mark.parametrize(("loss", "network"), [("encoder", "encoder"), ("generator", "generator")])
def test_each_loss_teaches_its_own_network(loss: str, network: str, smooth: Images, as_batch: Batches) -> None:
    detector = small()
    step = next(iter(detector.training_step("train", as_batch(smooth()))))
    torch.autograd.backward(step.losses[loss])
    reached = {name.split(".")[0] for name, p in detector.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {network}


def test_the_corruption_goes_to_the_encoder_alone(smooth: Images, as_batch: Batches) -> None:
    detector, batch = small(), as_batch(smooth())
    seen: list[tuple[str, Tensor]] = []
    for name in ("encoder", "generator", "discriminator"):
        getattr(detector, name).register_forward_hook(lambda m, given, made, name=name: seen.append((name, given[0])))
    list(detector.training_step("train", batch))
    assert [name for name, _ in seen] == ["encoder", "generator", "discriminator", "discriminator"]
    assert torch.equal(seen[0][1], batch.noisy)
    assert torch.equal(seen[2][1], batch.clean)


# --- Losses and score, by hand


def slope(network: nn.Module) -> Tensor:
    """Gradient of the network's only parameter."""
    (parameter,) = network.parameters()
    assert parameter.grad is not None
    return parameter.grad


class Code(nn.Module):
    """Every image has one code."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.full((8,), value))

    def forward(self, images: Tensor) -> Tensor:
        return self.value.expand(len(images), -1)


class Gray(nn.Module):
    """Every code has one image."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, code: Tensor) -> Tensor:
        return self.value.expand(len(code), 1, 16, 16)


class Weighed(nn.Module):
    """Logit: the mean pixel plus ``share`` of the mean of the code. Feature: three times the pixels."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).mean(1) + self.share * code.mean(1), 3 * images.flatten(1)


def by_hand(share: float = 0.0, **options: Any) -> EGBAD:
    """The encoder gives 0.25, the generator gray -1."""
    detector = small(**options)
    detector.encoder, detector.generator = Code(0.25), Gray(-1.0)  # type: ignore[assignment]
    detector.discriminator = Weighed(share)  # type: ignore[assignment]
    return detector


def half() -> Batch:
    """Clean images of gray 0.5; the noisy ones are far from them, so a loss against those would show."""
    clean, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    return Batch(noisy=-clean, clean=clean, index=n, group=n)


def softplus(logit: float) -> float:
    """-log sigmoid(-logit)."""
    return math.log1p(math.exp(logit))


def test_losses_by_hand() -> None:
    first, second = by_hand().training_step("train", half())
    # The logits are 0.5 for (x, E(x)) and -1 for (G(z), z).
    assert {k: v.item() for k, v in first.losses.items()} == pytest.approx(
        {"encoder": softplus(0.5), "generator": softplus(1.0)}
    )
    assert second.losses["discriminator"].item() == pytest.approx(softplus(-0.5) + softplus(-1.0))
    assert {k: v.item() for k, v in second.logs.items()} == pytest.approx(
        {"d_real": 1 / (1 + math.exp(-0.5)), "d_fake": 1 / (1 + math.exp(1.0))}
    )


def test_gradients_by_hand() -> None:
    detector = by_hand(share=1.0)
    step = next(iter(detector.training_step("train", half())))
    torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
    # -log(1 - D(x, E)) falls with the code, each of its 8 values with an eighth of sigmoid(0.5 + 0.25).
    sigmoid = 1 / (1 + math.exp(-0.75))
    assert slope(detector.encoder).tolist() == pytest.approx([sigmoid / 8] * 8)
    assert slope(detector.generator).item() < 0  # a lighter gray looks more real


@pytest.mark.parametrize(("form", "term"), [("feature", 256 * 3 * 1.5), ("cross_entropy", softplus(-0.5 - 0.25))])
def test_score_by_hand(form: str, term: float) -> None:
    x = torch.full((2, 1, 16, 16), 0.5)
    scores = by_hand(share=1.0, score_form=form).score(x)
    assert scores.image.tolist() == pytest.approx([0.9 * 256 * 1.5 + 0.1 * term] * 2)
    assert torch.equal(scores.map, torch.full_like(x, 1.5))


# --- Training


def test_some_steps_on_digits_lower_the_residual(as_batch: Batches, fit: Fit) -> None:
    """No loss compares image and restoration, so this is what the game of the three networks brings about."""
    digits = load_data(DataConfig("digits", size=16, limit=64)).train
    clean = to_signed(torch.stack([digits[i]["image"] for i in range(64)]))
    detector = small(width=8)

    def residual() -> float:
        with torch.no_grad():
            return float(detector.eval().score(clean).map.mean())

    before = residual()
    fit(detector, as_batch(clean), {"train": 80})
    assert residual() < 0.75 * before


@pytest.mark.parametrize("form", ["feature", "cross_entropy"])
def test_a_saved_detector_scores_the_same_bits(
    form: str, smooth: Images, as_batch: Batches, fit: Fit, reload: Callable[[Detector], Detector]
) -> None:
    detector, x = small(3, score_form=form), smooth(channels=3)
    fit(detector, as_batch(x), {"train": 2})
    with torch.no_grad():
        before, after = detector.eval().score(x), reload(detector).eval().score(x)
    assert torch.equal(before.image, after.image)
    assert torch.equal(before.map, after.map)
