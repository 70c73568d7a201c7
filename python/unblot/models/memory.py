"""``memory``: patch features of normal images are remembered; what lies far from all of them is anomalous.

Sources: PatchCore (Roth et al., arXiv 2106.08265): features of a frozen network at two strides, averaged over their
neighbourhood; a coreset chosen by greedy k-centres on random projections; distance to the nearest entries. Ours is the
normalisation: each entry's distances are divided by how far that entry usually lies from entries of *other groups*, so
that a rare but normal texture, far from everything, is not called anomalous. Leaving out the entry's own group (not
only its own image) matters where a part was photographed several times: its other photographs are no news.

PatchCore re-weighs the image score by the density around the nearest entry; the normalisation takes that place here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unblot.models.detector import Batch, Detector, Phase, Recommended, Scores, Step, register
from unblot.models.pooling import top_mean
from unblot.models.teacher import PACKAGED, Teacher

__all__ = ["Memory", "coreset", "nearest"]

PROJECTED = 32  # dimensions in which the coreset is chosen
BLOCK = 64  # entries whose smallest distance is found together
ROWS = 4096  # patches whose distances are in memory at a time
CANDIDATES = 10  # entries are chosen among so many times as many patches


@register
class Memory(Detector):
    """Memory of normal patch features.

    A patch is described by the teacher's features at ``strides``, each averaged over 3 × 3 neighbours, enlarged to the
    finest stride and joined. A test patch's distance is the mean over its ``neighbours`` nearest entries of (Euclidean
    distance / that entry's typical distance); the typical distance of an entry is the mean over its nearest entries
    of other groups. The anomaly map is the distances enlarged to the image, the score the mean of the largest
    ``top`` share of them. Nothing is trained; corruption has no effect on this detector. Its figures depend on
    ImageNet weights (:class:`Teacher`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        teacher: a timm model (:class:`Teacher`).
        strides: of the features, ascending.
        entries: patches that are remembered.
        neighbours: nearest entries whose distances are averaged.
        normalise: divide by typical distances to other groups; False is plain PatchCore.
        top: share of the patches, the most anomalous ones, whose mean is the image's score; 0 takes the largest alone.

    Raises:
        ValueError: an option out of its range.
        UserError: the teacher cannot be had.
    """

    name = "memory"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=128, corruption="none")

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        teacher: str = PACKAGED,
        strides: Sequence[int] = (8, 16),
        entries: int = 10_000,
        neighbours: int = 3,
        normalise: bool = True,
        top: float = 0.02,
    ) -> None:
        options = {
            "teacher": teacher,
            "strides": list(strides),
            "entries": entries,
            "neighbours": neighbours,
            "normalise": normalise,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if not (entries >= 1 and neighbours >= 1 and 0 <= top <= 1):
            raise ValueError(f"entries and neighbours must be 1 or more and top in 0..1, got {options!r}")
        self.teacher = Teacher(teacher, strides)
        self.entries, self.neighbours, self.normalise, self.top = entries, neighbours, normalise, top
        width = sum(self.teacher.channels)
        # What training fills; buffers of a checkpoint may change their shape.
        self.register_buffer("memory", torch.zeros(0, width))
        self.register_buffer("typical", torch.ones(0))
        self._seen = Reservoir(entries * CANDIDATES)

    memory: Tensor
    typical: Tensor

    def start(self) -> None:
        """Load the teacher's weights."""
        self.teacher.load_pretrained()

    def phases(self, lr: float) -> Sequence[Phase]:  # noqa: ARG002  (nothing is trained by gradients)
        """One pass over the normal images."""
        return [Phase("remember", {})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:  # noqa: ARG002  (there is one phase)
        """Remember the patches of the clean images; yields nothing."""
        patches = self.patches(batch.clean)
        _, width, height, wide = patches.shape
        rows = patches.permute(0, 2, 3, 1).reshape(-1, width)
        self._seen.add(rows, batch.group.repeat_interleave(height * wide))
        return iter(())

    def finish_phase(self, phase: str) -> None:  # noqa: ARG002
        """Choose the entries and find their typical distances."""
        rows, groups = self._seen.take()
        chosen = coreset(rows, self.entries)
        self.memory = rows[chosen]
        self.typical = self._typical(self.memory, groups[chosen]) if self.normalise else torch.ones(len(chosen))
        self.typical = self.typical.to(self.memory.device)

    def _typical(self, entries: Tensor, groups: Tensor) -> Tensor:
        """How far each entry lies from its nearest of other groups, shape (entries,); 1 where there are none."""
        found = []
        for part, own in zip(torch.split(entries, 1024), torch.split(groups, 1024), strict=True):
            distance = torch.cdist(part, entries)
            distance[own[:, None] == groups[None]] = torch.inf
            found.append(distance.topk(min(self.neighbours, len(entries)), largest=False).values.mean(1))
        typical = torch.cat(found)
        usual = typical[typical.isfinite()]
        floor = usual.median() / 10 if len(usual) else torch.ones(())  # repeated patches would divide by nothing
        return torch.where(typical.isfinite(), typical.clamp_min(floor), 1.0).clamp_min(1e-6)

    def patches(self, images: Tensor) -> Tensor:
        """Patch features, shape (N, width, H / s, W / s) with the finest stride s."""
        features = [F.avg_pool2d(f.float(), 3, 1, 1, count_include_pad=False) for f in self.teacher(images)]
        fine = features[0].shape[-2:]
        return torch.cat([features[0], *(F.interpolate(f, fine, mode="bilinear") for f in features[1:])], 1)

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest patch distances; the map is all of them, enlarged."""
        patches = self.patches(images)
        n, width, height, wide = patches.shape
        distance, index = nearest(patches.permute(0, 2, 3, 1).reshape(-1, width), self.memory, self.neighbours)
        coarse = (distance / self.typical[index]).mean(1).view(n, 1, height, wide)
        return Scores(top_mean(coarse, self.top), F.interpolate(coarse, images.shape[-2:], mode="bilinear"))


class Reservoir:
    """A fair sample of at most ``limit`` rows of all that were added: each row draws a number, the lowest stay."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, rows: Tensor, groups: Tensor) -> None:
        """Add rows, shape (n, width), and their groups, shape (n,). Draws from torch's generator."""
        new = (rows, groups, torch.rand(len(rows)).to(rows.device))
        kept = new if self._kept is None else tuple(torch.cat(pair) for pair in zip(self._kept, new, strict=True))
        lowest = kept[2].topk(min(self.limit, len(kept[2])), largest=False, sorted=False).indices
        self._kept = (kept[0][lowest], kept[1][lowest], kept[2][lowest])

    def take(self) -> tuple[Tensor, Tensor]:
        """The rows and their groups; forgets them."""
        assert self._kept is not None, "training has at least one batch"
        rows, groups, drawn = self._kept
        order = drawn.argsort()
        self._kept = None
        return rows[order], groups[order]


def coreset(rows: Tensor, count: int) -> Tensor:
    """Greedy k-centres: each chosen row is the one farthest from all chosen before, in a random projection.

    Args:
        rows: float, shape (n, width), in random order; the first is the first chosen.
        count: how many to choose.

    Returns:
        int64, shape (min(count, n),): positions of the chosen rows.
    """
    if count >= len(rows):
        return torch.arange(len(rows), device=rows.device)
    generator = torch.Generator().manual_seed(0)  # part of the method, not of a run
    matrix = torch.randn(rows.shape[1], PROJECTED, generator=generator).to(rows) / PROJECTED**0.5
    flat = (rows @ matrix).contiguous()
    norm = flat.square().sum(1)
    chosen = torch.zeros(count, dtype=torch.int64, device=rows.device)
    gap = torch.full((len(rows),), torch.inf, device=rows.device)
    for i in range(1, count):
        last = chosen[i - 1]
        torch.minimum(gap, norm.add(norm[last]).addmv_(flat, flat[last], alpha=-2.0), out=gap)
        chosen[i] = gap.argmax()
    return chosen


def nearest(rows: Tensor, memory: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances to and positions of the nearest entries, ascending; exact.

    One matrix product gives all distances. Sorting them would cost as much again, so the smallest of each block of
    entries is found first: the nearest entries lie in the blocks whose smallest are the smallest.

    Args:
        rows: float, shape (n, width).
        memory: float, shape (m, width).
        count: how many; all where there are fewer.

    Returns:
        Euclidean distances, float, and positions, int64, each of shape (n, min(count, m)).
    """
    count = min(count, len(memory))
    spare = -len(memory) % BLOCK  # whole blocks; the spare entries are infinitely far
    entries = F.pad(memory, (0, 0, 0, spare))
    lengths = F.pad(memory.square().sum(1), (0, spare), value=torch.inf)
    if torch.compiler.is_exporting():  # the number of rows of a graph is not known
        return _nearest(rows, entries, lengths, count)
    found = [_nearest(part, entries, lengths, count) for part in torch.split(rows, ROWS)]
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])


def _nearest(rows: Tensor, entries: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    squares = torch.addmm(lengths, rows, entries.T, alpha=-2)  # less the rows' own, which does not change an order
    blocks = squares.view(rows.shape[0], -1, BLOCK)
    best = blocks.amin(2).topk(min(count, blocks.shape[1]), largest=False).indices
    places = (best[..., None] * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(1)
    inside = squares.gather(1, places)
    smallest = inside.topk(count, largest=False)
    position = places.gather(1, smallest.indices)
    # Differences, not the product's cancelled squares: near entries would lose half their digits.
    exact = (rows[:, None] - entries[position]).square().sum(2).sqrt()
    return exact, position
