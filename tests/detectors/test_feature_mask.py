"""``feature_mask``: it learns to mark blots, at any stride, and leaves its backbone alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.networks import blotted
from torch import Tensor

from unblot.detectors import create
from unblot.detectors.feature_mask import FeatureMask
from unblot.layers.marking import Marker


def detector(**options: object) -> FeatureMask:
    torch.manual_seed(0)
    made = create("feature_mask", channels=1, size=64, **{"backbone": "filters", "strides": [4, 8, 16], **options})
    assert isinstance(made, FeatureMask)
    return made


def test_blots_are_learnt() -> None:
    made = detector(width=16)
    (phase,) = made.phases(3e-3)
    assert phase.judged is made, "its best judged epoch stays"
    before = {name: value.clone() for name, value in made.backbone.state_dict().items()}
    for number in range(40):
        for step in made.training_step("train", blotted(8, seed=number)):
            phase.optimizers[step.optimizer].zero_grad()
            torch.autograd.backward(step.losses["mask"])
            phase.optimizers[step.optimizer].step()
    made.eval()
    unseen = blotted(16, seed=1000)
    with torch.no_grad():
        marked, clean = made.score(unseen.noisy), made.score(unseen.clean)
    assert roc_auc_score(unseen.mask.flatten(), marked.map.flatten()) > 0.9
    assert roc_auc_score([1] * 16 + [0] * 16, torch.cat([marked.image, clean.image])) > 0.9
    assert all(torch.equal(value, before[name]) for name, value in made.backbone.state_dict().items())


def test_nothing_but_the_marker_is_trained() -> None:
    made = detector(width=8)
    (phase,) = made.phases(1e-3)
    trained = {id(p) for group in phase.optimizers["marker"].param_groups for p in group["params"]}
    assert trained == {id(p) for p in made.marker.parameters()}


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_strides_meet_at_that_of_the_mask(stride: int) -> None:
    torch.manual_seed(0)
    marker = Marker({4: 2, 8: 3, 16: 5}, stride, width=4, dropout=0.0).eval()
    features = [torch.zeros(2, 2, 16, 16), torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 4, 4)]
    plain = marker(features)
    assert plain.shape == (2, 1, 64 // stride, 64 // stride)
    for changed in features:  # what a stride says at a place is heard there, not in the far corner
        changed[:, :, 0, 0] = 9.0
        moved = (marker(features) - plain).abs()[0, 0]
        assert moved[0, 0] > 0
        assert moved[-1, -1] == 0
        changed.zero_()


def test_options_out_of_range_are_named() -> None:
    for options, said in (
        ({"stride": 32}, r"stride must be one of strides \[4, 8, 16\], got 32"),
        ({"full": 0}, "full above 0"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"top": 2}, r"top in 0\.\.1"),
    ):
        with pytest.raises(ValueError, match=said):
            detector(**options)


def scores(made: FeatureMask, images: Tensor) -> Tensor:
    with torch.no_grad():
        return made.eval().score(images).image


def test_one_cell_is_enough_for_a_score() -> None:
    images = blotted(4, seed=0).clean
    made = detector(width=8, top=0.0)
    with torch.no_grad():
        assert torch.equal(made.eval().score(images).image, made._logits(images).amax((1, 2, 3)))
    assert (scores(detector(width=8, top=1.0), images) <= scores(made, images)).all()
