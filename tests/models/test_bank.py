"""What a bank of normal patches remembers, and how far things are from it."""

from __future__ import annotations

import torch
from torch import Tensor

from unblot.models.bank import Bank, Reservoir, balance, coreset, nearest


def test_nearest_is_exact() -> None:
    torch.manual_seed(0)
    rows, memory = torch.randn(50, 7), torch.randn(357, 7)
    distance, position = nearest(rows, memory, 3)
    expected = torch.cdist(rows, memory).topk(3, largest=False)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(position, expected.indices)


def test_nearest_keeps_its_digits_where_features_are_large() -> None:
    memory = 1000 + torch.arange(200.0)[:, None] * torch.tensor([[1.0, 0.0]])
    distance, _ = nearest(memory[:5] + 0.01, memory, 1)
    torch.testing.assert_close(distance[:, 0], torch.full((5,), 0.01 * 2**0.5), rtol=2e-2, atol=0)


def test_nearest_takes_all_of_a_small_memory() -> None:
    distance, position = nearest(torch.zeros(2, 3), torch.eye(3)[:2], 5)
    assert distance.shape == (2, 2)
    assert {*position[0].tolist()} == {0, 1}


def test_coreset_covers_better_than_chance() -> None:
    torch.manual_seed(0)
    rows = torch.cat([torch.randn(2000, 8) * 0.1, torch.randn(20, 8) + 5])[torch.randperm(2020)]
    chosen = coreset(rows, 60)
    assert len(torch.unique(chosen)) == 60
    gap = nearest(rows, rows[chosen], 1)[0].max()
    assert gap < nearest(rows, rows[:60], 1)[0].max()
    assert coreset(rows, 5000).tolist() == list(range(2020))


def test_reservoir_is_fair_and_bounded() -> None:
    torch.manual_seed(0)
    reservoir = Reservoir(500)
    for part in torch.arange(5000.0).view(50, 100):
        reservoir.add(part[:, None], part.long())
    rows, groups = reservoir.take()
    assert len(rows) == 500
    assert torch.equal(rows[:, 0].long(), groups)
    assert len(torch.unique(groups)) == 500
    assert 2200 < groups.float().mean() < 2800  # 6 standard errors are 390


def test_balance_makes_channels_of_any_size_alike() -> None:
    torch.manual_seed(0)
    rows = torch.randn(4000, 6)
    plain, large = rows, rows * torch.tensor([1.0, 3, 10, 1, 3, 10]) + 7
    a, b = (torch.pdist(((x - c) @ m)[:200]) for x in (plain, large) for c, m in [balance(x, [4, 2])])
    torch.testing.assert_close(a, b, rtol=0.02, atol=0)


def test_balance_halves_the_spread_of_axes_and_orders_them() -> None:
    torch.manual_seed(0)
    shared = torch.randn(4000, 1)
    rows = torch.cat([shared + 0.05 * torch.randn(4000, 3), torch.randn(4000, 1)], 1)  # three channels say the same
    centre, axes = balance(rows, [4])
    spread = ((rows - centre) @ axes).std(0)
    assert (spread[:-1] >= spread[1:] - 1e-6).all()
    before = torch.linalg.eigvalsh(torch.corrcoef(rows.T)).flip(0).sqrt()
    assert spread[0] / spread[1] < 0.8 * before[0] / before[1]


def test_balance_bears_constant_channels_and_few_rows() -> None:
    rows = torch.zeros(3, 8)
    rows[:, 0] = torch.arange(3.0)
    centre, axes = balance(rows, [4, 4])
    assert ((rows - centre) @ axes).isfinite().all()
    centre, axes = balance(torch.zeros(3, 8), [4, 4])
    assert axes.isfinite().all()


def filled(patches: Tensor, groups: Tensor, entries: int = 1000, neighbours: int = 2) -> Bank:
    torch.manual_seed(0)
    bank = Bank(patches.shape[1], entries=entries, neighbours=neighbours)
    bank.add(patches, groups)
    bank.finish()
    return bank


def test_entries_of_a_rows_own_group_are_taken_last() -> None:
    torch.manual_seed(0)
    rows, memory, own = torch.randn(700, 5), torch.randn(300, 5), torch.arange(700) % 3
    groups = torch.arange(300) % 3
    distance, position = nearest(rows, memory, 4, (own, groups))
    assert (groups[position] != own[:, None]).all()
    expected = torch.cdist(rows, memory).masked_fill(own[:, None] == groups, torch.inf).topk(4, largest=False)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(position, expected.indices)
    few = torch.where(torch.arange(300) < 2, 1, 0)  # two entries of another group, and four are wanted
    distance, position = nearest(rows[own == 0], memory, 4, (own[own == 0], few))
    assert (position[:, :2] < 2).all()
    assert distance.isfinite().all()


def test_distances_without_a_group_are_those_to_the_entries_of_others() -> None:
    torch.manual_seed(0)
    patches, groups = torch.randn(6, 4, 3, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    bank = filled(patches, groups)
    whole, without = bank(patches), bank(patches, groups)
    assert (without >= whole).all() and (without > whole).any()
    for group in range(3):
        other = Bank(4, entries=1000, neighbours=2)
        kept = bank.groups != group
        other.centre, other.axes = bank.centre, bank.axes
        other.memory, other.typical, other.groups = bank.memory[kept], bank.typical[kept], bank.groups[kept]
        torch.testing.assert_close(without[groups == group], other(patches[groups == group]))


def test_an_entry_is_measured_by_entries_of_other_groups() -> None:
    torch.manual_seed(0)
    patches = torch.randn(4, 4, 2, 2)
    twice = torch.cat([patches, patches])  # each part was photographed twice
    bank = filled(twice, torch.arange(4).repeat(2), neighbours=1)
    alone = filled(patches, torch.arange(4), neighbours=1)
    torch.testing.assert_close(bank.typical.sort().values[::2], alone.typical.sort().values)
    one = filled(patches, torch.zeros(4, dtype=torch.int64))
    assert (one.typical == 1).all(), "nothing to measure by"


def test_a_bank_of_patches_that_are_all_alike_gives_numbers() -> None:
    bank = filled(torch.full((3, 4, 2, 2), 0.5), torch.arange(3))
    assert bank(torch.full((1, 4, 2, 2), 0.5)).abs().max() == 0
    assert bank(torch.rand(1, 4, 2, 2)).isfinite().all()


def test_a_bank_has_no_more_than_its_entries_and_scores_each_image_alone() -> None:
    torch.manual_seed(0)
    patches, groups = torch.randn(8, 4, 5, 5), torch.arange(8)
    bank = filled(patches, groups, entries=30)
    assert len(bank.memory) == len(bank.groups) == len(bank.typical) == 30
    together = bank(patches)
    torch.testing.assert_close(together, torch.cat([bank(patches[i : i + 1]) for i in range(8)]))
    again = filled(patches, groups, entries=30)
    assert all(torch.equal(a, b) for a, b in zip(bank.buffers(), again.buffers(), strict=True)), "same seed, same bits"
