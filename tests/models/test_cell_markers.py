"""Networks that mark corrupted cells: each is trained without a share of the groups."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models import cell_markers
from unblot.models.cell_markers import BATCH, CORRUPTED, PER_IMAGE, CellMarkers, Cells, cells


def test_cells_are_features_and_log_distances_at_the_finest_stride() -> None:
    fine, coarse = torch.rand(2, 3, 8, 8), torch.rand(2, 4, 4, 4)
    distances = [torch.rand(2, 1, 8, 8), torch.rand(2, 1, 4, 4)]
    distances[0][0, 0, 0, 0] = 0
    known = cells([fine, coarse], distances)
    assert known.shape == (2, 3 + 4 + 2, 8, 8)
    assert torch.equal(known[:, :3], fine)
    torch.testing.assert_close(known[:, 3:7], F.interpolate(coarse, (8, 8), mode="bilinear"))
    torch.testing.assert_close(known[:, 7:8], distances[0].clamp_min(1e-3).log())
    assert known.isfinite().all(), "a distance of 0 has no logarithm"


def test_half_of_the_drawn_cells_are_corrupted_where_there_are_enough() -> None:
    torch.manual_seed(0)
    size = 20
    target = torch.zeros(3, 1, size, size)
    target[0, :, :15] = 0.5  # 300 corrupted cells
    target[1, 0, 0, :7] = 1.0  # 7
    known = torch.arange(3.0 * size * size).view(3, 1, size, size) / 1200
    drawn = Cells()
    drawn.add(known, target, torch.tensor([0, 1, 2]))
    rows, targets, folds = drawn.taken()
    assert rows.dtype == torch.float16
    for image, bad in enumerate((PER_IMAGE // 2, 7, 0)):
        of = folds == image
        assert int(of.sum()) == PER_IMAGE
        assert int((targets[of] > CORRUPTED).sum()) == bad
    at = (rows[:, 0].float() * 1200).round().long()  # the target is that of the very cell
    assert ((target.flatten()[at.clamp_max(1199)] - targets).abs() > 0.01).float().mean() < 0.05
    few = Cells()
    few.add(known[:1, :, :5, :5], target[1:2, :, :5, :5], torch.tensor([0]))
    assert len(few.taken()[0]) == 25, "of a small image all cells are drawn"


def test_no_network_sees_cells_of_its_own_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    made, drawn = CellMarkers(1, 3, 4, 0.0), Cells()
    groups = torch.arange(12)
    known = groups.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)  # each cell says of which group it is
    drawn.add(known, torch.rand(12, 1, 8, 8), made.folds(groups))
    seen: list[set[int]] = []
    for network in made.networks:
        network.register_forward_hook(lambda _, given, __: seen.append({*given[0].flatten().long().tolist()}))
    losses = made.losses(drawn)
    assert list(losses) == ["mask_0", "mask_1", "mask_2"]
    assert seen == [{g for g in range(12) if g % 3 != number} for number in range(3)]
    assert all(loss.isfinite() for loss in losses.values())


def test_a_single_group_is_seen_by_all_networks() -> None:
    torch.manual_seed(0)
    made, drawn = CellMarkers(2, 3, 4, 0.0), Cells()
    drawn.add(torch.rand(2, 2, 8, 8), torch.rand(2, 1, 8, 8), made.folds(torch.zeros(2, dtype=torch.int64)))
    assert all(loss.isfinite() for loss in made.losses(drawn).values())


def test_logits_are_the_mean_and_left_out_those_of_the_network_that_did_not_see_the_group() -> None:
    torch.manual_seed(0)
    made = CellMarkers(3, 3, 4, 0.1).eval()
    known, groups = torch.randn(5, 3, 4, 4), torch.tensor([0, 1, 2, 4, 6])
    each = torch.stack([n(known.permute(0, 2, 3, 1).reshape(-1, 3)).view(5, 1, 4, 4) for n in made.networks])
    torch.testing.assert_close(made(known), each.mean(0))
    torch.testing.assert_close(made(known, groups), torch.stack([each[g % 3, i] for i, g in enumerate(groups)]))


def test_a_network_that_did_not_see_a_group_tells_what_it_did_not_learn() -> None:
    """Cells of one fold alone have corruption with the opposite sign: the others' networks learn it, its own cannot."""
    torch.manual_seed(0)
    made, drawn = CellMarkers(2, 3, 8, 0.0), Cells()
    adam = torch.optim.Adam(made.parameters(), 1e-2)

    def shown(group: int) -> tuple[Tensor, Tensor]:
        target = (torch.rand(4, 1, 8, 8) > 0.5).float()
        sign = -1.0 if group == 1 else 1.0
        return torch.cat([sign * (target - 0.5), torch.full_like(target, float(group == 1))], 1), target

    for group in (0, 1, 2, 3, 4, 5):
        drawn.add(*shown(group % 3), made.folds(torch.full((4,), group % 3)))
    for _ in range(60):
        adam.zero_grad()
        torch.stack([*made.losses(drawn).values()]).sum().backward()
        adam.step()
    made.eval()
    known, target = shown(1)
    own, others = made(known, torch.full((4,), 1)), made(known, torch.full((4,), 0))
    at, off = target > 0.5, target < 0.5
    assert others[at].mean() > others[off].mean() + 1, "seen, and learnt"
    assert own[at].mean() < own[off].mean(), "unseen: it takes the sign of the others"


def test_a_step_takes_so_many_cells_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made, drawn, counts = CellMarkers(1, 2, 4, 0.0), Cells(), []
    drawn.add(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    monkeypatch.setattr(cell_markers, "focal_loss", lambda found, _: counts.append(len(found)) or found.sum())
    made.losses(drawn)
    assert counts == [BATCH, BATCH]
