"""The backbone from scratch: trained first, on the images alone, then frozen, in every detector that has a backbone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.networks import blotted
from torch.nn import functional as F

from unblot.backbones.frozen import Backbone
from unblot.backbones.scratch import BlotNet
from unblot.detectors import Detector, create
from unblot.detectors._backbone_phase import LEARN
from unblot.training.engine import set_modes

OPTIONS: dict[str, dict[str, Any]] = {
    "memory": {"strides": [8, 16], "coreset_size": 50},
    "feature_mask": {"width": 8},
    "feature_dae": {"width": 8},
}


def detector(name: str) -> Detector:
    torch.manual_seed(0)
    return create(name, channels=1, size=64, backbone="scratch", **OPTIONS[name])


def weights(made: Detector) -> dict[str, torch.Tensor]:
    assert isinstance(made.backbone, Backbone)
    return {name: value.clone() for name, value in made.backbone.state_dict().items()}


def pass_over(made: Detector, name: str, batches: int) -> list[float]:
    (phase,) = (p for p in made.phases(3e-3) if p.name == name)
    set_modes(made, phase)
    losses = []
    for number in range(batches):
        for step in made.training_step(name, blotted(8, seed=number)):
            phase.optimizers[step.optimizer].zero_grad()
            loss = torch.stack([*step.losses.values()]).sum()
            torch.autograd.backward(loss)
            phase.optimizers[step.optimizer].step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_it_is_trained_first_and_frozen_then(name: str) -> None:
    made = detector(name)
    first, *others = (phase.name for phase in made.phases(1e-3))
    assert first == LEARN
    assert others
    fresh = weights(made)
    assert pass_over(made, LEARN, 2)
    learnt = weights(made)
    assert any(not torch.equal(fresh[key], learnt[key]) for key in fresh)
    made.finish_phase(LEARN)
    for phase in others:
        with torch.set_grad_enabled(phase != "remember"):
            pass_over(made, phase, 2)
            made.finish_phase(phase)
    after = weights(made)
    assert all(torch.equal(value, after[key]) for key, value in learnt.items()), "not even its statistics move"
    with torch.no_grad():
        assert made.eval().score(blotted(2, seed=9).noisy).image.isfinite().all()


def test_it_learns_to_mark_blots() -> None:
    made = detector("memory")
    losses = pass_over(made, LEARN, 60)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_its_features_see_what_was_changed() -> None:
    made = detector("feature_dae")
    pass_over(made, LEARN, 60)
    unseen = blotted(16, seed=1000)
    assert isinstance(made.backbone, Backbone)
    with torch.no_grad():
        (_, one, _), (_, other, _) = made.backbone(unseen.clean), made.backbone(unseen.noisy)
    change, blot = (one - other).abs().mean(1, keepdim=True), F.adaptive_max_pool2d(unseen.mask, one.shape[-2:])
    assert change[blot == 1].mean() > 2 * change[blot == 0].mean()


@pytest.mark.parametrize("name", OPTIONS)
def test_what_has_it_needs_a_corruption_and_says_so(name: str) -> None:
    assert "backbone 'scratch' learns to mark" in str(detector(name).needs_corruption)
    assert create(name, channels=1, size=64, backbone="filters").needs_corruption is None


def test_tables_say_where_its_weights_are_from() -> None:
    assert Backbone("scratch", (8,)).title == "scratch, trained on the normal images alone"
    assert Backbone("filters", (8,)).title == "filters, no weights"


@pytest.mark.parametrize("strides", [(), (2,), (6,)])
def test_strides_are_powers_of_two(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="powers of two from 4"):
        BlotNet(strides)
