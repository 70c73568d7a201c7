"""Networks that mark cells: what they are told, which cells they learn from, and which of them never saw a group."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.layers.cell_markers import LEAST, PER_IMAGE, CellMarkers, Cells, cells


def test_a_cell_knows_features_then_log_distances_at_the_finest_stride() -> None:
    torch.manual_seed(0)
    features = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    distances = [torch.rand(2, 1, 8, 8) + 0.5, torch.rand(2, 1, 4, 4) + 0.5, torch.rand(2, 1, 2, 2) + 0.5]
    known = cells(features, distances)
    assert known.shape == (2, 3 + 5 + 3, 8, 8)
    torch.testing.assert_close(known[:, :3], features[0])
    torch.testing.assert_close(known[:, 3:8], F.interpolate(features[1], 8, mode="bilinear"))
    torch.testing.assert_close(known[:, 8:9], distances[0].log())
    torch.testing.assert_close(known[:, 10:], F.interpolate(distances[2].log(), 8, mode="bilinear"))
    nothing = cells(features, [torch.zeros(2, 1, 8, 8)])
    torch.testing.assert_close(nothing[:, 8:], torch.full((2, 1, 8, 8), LEAST).log())


def drawn(target: Tensor, folds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """A draw of cells, each of which knows its own number alone."""
    n, _, height, wide = target.shape
    number = torch.arange(height * wide, dtype=torch.float32).view(1, 1, height, wide).expand(n, -1, -1, -1)
    found = Cells()
    found.add(number, target, torch.zeros(n, dtype=torch.int64) if folds is None else folds)
    return found.taken()


@pytest.mark.parametrize(("corrupted", "bad"), [(0, 0), (10, 10), (96, 96), (600, 96), (900, 96)])
def test_half_of_the_cells_are_corrupted_where_there_are_enough(corrupted: int, bad: int) -> None:
    torch.manual_seed(0)
    target = torch.zeros(1, 1, 32, 32)
    target.view(-1)[torch.randperm(1024)[:corrupted]] = 0.7
    rows, wanted, _ = drawn(target)
    assert int((wanted > 0).sum()) == bad
    assert len(rows) == min(PER_IMAGE, bad + 1024 - corrupted)
    assert len(rows.unique()) == len(rows), "no cell twice"
    assert torch.equal(target.view(-1)[rows[:, 0].long()], wanted), "each with its own target"


def test_all_cells_of_a_small_image_are_drawn() -> None:
    rows, _, _ = drawn(torch.zeros(1, 1, 8, 8))
    assert sorted(rows[:, 0].tolist()) == list(range(64))


def test_cells_are_drawn_evenly() -> None:
    torch.manual_seed(0)
    rows, _, _ = drawn(torch.zeros(200, 1, 32, 32))
    counts = torch.bincount(rows[:, 0].long(), minlength=1024).float()
    expected = 200 * PER_IMAGE / 1024
    chi = ((counts - expected).square() / expected).sum() / (1 - PER_IMAGE / 1024)
    assert 800 < chi < 1250  # 1023 degrees of freedom: five standard deviations of 45


def test_cells_are_copied_when_new_ones_are_drawn_alone() -> None:
    found = Cells()
    for _ in range(2):
        found.add(torch.randn(2, 3, 8, 8), torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
        first, again = found.taken(), found.taken()
        assert all(one.data_ptr() == other.data_ptr() for one, other in zip(first, again, strict=True))
    assert [len(x) for x in again] == [256] * 3


class Noted(torch.nn.Module):
    """A network that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, rows: Tensor) -> Tensor:
        self.seen.append(rows)
        return rows[:, :1] * self.weight


def test_no_network_ever_sees_a_group_of_its_fold() -> None:
    torch.manual_seed(0)
    markers = CellMarkers(1, 3, 4, 0.0)
    markers.networks = torch.nn.ModuleList(Noted() for _ in range(3))
    groups, found = torch.arange(30) % 10, Cells()
    for part in groups.split(7):  # a cell knows the group of its image
        known = part.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        found.add(known, torch.rand(len(part), 1, 8, 8), markers.folds(part))
        losses = markers.losses(found)
        assert set(losses) == {"mask_0", "mask_1", "mask_2"}
        assert all(loss.requires_grad for loss in losses.values())
    for number, network in enumerate(markers.networks):
        assert isinstance(network, Noted)
        seen = set(torch.cat(network.seen).unique().long().tolist())
        assert seen == {group for group in range(10) if group % 3 != number}


def test_of_a_single_fold_all_networks_learn() -> None:
    torch.manual_seed(0)
    markers = CellMarkers(1, 3, 4, 0.0)
    found = Cells()
    found.add(torch.randn(2, 1, 8, 8), torch.rand(2, 1, 8, 8), markers.folds(torch.tensor([4, 4])))
    assert all(loss.isfinite() for loss in markers.losses(found).values())


def test_an_image_is_marked_by_the_network_that_did_not_see_its_group_or_by_each() -> None:
    torch.manual_seed(0)
    markers = CellMarkers(5, 3, 4, 0.1).eval()
    known, groups = torch.randn(4, 5, 6, 7), torch.tensor([0, 5, 7, 2])
    rows = known.permute(0, 2, 3, 1).flatten(0, 2)
    with torch.no_grad():
        each = [network(rows).view(4, 1, 6, 7) for network in markers.networks]
        torch.testing.assert_close(markers(known), torch.cat(each, 1))
        alone = markers(known, groups)
    for i, group in enumerate(groups.tolist()):
        torch.testing.assert_close(alone[i], each[group % 3][i])


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
