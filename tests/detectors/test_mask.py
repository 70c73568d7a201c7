"""``mask``: its loss, what it varies, what it wants to see marked, and that it learns to mark blots."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.networks import blotted
from torch import Tensor
from torch.nn import functional as F

from unblot.detectors import create
from unblot.detectors.mask import MaskDetector
from unblot.layers.marking import changed, focal_loss, softened, varied


def detector(**options: object) -> MaskDetector:
    torch.manual_seed(0)
    made = create("mask", channels=1, size=64, **{"width": 8, **options})
    assert isinstance(made, MaskDetector)
    return made


def test_the_focal_loss_is_the_binary_one_where_targets_are_binary() -> None:
    logits, target = torch.tensor([-3.0, 0.5, 2.0]), torch.tensor([0.0, 1.0, 0.0])
    p = torch.where(target == 1, logits.sigmoid(), 1 - logits.sigmoid())
    assert focal_loss(logits, target).item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item(), rel=1e-5)
    assert focal_loss(logits, target, gamma=0).item() == pytest.approx((-p.log()).mean().item(), rel=1e-5)


def test_a_soft_target_is_met_by_its_own_value() -> None:
    logits = torch.tensor([-1.0, 0.0, 0.4, 1.0]).requires_grad_()
    target = torch.tensor(0.4).sigmoid().expand(4)
    (gradient,) = torch.autograd.grad(focal_loss(logits, target), logits)
    assert gradient.sign().tolist() == [-1, -1, 0, 1]


def test_softening_touches_blots_alone_and_never_hides_them() -> None:
    given = blotted(16, seed=1)
    torch.manual_seed(0)
    soft = softened(given.clean, given.noisy)
    near = F.max_pool2d(given.mask, 7, 1, 3) > 0
    assert torch.equal(soft[~near], given.clean[~near])
    assert soft.abs().max() <= 1
    strength = [(x - given.clean).abs().mean((1, 2, 3)) for x in (soft, given.noisy)]
    assert (strength[0] > 0.05 * strength[1]).all()
    assert (strength[0] < 1.01 * strength[1]).all()
    assert (strength[0] < 0.9 * strength[1]).any()
    assert any(torch.allclose(a, b, atol=1e-6) for a, b in zip(soft, given.noisy, strict=True)), (
        "a share stays as it was"
    )
    assert torch.equal(softened(given.clean, given.clean), given.clean)


def test_both_images_of_a_pair_are_varied_alike() -> None:
    clean = torch.rand(32, 3, 8, 8) - 0.5
    noisy = clean.clone()
    noisy[:, :, 2, 1] += 0.2
    torch.manual_seed(0)
    a, b = varied(clean, noisy, 0.2)
    changed = (b - a).abs().amax(1) > 1e-6
    assert changed.sum() == 32
    assert changed[:, 2, 1].any() and changed[:, 2, 6].any(), "some are mirrored, some are not"
    ratio = (a.std((1, 2, 3)) / clean.std((1, 2, 3))).sort().values
    assert 0.8 <= ratio[0] < 0.9 < 1.1 < ratio[-1] <= 1.2 + 1e-6
    assert a.abs().max() <= 1


def test_what_is_wanted_is_the_share_of_change() -> None:
    clean = torch.zeros(1, 1, 64, 64)
    noisy = clean.clone()
    noisy[..., :4, :4] = 0.05  # half of the change that counts in full
    noisy[..., 32:48, 32:48] = -1
    fine, middle, coarse = (changed(clean, noisy, stride, full=0.05) for stride in (4, 8, 16))
    assert fine[0, 0, 0, 0] == pytest.approx(0.5)
    assert middle[0, 0, 0, 0] == pytest.approx(0.125)
    assert coarse[0, 0].tolist() == [[pytest.approx(0.5 / 16), 0, 0, 0], [0] * 4, [0, 0, 1, 0], [0] * 4]


def steps(made: MaskDetector, count: int) -> dict[str, Tensor]:
    """Train; returns the losses of the last batch."""
    (phase,) = made.phases(3e-3)
    losses: dict[str, Tensor] = {}
    torch.manual_seed(0)
    for number in range(count):
        for step in made.training_step("train", blotted(8, seed=number)):
            phase.optimizers[step.optimizer].zero_grad()
            torch.autograd.backward(torch.stack([*step.losses.values()]).sum())
            phase.optimizers[step.optimizer].step()
            losses |= step.losses
    made.eval()
    return losses


def test_blots_are_learnt() -> None:
    made = detector()
    assert set(steps(made, 40)) == {"restoration", "mask"}
    unseen = blotted(16, seed=1000)
    with torch.no_grad():
        marked, clean = made.score(unseen.noisy), made.score(unseen.clean)
        restored = made.restore(unseen.noisy)
    assert roc_auc_score(unseen.mask.flatten(), marked.map.flatten()) > 0.9
    assert roc_auc_score([1] * 16 + [0] * 16, torch.cat([marked.image, clean.image])) > 0.9
    assert F.l1_loss(restored, unseen.clean) < F.l1_loss(torch.zeros_like(restored), unseen.clean)
