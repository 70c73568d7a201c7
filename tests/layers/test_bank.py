"""What a bank of normal patches remembers, and how far things are from it."""

import pytest
import torch
from torch import Tensor

from unblot.layers.bank import CANDIDATES, Bank, Reservoir, balance, coreset, nearest


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


def test_nearest_of_no_rows_are_none() -> None:
    for apart in (None, (torch.zeros(0, dtype=torch.int64), torch.arange(3))):
        distance, position = nearest(torch.zeros(0, 3), torch.eye(3), 2, apart)
        assert distance.shape == position.shape == (0, 2)


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


@pytest.mark.parametrize("limit", [1, 7])
def test_reservoir_keeps_all_of_few_rows_with_their_groups(limit: int) -> None:
    reservoir = Reservoir(limit)
    reservoir.add(torch.arange(3.0)[:, None], torch.arange(3))
    rows, groups = reservoir.take()
    assert len(rows) == min(limit, 3)
    assert torch.equal(rows[:, 0].long(), groups)


def test_nearest_of_other_groups_is_exact_over_blocks_of_any_number() -> None:
    torch.manual_seed(0)
    rows, memory = torch.randn(700, 5), torch.randn(131, 5)
    own, of = torch.randint(4, (700,)), torch.randint(4, (131,))
    distance, position = nearest(rows, memory, 3, (own, of))
    expected = torch.cdist(rows, memory).masked_fill(own[:, None] == of[None], torch.inf).topk(3, largest=False)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(position, expected.indices)


def test_entries_of_the_own_group_come_last_where_there_are_not_enough_others() -> None:
    memory, of = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1])
    distance, position = nearest(torch.zeros(1, 1), memory, 2, (torch.tensor([0]), of))
    assert position[0, 0] == 2, "the only one of another group"
    assert distance[0].tolist() == [5, distance[0, 1].item()]
    assert distance.isfinite().all()


def filled(rows: Tensor, groups: Tensor, coreset_size: int = 1000, num_neighbors: int = 1) -> Bank:
    """A bank that has seen rows, shape (n, channels), one for each image."""
    bank = Bank(rows.shape[1], coreset_size=coreset_size, num_neighbors=num_neighbors)
    bank.add(rows[:, :, None, None], groups)
    bank.finish()
    return bank


def test_left_out_distances_are_those_of_a_bank_that_learnt_nothing_from_the_group() -> None:
    torch.manual_seed(0)
    rows, groups = torch.randn(90, 6), torch.arange(90) // 10
    bank = filled(rows, groups, num_neighbors=3)
    for group in range(9):
        others = groups != group
        centre, axes = balance(rows[others], [6])
        balanced = (rows - centre) @ axes
        own = rows[~others].T.reshape(1, 6, 2, 5)
        found = bank(own, torch.tensor([group])).flatten()
        distance, near = torch.cdist(balanced[~others], balanced[others]).topk(3, largest=False)
        apart = torch.cdist(balanced, balanced).masked_fill(groups[:, None] == groups[None], torch.inf)
        typical = apart.topk(3, largest=False).values.mean(1)[others]
        torch.testing.assert_close(found, (distance / typical[near]).mean(1))
        assert (bank(own, torch.tensor([group])) > bank(own)).all(), "what is remembered lies at no distance"


def test_new_images_lie_no_farther_than_left_out_ones_however_few_they_are() -> None:
    torch.manual_seed(0)
    mixed = torch.randn(64, 64)
    rows = torch.randn(80 + 2000, 64) @ mixed  # hardly more images than channels: their balance is learnt by heart
    bank = filled(rows[:80], torch.arange(80))
    left_out = bank(rows[:80, :, None, None], torch.arange(80)).flatten()
    new = bank(rows[80:, :, None, None]).flatten()
    assert 0.9 < new.median() / left_out.median() < 1.1


def test_what_left_out_distances_take_is_no_part_of_a_checkpoint_and_is_forgotten() -> None:
    torch.manual_seed(0)
    bank, new = filled(torch.randn(40, 4), torch.arange(40)), torch.randn(2, 4, 3, 3)
    before = bank(new)
    assert not any("apart" in name for name in bank.state_dict())
    assert bank.apart_memory.numel()
    bank.forget()
    assert not bank.apart_memory.numel()
    assert torch.equal(bank(new), before)


def test_each_image_of_a_batch_is_without_its_own_group() -> None:
    torch.manual_seed(0)
    rows, groups = torch.randn(40, 4), torch.arange(40) // 4
    bank, patches = filled(rows, groups, num_neighbors=2), torch.randn(5, 4, 3, 2)
    without = torch.tensor([3, 0, 9, 3, 77])
    together = bank(patches, without)
    assert together.shape == (5, 1, 3, 2)
    for i in range(5):
        torch.testing.assert_close(together[i : i + 1], bank(patches[i : i + 1], without[i : i + 1]))
    torch.testing.assert_close(together[4:], bank(patches[4:]))  # nothing is of a group that was never seen


def test_typical_distances_are_to_other_groups_and_never_nothing() -> None:
    torch.manual_seed(0)
    entries = torch.randn(60, 3)
    groups = torch.arange(60) // 6
    bank = filled(entries, groups, num_neighbors=2)
    apart = torch.cdist(bank.memory, bank.memory).masked_fill(bank.groups[:, None] == bank.groups[None], torch.inf)
    torch.testing.assert_close(bank.typical, apart.topk(2, largest=False).values.mean(1), rtol=1e-3, atol=1e-4)
    repeated = filled(torch.randn(5, 3).repeat(8, 1), torch.arange(40))
    assert (repeated.typical > 0).all()
    alone = filled(torch.randn(10, 3), torch.zeros(10, dtype=torch.int64))
    assert alone.typical.tolist() == [1] * 10, "there are no other groups"
    same = filled(torch.ones(10, 3), torch.arange(10))
    assert same(torch.full((1, 3, 2, 2), 2.0)).isfinite().all()


def test_a_bank_remembers_no_more_than_it_may_from_a_bounded_draw() -> None:
    torch.manual_seed(0)
    bank = Bank(3, coreset_size=4, num_neighbors=1)
    for _ in range(3):
        bank.add(torch.randn(10, 3, 2, 2), torch.arange(10))
        assert bank._seen._kept is not None
        assert len(bank._seen._kept[0]) <= 4 * CANDIDATES
    bank.finish()
    assert bank.memory.shape == (4, 3)
    assert len(bank.groups) == len(bank.typical) == 4
    assert bank._seen._kept is None, "the draw is forgotten"
