"""``feature_mask``: it learns to mark blots, at any stride, and leaves its backbone alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.networks import blotted

from unblot.detectors import create
from unblot.detectors.feature_mask import FeatureMask
from unblot.layers.marking import Marker


def detector(**options: object) -> FeatureMask:
    torch.manual_seed(0)
    made = create("feature_mask", channels=1, size=64, **{"backbone": "filters", **options})
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
    marker = Marker([(4, 2), (8, 3), (16, 5)], stride, width=4, dropout=0.0).eval()
    features = [torch.zeros(2, 2, 16, 16), torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 4, 4)]
    plain = marker(features)
    assert plain.shape == (2, 1, 64 // stride, 64 // stride)
    for changed in features:  # what a stride says at a place is heard there, not in the far corner
        changed[:, :, 0, 0] = 9.0
        moved = (marker(features) - plain).abs()[0, 0]
        assert moved[0, 0] > 0
        assert moved[-1, -1] == 0
        changed.zero_()


def test_the_mask_has_a_stride_of_the_features() -> None:
    for backbone, strides in (("filters", "4, 8, 16, 32"), ("scratch", "8, 16")):
        with pytest.raises(ValueError, match=rf"stride must be one of \[{strides}\] for {backbone}; got 64"):
            detector(backbone=backbone, stride=64)


@pytest.mark.parametrize("top", [0.0, 1.0])
def test_the_score_is_the_mean_of_the_most_anomalous_share(top: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblot.detectors.feature_mask.TOP", top)
    images, made = blotted(4, seed=0).clean, detector(width=8).eval()
    with torch.no_grad():
        logits = made._logits(images).flatten(1)
        torch.testing.assert_close(made.score(images).image, logits.mean(1) if top else logits.amax(1))
