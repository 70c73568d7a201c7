"""What every detector must keep to; a new one is tested here by being registered."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from unblot.detectors import Batch, Detector, available, create, to_signed
from unblot.detectors.registry import find
from unblot.layers.bank import Bank
from unblot.layers.blocks import parameter_count
from unblot.training.engine import set_modes

DETECTORS = available()
SMALL: dict[str, dict[str, object]] = {
    "alad": {"width": 4, "latent": 8},
    "anogan": {"width": 4, "latent": 8, "search_steps": 3},
    "auto": {"coreset_size": 50},
    "dae": {"width": 8},
    "egbad": {"width": 4, "latent": 8},
    "f_anogan": {"width": 4, "latent": 8},
    "feature_mask": {"width": 8},
    "ganomaly": {"width": 4, "latent": 8},
    "memory": {"coreset_size": 50},
    "nested": {"width": 0.125},
    "skip_ganomaly": {"width": 4},
}


def small_size(name: str) -> int:
    """The smallest size that a detector takes, from 16."""
    return max(16, find(name).size_min)


def small(name: str, channels: int = 1, size: int | None = None, **options: object) -> Detector:
    torch.manual_seed(0)
    return create(name, channels=channels, size=size or small_size(name), **{**SMALL.get(name, {}), **options})


def images(n: int, channels: int = 1, size: int = 16, seed: int = 0) -> Tensor:
    """Smooth images: random 4×4 fields, enlarged."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return to_signed((fine * 255).to(torch.uint8))


def as_batch(clean: Tensor, noise: float = 0.2) -> Batch:
    noisy = (clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    n = torch.arange(len(clean))
    return Batch(noisy, clean, index=n, group=n)


def train(detector: Detector, clean: Tensor, steps: int, lr: float = 2e-3) -> Iterator[dict[str, float]]:
    for phase in detector.phases(lr):
        set_modes(detector, phase)
        for _ in range(steps):
            losses: dict[str, float] = {}
            for step in detector.training_step(phase.name, as_batch(clean)):
                phase.optimizers[step.optimizer].zero_grad()
                torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
                phase.optimizers[step.optimizer].step()
                losses |= {name: value.item() for name, value in step.losses.items()}
            yield losses
        detector.finish_phase(phase.name)
    detector.eval()


def test_known_detectors() -> None:
    assert {"nested", "dae"} <= set(DETECTORS)
    with pytest.raises(ValueError, match=r"no detector named 'vae'.*nested"):
        create("vae", channels=1, size=32)
    with pytest.raises(ValueError, match=r"dae: there is no option 'depth'; there are width, latent"):
        create("dae", channels=1, size=32, depth=3)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_shapes(name: str, channels: int, times: int) -> None:
    size = times * small_size(name)
    detector, x = small(name, channels, size), images(2, channels, size)
    list(train(detector, x, steps=1))
    with torch.no_grad():
        scores, restored = detector.score(x), detector.restore(x)
    assert scores.image.shape == (2,)
    assert scores.map.shape == (2, 1, size, size)
    assert scores.image.isfinite().all() and scores.map.isfinite().all()
    if restored is not None:
        assert restored.shape == x.shape
        assert restored.abs().max() <= 1


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize(("channels", "size", "message"), [(1, 100, "96|104"), (1, 4, "at least"), (2, 64, "channels")])
def test_sizes_and_channels_that_do_not_fit_are_named(name: str, channels: int, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(name, channels=channels, size=size)


def test_the_mask_of_a_batch_is_where_any_channel_was_changed() -> None:
    clean, number = torch.zeros(2, 3, 4, 4), torch.arange(2)
    noisy = clean.clone()
    noisy[0, 1, 2, 3] = 0.5
    mask = Batch(noisy, clean, number, number).mask
    assert mask.shape == (2, 1, 4, 4)
    assert mask.nonzero().tolist() == [[0, 0, 2, 3]]
    assert mask.sum() == 1


@pytest.mark.parametrize("name", DETECTORS)
def test_options_rebuild_the_same_network(name: str) -> None:
    detector = small(name)
    again = create(name, channels=1, size=small_size(name), **detector.options)
    assert parameter_count(again) == parameter_count(detector)
    assert again.options == detector.options


@pytest.mark.parametrize("name", DETECTORS)
def test_a_score_does_not_depend_on_its_batch(name: str) -> None:
    detector, x = small(name), images(7, size=small_size(name))
    list(train(detector, x, steps=2))  # running statistics that are not the initial ones
    with torch.no_grad():
        together = detector.score(x)
        alone = [detector.score(x[i : i + 1]) for i in range(len(x))]
        among_others = detector.score(torch.cat([x[:1], -torch.ones_like(x[:5])]))
    assert torch.allclose(together.image, torch.cat([s.image for s in alone]), rtol=1e-4)
    assert torch.allclose(together.map, torch.cat([s.map for s in alone]), atol=1e-4)
    assert torch.allclose(together.image[0], among_others.image[0], rtol=1e-4)


@pytest.mark.parametrize("name", DETECTORS)
def test_scoring_changes_nothing(name: str) -> None:
    detector, x = small(name), images(3, size=small_size(name))
    list(train(detector, x, steps=1))
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with torch.no_grad():
        detector.score(x)
    torch.testing.assert_close(dict(detector.state_dict()), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_saved_detector_scores_the_same_bits(name: str, reload: Callable[[Detector], Detector]) -> None:
    detector, x = small(name), images(3, size=small_size(name))
    list(train(detector, x, steps=2))
    torch.manual_seed(1)  # other weights, until the saved ones are in place
    again = reload(detector).eval()
    with torch.no_grad():
        one, other = detector.score(x), again.score(x)
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.map, other.map)


@pytest.mark.parametrize(("name", "loss"), [("nested", "contextual"), ("dae", "reconstruction")])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_few_steps_lower_the_reconstruction_loss(name: str, loss: str, channels: int) -> None:
    history = [losses[loss] for losses in train(small(name, channels), images(16, channels), steps=25)]
    assert sum(history[-3:]) < 0.6 * sum(history[:3])


@pytest.mark.parametrize("name", ["memory", "feature_mask", "auto"])
def test_what_learns_places_scores_held_out_images_by_the_places_of_others(name: str) -> None:
    detector = small(name, size=64)
    list(train(detector, images(4, size=64), 1))
    held_out = [images(3, size=64, seed=1), images(2, size=64, seed=2)]
    with torch.no_grad():
        found = detector.calibrate(held_out, [], torch.arange(5))
        seen = torch.cat([detector.score(batch).image for batch in held_out])
        assert found is not None
        assert found.held_out.shape == seen.shape
        assert found.held_out.isfinite().all()
        assert not torch.isclose(found.held_out, seen).any(), "each by the places of others"
        assert found.training.shape == found.groups.shape == ((0,) if name == "feature_mask" else (4,))
        alone = detector.calibrate([held_out[0][:1]], [], torch.zeros(1, dtype=torch.int64))
        assert alone is not None
        if name != "auto":  # whose held-out images are judged by one of its networks, new ones by all
            torch.testing.assert_close(alone.held_out, detector.score(held_out[0][:1]).image)


@pytest.mark.parametrize("name", ["auto", "dae", "feature_dae", "feature_mask", "mask", "memory"])
def test_what_is_filled_in_all_images_does_not_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The score is taken from the places that show something: the same whatever the map shows beyond."""
    detector = small(name, size=64).eval()
    detector.look_within(0, 16, 64, 48)
    for part in detector.modules():
        if isinstance(part, Bank):
            part.memory, part.typical = torch.randn(50, part.memory.shape[1]), torch.rand(50) + 0.5
    seen: list[tuple[int, ...]] = []
    whole = detector.within

    def within(maps: Tensor) -> Tensor:
        hot = maps.clone()
        top, bottom = maps.shape[-2] // 4, maps.shape[-2] * 3 // 4
        hot[..., :top, :], hot[..., bottom:, :] = 1e6, 1e6
        seen.append(tuple(hot.shape))
        return whole(hot)

    with torch.no_grad():
        clean = detector.score(images(2, size=64)).image
        monkeypatch.setattr(detector, "within", within)
        assert torch.equal(detector.score(images(2, size=64)).image, clean)
    assert seen
    assert whole(torch.zeros(1, 1, 10, 10)).shape == (1, 1, 6, 10), "a place that shows a little stays"
