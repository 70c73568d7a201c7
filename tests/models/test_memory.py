"""What the memory of normal patches remembers, and how far things are from it."""

import torch

from unblot.models.memory import Reservoir, balance, coreset, nearest


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


def test_preselection_finds_what_the_full_distances_find() -> None:
    torch.manual_seed(0)
    spread = torch.linspace(1, 0.05, 240).square()  # directions of large variance first, as balance() orders them
    rows, memory = torch.randn(100, 240) * spread, torch.randn(3000, 240) * spread
    distance, position = nearest(rows, memory, 3, ordered=True)
    expected = torch.cdist(rows, memory).topk(3, largest=False)
    assert (position == expected.indices).float().mean() > 0.97
    torch.testing.assert_close(distance, expected.values, rtol=0.02, atol=0)


def test_preselection_takes_all_of_a_small_memory() -> None:
    distance, position = nearest(torch.zeros(2, 200), torch.eye(200)[:5], 7, ordered=True)
    assert distance.shape == (2, 5)
    assert {*position[0].tolist()} == set(range(5))


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
