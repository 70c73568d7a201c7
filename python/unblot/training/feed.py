"""How images reach the loop: shuffled, corrupted, in batches, the same for the same (seed, epoch) whatever came before.

Nothing here has a state that outlives an epoch: the order of the images, their corruption and torch's own generator are
derived from the run's seed and the number of the epoch, so that a resumed run sees what an uninterrupted one would have
seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from unblot.corruption.integrations.collate import BoxNoiseCollate
from unblot.corruption.spec import BoxNoise, FullGaussian
from unblot.data import ImageSet
from unblot.data.tileset import TileSet
from unblot.detectors import Batch, to_signed
from unblot.errors import UserError
from unblot.training.draws import seed_draws

__all__ = ["Anew", "EpochBatches", "Feed", "derived_seed", "loading_failed", "to_batch"]

_ENDED = "a process that loads images was ended from outside, often because memory ran out; use fewer workers"


def derived_seed(seed: int, *purpose: object) -> int:
    """A seed in 0..2**63 - 1 for one purpose; different purposes are independent.

    Example:
        >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 2)
        False
    """
    return int.from_bytes(hashlib.sha256(repr((seed, *purpose)).encode()).digest()[:8], "little") >> 1


class Anew(Iterable[Tensor]):
    """Batches that are made anew each time they are gone through, so that never all are in memory.

    Args:
        make: makes an iterator from the start.
    """

    def __init__(self, make: Callable[[], Iterator[Tensor]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Tensor]:
        return self._make()


class EpochBatches(Sampler[list[int]]):
    """Indices of the batches of one epoch, shuffled by (seed, epoch); those of an image that is shown again are higher
    by ``n`` each time.

    With several devices each takes its own share, of equal length; what does not divide evenly waits for another epoch.
    A last batch with fewer images than ``smallest`` is left out.

    Args:
        n: number of images.
        shown: that an epoch shows, if not each once: a part of them, or all several times over.
        batch_size: images per batch and device.
        seed: of the run.
        rank: number of this device.
        world: number of devices.
        smallest: fewest images that make a batch.
        frame: number of the frame that each image is a tile of, int64, shape (n,): tiles of one follow one another, so
            that each frame is read about once.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        smallest: int = 1,
        shown: int | None = None,
        frame: Tensor | None = None,
    ) -> None:
        self.frame = frame
        self.shown = n if shown is None else shown
        self.share = self.shown // world
        full, rest = divmod(self.share, batch_size)
        self._count = full + (rest >= smallest)
        self.n, self.batch_size, self.seed, self.rank, self.world = n, batch_size, seed, rank, world
        self.epoch = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "order", self.epoch))
        rounds = -(-self.shown // self.n) if self.n else 0
        every = [torch.randperm(self.n, generator=generator) + number * self.n for number in range(rounds)]
        drawn = torch.cat(every)[: self.shown] if every else torch.zeros(0, dtype=torch.int64)
        if self.frame is not None:
            turn = torch.randperm(int(self.frame.max()) + 1, generator=generator)
            drawn = drawn[turn[self.frame[drawn % self.n]].argsort(stable=True)]
        order = drawn.tolist()
        mine = order[self.rank :: self.world][: self.share]
        for start in range(0, self._count * self.batch_size, self.batch_size):
            yield mine[start : start + self.batch_size]


class _Shown(Dataset[dict[str, Any]]):
    """Images by the numbers of :class:`EpochBatches`, each with its number: by it an image that an epoch shows several
    times is corrupted differently each time.
    """

    def __init__(self, images: ImageSet | TileSet) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {**self.images[number % len(self.images)], "number": number}


class Feed:
    """The training images of one phase, epoch by epoch.

    Args:
        images: the training set, or its tiles.
        spec: the corruption; None leaves the images as they are.
        batch_size: images per batch and device.
        seed: of the run.
        workers: loading processes, kept over the epochs.
        device: where the batches go.
        rank: number of this device.
        world: number of devices that share the images.
        smallest: fewest images that make a batch; 2 where networks train, for BatchNorm cannot normalise one value per
            channel.
        shown: images that an epoch shows; None shows each once.
    """

    def __init__(
        self,
        images: ImageSet | TileSet,
        spec: BoxNoise | FullGaussian | None,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        smallest: int = 1,
        shown: int | None = None,
    ) -> None:
        self.batches = EpochBatches(
            len(images),
            batch_size,
            seed=seed,
            rank=rank,
            world=world,
            smallest=smallest,
            shown=shown,
            frame=torch.from_numpy(images.frame) if isinstance(images, TileSet) else None,
        )
        self.collate = BoxNoiseCollate(spec, output="dict", image="image", index="number", seed=seed)
        self.device, self.seed, self.rank = device, seed, rank
        self.loader: DataLoader[Any] = DataLoader(
            _Shown(images),
            batch_sampler=self.batches,
            collate_fn=self.collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def images(self) -> int:
        """Images that one epoch takes on this device."""
        return min(self.batches.share, len(self) * self.batches.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; ``number`` counts over all phases. Seeds the training's generators."""
        self.batches.epoch = number
        self.collate.set_epoch(number)
        samples = iter(self.loader)  # draws from torch's generator where it starts workers, so seed after it
        seed_draws(derived_seed(self.seed, "torch", number, self.rank))
        return (to_batch(sample, self.device) for sample in _handed_over(samples))


def _handed_over(samples: Iterator[Any]) -> Iterator[Any]:
    """What the loader gives. A worker that dies while it hands a batch over is a broken connection to torch."""
    while True:
        try:
            sample = next(samples)
        except StopIteration:
            return
        except (ConnectionError, EOFError) as error:
            raise UserError(f"{_ENDED} ({type(error).__name__} while a batch was handed over)") from error
        yield sample


def loading_failed(error: Exception) -> str | None:
    """What went wrong where images are loaded, in a sentence; None where ``error`` is of another kind.

    torch wraps what a worker raised into a text with its traceback, whose last line is the error's own.
    """
    if isinstance(error, UserError):
        return str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")
    if ("DataLoader worker" in str(error) and "exited unexpectedly" in str(error)) or "killed by signal" in str(error):
        return f"{_ENDED} ({str(error).strip().splitlines()[0]})"
    return None


def to_batch(sample: dict[str, Any], device: torch.device) -> Batch:
    """What the collate gave, on the device; pixels travel as bytes and become [-1, 1] there."""
    moved = {name: sample[name].to(device, non_blocking=True) for name in ("noisy", "clean", "index", "group")}
    return Batch(
        noisy=to_signed(moved["noisy"]),
        clean=to_signed(moved["clean"]),
        index=moved["index"],
        group=moved["group"],
    )
