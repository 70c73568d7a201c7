from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unblot.baselines.f_anogan import Critic, FAnoGAN, gradient_penalty
from unblot.data import DataConfig, load_data
from unblot.detectors import Batch, Detector
from unblot.layers.blocks import parameter_count
from unblot.training import TrainConfig, load_run, train

Images = Callable[..., Tensor]
Batches = Callable[..., Batch]
Walk = Callable[..., list[Any]]
Fit = Callable[..., list[dict[str, float]]]


def small(channels: int = 1, size: int = 16, **options: Any) -> FAnoGAN:
    torch.manual_seed(0)
    return FAnoGAN(channels=channels, size=size, **({"width": 4, "latent": 8} | options))


def test_parameters_at_the_default() -> None:
    detector = FAnoGAN(channels=3, size=32)
    counts = [parameter_count(n) / 1e6 for n in (detector.generator, detector.critic, detector.encoder)]
    assert counts == pytest.approx([3.56, 2.51, 3.55], abs=0.005)


@pytest.mark.parametrize(("size", "side"), [(16, 4), (48, 3), (64, 4), (80, 5)])
def test_sizes_that_do_not_end_at_four(size: int, side: int) -> None:
    detector, x = small(3, size).eval(), torch.zeros(2, 3, size, size)
    assert detector.encoder(x).shape == (2, 8)
    assert detector.critic(x)[1].shape[2:] == (side, side)
    assert detector.score(x).map.shape == (2, 1, size, size)


def test_a_critics_value_depends_on_its_image_alone(smooth: Images) -> None:
    critic, x = Critic(1, 16, 4).train(), smooth(5)
    alone = torch.cat([critic(image[None])[0] for image in x])
    assert torch.allclose(critic(x)[0], alone, atol=1e-6)
    assert alone.std() > 0


# --- The gradient penalty


class Slope(nn.Module):
    """Value: the sum over the pixels of weight · x^power."""

    def __init__(self, weight: float, power: int = 1) -> None:
        super().__init__()
        self.weight, self.power = nn.Parameter(torch.tensor(weight)), power

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return (self.weight * images**self.power).flatten(1).sum(1), images


def test_penalty_by_hand() -> None:
    real, fake = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    critic = Slope(0.5)
    penalty = gradient_penalty(critic, real, fake)
    assert penalty.item() == pytest.approx((0.5 * 4 - 1) ** 2)  # 16 pixels: a norm of 0.5 · √16
    (gradient,) = torch.autograd.grad(penalty, critic.weight)
    assert gradient.item() == pytest.approx(2 * (0.5 * 4 - 1) * 4)


def test_penalty_is_taken_between_the_images() -> None:
    """The slope of x² is 2x: with real at 0 and fake at 1 it tells where each point lay."""
    torch.manual_seed(0)
    share = torch.rand(2, 1, 1, 1)
    torch.manual_seed(0)
    penalty = gradient_penalty(Slope(1.0, power=2), torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    norms = 2 * (1 - share.flatten()) * 4
    assert penalty.item() == pytest.approx((norms - 1).square().mean().item())


def test_penalty_is_float32_under_autocast(smooth: Images) -> None:
    critic, x = Critic(1, 16, 4), smooth(4)
    torch.manual_seed(0)
    exact = gradient_penalty(critic, x, -x)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        critic(x)  # leaves bfloat16 copies of the weights in autocast's cache
        mixed = gradient_penalty(critic, x, -x)
    assert torch.equal(mixed, exact)
    torch.autograd.backward(mixed)
    assert all(p.grad is not None for name, p in critic.named_parameters() if name.endswith("weight"))


def test_critic_learns_a_bounded_slope(smooth: Images) -> None:
    """The penalty pulls the gradient's norm to 1 from far above it."""
    torch.manual_seed(0)
    critic, x = Critic(1, 16, 4), smooth(16)
    adam = torch.optim.Adam(critic.parameters(), 1e-2)
    with torch.no_grad():
        critic.value.weight *= 30
    penalties = []
    for _ in range(30):
        penalty = gradient_penalty(critic, x, -x)
        adam.zero_grad()
        torch.autograd.backward(penalty)
        adam.step()
        penalties.append(penalty.item())
    assert penalties[0] > 1 and penalties[-1] < 0.1


# --- The steps


def test_steps_of_the_gan(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    taken = walk(small(), "gan", as_batch(smooth()))
    assert [step.optimizer for step in taken] == ["critic"] * 5 + ["generator"]
    for step in taken:
        assert step.reached == step.changed == {step.optimizer}
    assert "d_real" not in taken[0].logs  # values of a critic are no probabilities: nothing for the loop to judge


def test_each_step_of_the_critic_sees_new_noise(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    detector = small()
    given: list[Tensor] = []
    detector.generator.register_forward_hook(lambda module, args, made: given.append(args[0]))
    walk(detector, "gan", as_batch(smooth()))
    assert len(given) == 6
    assert not any(torch.equal(one, other) for one, other in pairwise(given))


def test_the_gan_sees_clean_images_alone(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    seen: list[Tensor] = []
    detector, batch = small(), as_batch(smooth())
    detector.critic.register_forward_hook(lambda module, args, made: seen.append(args[0]))
    walk(detector, "gan", batch)
    assert torch.equal(seen[0][:4], batch.clean)
    assert not any(torch.equal(images[: len(batch.noisy)], batch.noisy) for images in seen)


def test_step_of_the_encoder(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    detector = small()
    state = {name: value.clone() for name, value in detector.generator.state_dict().items()}
    (step,) = walk(detector, "encoder", as_batch(smooth()))
    assert step.optimizer == "encoder"
    assert step.reached == step.changed == {"encoder"}
    assert not detector.generator.training and not detector.critic.training and detector.encoder.training
    # Running statistics too: the encoder must invert the generator that scores later.
    assert all(torch.equal(value, state[name]) for name, value in detector.generator.state_dict().items())


def test_the_encoder_does_not_train_in_the_first_phase(smooth: Images, as_batch: Batches, walk: Walk) -> None:
    detector = small()
    walk(detector, "gan", as_batch(smooth()))
    assert not detector.encoder.training


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


class Linear(nn.Module):
    """Critic: twice the mean pixel. Feature: three times the pixels."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * images.flatten(1).mean(1), 3 * images


def by_hand() -> FAnoGAN:
    detector = small()
    detector.generator, detector.critic, detector.encoder = Flat(), Linear(), Mean()  # type: ignore[assignment]
    return detector


def test_losses_of_the_gan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda n, latent, device: torch.full((n, latent), 0.8))
    half, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    batch = Batch(noisy=-half, clean=half, index=n, group=n)
    critic, *again, generator = by_hand().training_step("gan", batch)
    assert len(again) == 4
    # G(z) = 0.4, D(x) = 1, D(G(z)) = 0.8; D's slope is 2/256 for each of 256 pixels: a norm of 2/16.
    assert {k: v.item() for k, v in critic.losses.items()} == pytest.approx(
        {"critic": 0.8 - 1.0, "penalty": 10 * (2 / 16 - 1) ** 2}
    )
    assert {k: v.item() for k, v in critic.logs.items()} == pytest.approx({"wasserstein": 0.2})
    assert {k: v.item() for k, v in generator.losses.items()} == pytest.approx({"adversarial": -0.8})


def test_losses_of_the_encoder_by_hand() -> None:
    x, n = torch.full((2, 1, 16, 16), 0.5), torch.arange(2)
    batch = Batch(noisy=-0.6 * torch.ones_like(x), clean=x, index=n, group=n)
    (step,) = by_hand().training_step("encoder", batch)
    difference = 0.5 + 0.3  # x̂ = G(E(noisy)) = -0.3
    assert {k: v.item() for k, v in step.losses.items()} == pytest.approx(
        {"reconstruction": difference**2, "feature": (3 * difference) ** 2}
    )


def test_score_by_hand() -> None:
    x = torch.stack([torch.full((1, 16, 16), 0.5), torch.full((1, 16, 16), -1.0)])
    scores = by_hand().score(x)
    assert scores.image.tolist() == pytest.approx([0.25**2 * (1 + 9), 0.5**2 * (1 + 9)])
    assert torch.allclose(scores.map, x.abs() / 2)


# --- Training and reading back


@pytest.mark.parametrize("channels", [1, 3])
def test_a_few_steps_lower_the_reconstruction_loss(
    channels: int, smooth: Images, as_batch: Batches, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unblot.baselines.f_anogan.N_CRITIC", 1)  # enough here, and faster
    history = fit(small(channels, latent=32), as_batch(smooth(16, channels)), {"gan": 60, "encoder": 40}, 5e-3)
    losses = [step["reconstruction"] for step in history[60:]]
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


def test_a_saved_detector_scores_the_same_bits(
    smooth: Images, as_batch: Batches, fit: Fit, reload: Callable[[Detector], Detector]
) -> None:
    detector, x = small(), smooth(6)
    fit(detector, as_batch(x), {"gan": 3, "encoder": 3})
    with torch.no_grad():
        first, second = detector.eval().score(x), reload(detector).eval().score(x)
    assert torch.equal(first.image, second.image) and torch.equal(first.map, second.map)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loop_trains_both_phases(precision: str, tmp_path: Path) -> None:
    """Double backward through the loop, in mixed precision too; the second phase continues from the first's weights."""
    options = {"width": 4, "latent": 8}
    config = TrainConfig("f_anogan", model_options=options, epochs=2, batch_size=16, device="cpu", precision=precision)
    data = DataConfig("digits", size=16, limit=48)
    trained = train(config, load_data(data), tmp_path, data=data, progress=False)
    assert {path.name for path in (tmp_path / "log").glob("*.csv")} == {"gan.csv", "encoder.csv"}
    x = torch.zeros(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(load_run(tmp_path).detector.score(x).image, trained.score(x).image)
