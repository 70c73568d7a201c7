from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from unblot import BoxNoise
from unblot.data import Splits
from unblot.detectors import Batch, to_signed
from unblot.training.feed import EpochBatches, Feed, derived_seed


def indices(batches: EpochBatches, epoch: int) -> list[int]:
    batches.epoch = epoch
    return [i for batch in batches for i in batch]


@pytest.mark.parametrize("n", [2, 7, 8, 9, 10, 25])
@pytest.mark.parametrize("smallest", [1, 2])
def test_an_epoch_takes_every_image_once_but_a_last_single_one(n: int, smallest: int) -> None:
    batches = EpochBatches(n, 8, seed=0, smallest=smallest)
    taken = indices(batches, 0)
    assert len(batches) == len(list(batches))
    assert len(set(taken)) == len(taken)
    left_out = n % 8 if n % 8 < smallest else 0
    assert len(taken) == n - left_out
    assert all(len(batch) >= smallest for batch in batches)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    batches, again = EpochBatches(50, 8, seed=3), EpochBatches(50, 16, seed=3)
    torch.manual_seed(1)
    first, second = indices(batches, 0), indices(batches, 1)
    torch.manual_seed(2)
    assert indices(again, 1) == second
    assert first != second != indices(EpochBatches(50, 8, seed=4), 1)


def test_devices_share_the_images_evenly() -> None:
    shares = [indices(EpochBatches(23, 4, seed=0, rank=rank, world=3, smallest=2), 5) for rank in range(3)]
    assert [len(share) for share in shares] == [7, 7, 7]
    assert len({i for share in shares for i in share}) == 21


@pytest.mark.parametrize(("n", "shown"), [(50, 20), (20, 20), (7, 24), (3, 90)])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_epoch_shows_so_many_images_evenly(n: int, shown: int, world: int) -> None:
    ranks = [EpochBatches(n, 5, seed=0, rank=rank, world=world, smallest=1, shown=shown) for rank in range(world)]
    shares = [indices(batches, 1) for batches in ranks]
    assert [len(share) for share in shares] == [shown // world] * world
    taken = [i for share in shares for i in share]
    assert len(set(taken)) == len(taken), "an image that is shown again has another number"
    counts = torch.bincount(torch.tensor(taken) % n, minlength=n)
    if world == 1:
        assert counts.sum() == shown
        assert counts.max() - counts.min() <= 1
    assert counts.max() <= -(-shown // n)
    assert indices(ranks[0], 2) != shares[0]
    if shown < n:  # over many epochs all images have their turn
        assert {i for epoch in range(30) for i in indices(ranks[0], epoch)} == set(range(n))


def test_seeds_differ_by_purpose() -> None:
    seeds = [derived_seed(seed, purpose, n) for seed in (0, 1) for purpose in ("torch", "order") for n in (0, 1, 12)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def feed(splits: Splits, workers: int = 0, **other: int) -> Feed:
    settings = {"batch_size": 8, "seed": 0, "smallest": 2} | other
    return Feed(splits.train, BoxNoise(), workers=workers, device=torch.device("cpu"), **settings)


def same(a: list[Batch], b: list[Batch]) -> bool:
    return all(
        torch.equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in ("noisy", "clean", "index", "group")
    )


def test_a_batch_is_what_the_interface_says(splits: Splits) -> None:
    for batch in feed(splits).epoch(0):
        n = len(batch.index)
        assert batch.noisy.shape == batch.clean.shape == (n, 1, 16, 16)
        assert {batch.noisy.dtype, batch.clean.dtype} == {torch.float32}
        assert batch.index.dtype == batch.group.dtype == torch.int64
        assert batch.noisy.abs().max() <= 1
        for row, index in enumerate(batch.index.tolist()):
            assert torch.equal(batch.clean[row], to_signed(splits.train[index]["image"]))
            assert batch.group[row] == splits.train[index]["group"]
        assert not torch.equal(batch.noisy, batch.clean)


def test_each_epoch_corrupts_anew(splits: Splits) -> None:
    given = feed(splits)
    by_index = [
        {int(i): image for batch in given.epoch(epoch) for i, image in zip(batch.index, batch.noisy, strict=True)}
        for epoch in (0, 1)
    ]
    assert not any(torch.equal(by_index[0][i], by_index[1][i]) for i in by_index[0])


def test_an_image_that_an_epoch_shows_again_is_corrupted_anew(make_splits: Callable[..., Splits]) -> None:
    given = feed(make_splits(3), batch_size=4, shown=24)
    assert given.images == 24
    batches = list(given.epoch(0))
    index, noisy = torch.cat([b.index for b in batches]), torch.cat([b.noisy for b in batches])
    assert torch.bincount(index).tolist() == [8, 8, 8]
    for image in range(3):
        versions = {picture.numpy().tobytes() for picture in noisy[index == image]}
        assert len(versions) == 8
    once = feed(make_splits(3), batch_size=4)
    first = {int(i): x for b in once.epoch(0) for i, x in zip(b.index, b.noisy, strict=True)}
    assert all(any(torch.equal(x, again) for again in noisy[index == i]) for i, x in first.items())
    helped = feed(make_splits(3), batch_size=4, shown=24, workers=2)
    assert same(batches, list(helped.epoch(0)))


def test_no_epoch_depends_on_those_before_nor_on_workers(splits: Splits) -> None:
    """A resumed run starts at a later epoch, perhaps on a machine with other workers."""
    through, resumed, helped = feed(splits), feed(splits), feed(splits, workers=2)
    for epoch in (0, 1, 2):
        uninterrupted, with_workers = list(through.epoch(epoch)), list(helped.epoch(epoch))
        drawn = torch.rand(3)
        assert same(uninterrupted, with_workers)
        list(through.epoch(epoch))
        assert torch.equal(torch.rand(3), drawn)
    torch.manual_seed(123)
    assert same(uninterrupted, list(resumed.epoch(2)))
    assert torch.equal(torch.rand(3), drawn)


def test_nothing_is_corrupted_without_a_spec(make_splits: Callable[..., Splits]) -> None:
    given = Feed(make_splits(4).train, None, batch_size=4, seed=0, workers=0, device=torch.device("cpu"))
    (batch,) = given.epoch(0)
    assert torch.equal(batch.noisy, batch.clean)


def test_tiles_of_a_frame_follow_one_another_in_an_order_of_their_own() -> None:
    frame = torch.arange(40) // 8
    batches = EpochBatches(40, 8, seed=0, frame=frame)
    orders = [indices(batches, epoch) for epoch in range(3)]
    for taken in orders:
        assert sorted(taken) == list(range(40))
        frames = frame[taken].tolist()
        assert len([1 for a, b in pairwise(frames) if a != b]) == 4, "each frame is come to once"
    assert orders[0] != orders[1]
    assert orders[0] == indices(EpochBatches(40, 4, seed=0, frame=frame), 0)
    some = indices(EpochBatches(40, 8, seed=0, frame=frame, shown=16), 0)
    assert len(set(some)) == 16
    assert len(set(frame[some].tolist())) >= 4, "a part of an epoch is drawn from all frames"
