"""What the memory of normal patches remembers, and how far things are from it."""

import torch

from unblot.models.memory import Reservoir, coreset, nearest


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
