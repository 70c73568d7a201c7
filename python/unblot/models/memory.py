"""``memory``: patch features of normal images are remembered; what lies far from all of them is anomalous.

Sources: PatchCore (Roth et al., arXiv 2106.08265): features of a frozen network at several strides, averaged over their
neighbourhood; a coreset chosen by greedy k-centres on random projections; distance to the nearest entries. PatchCore
joins strides into one vector; here each has a memory of its own, for joined features are ruled by the coarse stride
with its many channels, which hides small defects. Ours are two scales besides. Features are balanced before distances
are taken: channels count alike, and directions in which normal patches vary much count less (the square root of
whitening, which is PaDiM's Mahalanobis distance, Defard et al., arXiv 2011.08785). And each entry's distances are
divided by how far that entry usually lies from entries of *other groups*, so that a rare but normal texture, far from
everything, is not called anomalous. Leaving out the entry's own group (not only its own image) matters where a part
was photographed several times: its other photographs are no news.

Images of middle size are seen in four mirrored views whose features are averaged: what depends on which way round a
texture happens to lie goes down, what is odd whichever way stays.

PatchCore re-weighs the image score by the density around the nearest entry; the normalisation takes that place here.

Which patches are drawn decides up to a hundredth of an AUROC. So each level of a network's features remembers two
draws and averages their distances, which halves that (subsampled ensembles of nearest-neighbour detectors: Aggarwal and
Sathe, SIGKDD Explorations 17, 2015) and costs a quarter to a third of the speed (``docs/results.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unblot.models.detector import Batch, Detector, Phase, Recommended, Scores, Step, register
from unblot.models.filters import FILTERS
from unblot.models.places import Places
from unblot.models.pooling import top_mean
from unblot.models.scratch import SCRATCH
from unblot.models.teacher import LEARN, PACKAGED, Teacher

__all__ = ["Bank", "Memory", "balance", "coreset", "nearest"]

PROJECTED = 32  # dimensions in which the coreset is chosen
BLOCK = 64  # entries whose smallest distance is found together
ROWS = 512  # patches whose distances are in memory at a time: those of more would not stay in a CPU's cache
DISTANCES = 2**26  # that are in memory at a time on other devices, 256 MiB: few large steps keep them busy
HALVED_FROM = 512  # pixels: images of this size or more are remembered at half their size, too
MIRRORED = ((), (3,), (2,), (2, 3))  # dimensions along which a view is mirrored
MIRRORED_AT = range(256, 384)  # pixels: images of these sizes are
CANDIDATES = 10  # entries are chosen among so many times as many patches


@register
class Memory(Detector):
    """Memory of normal patch features, banks for each level.

    A level is a stride, or several that are joined: the teacher's features there, each averaged over 3 × 3 neighbours,
    enlarged to the level's finest stride and joined. Its banks (:class:`Bank`) give every patch a distance. The map is
    the weighted mean over the levels of these distances, each measured by what held-out normal images have at its place
    (:class:`Places`), enlarged; the score is the mean of its largest ``top`` share. Large images have the same levels,
    a map and a score at half their size once more, for what only shows with more around it; scores and maps are
    averaged. Nothing is trained and corruption has no effect, but for a teacher from scratch. Its figures depend on
    ImageNet weights (:class:`Teacher`).

    Args:
        channels: 1 or 3.
        size: a multiple of 32, at least 64.
        teacher: a timm model, "filters" or "scratch" (:class:`Teacher`).
        levels: strides, or lists of strides that are joined, in ascending order; ``[[8, 16]]`` is PatchCore's.
        weights: one for each level, above 0; None: half for the finest of several, whose patches see least around them,
            and for the coarsest of three or more, whose patches say least of where; one for the others.
        scales: at how many sizes images are looked at, each half of the one before and counting half as much; each is
            a multiple of 32, at least 64. None: 2 from 512 pixels on, else 1.
        views: 1, or 2 or 4: features are the mean over the image and the image mirrored left to right, and both of
            these mirrored up and down; each takes a pass of the network. None: 4 for a pretrained network and images of
            256 to 383 pixels: larger ones are looked at at several scales instead, smaller ones are taken where speed
            counts; else 1.
        entries: patches that each bank remembers.
        draws: banks of a level, each with patches of its own draw; their distances are averaged. None: 2; 1 on the
            filter bank, whose many channels take long to search and whose distances hardly depend on the draw.
        neighbours: nearest entries whose distances are averaged.
        balanced: balance the features; False takes them as the teacher gives them, as PatchCore does.
        normalise: divide by typical distances to other groups; False takes distances as they are, as PatchCore does.
        top: share of the patches, the most anomalous ones, whose mean is the image's score; 0 takes the largest alone.

    Raises:
        ValueError: an option out of its range.
        UserError: the teacher cannot be had.
    """

    name = "memory"
    size_multiple = 32
    size_min = 64
    recommended = Recommended(size=256, largest=512, corruption="none", batch_size=16)

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        teacher: str = PACKAGED,
        levels: Sequence[int | Sequence[int]] = (8, 16, 32),
        weights: Sequence[float] | None = None,
        scales: int | None = None,
        views: int | None = None,
        entries: int = 5_000,
        draws: int | None = None,
        neighbours: int = 3,
        balanced: bool = True,
        normalise: bool = True,
        top: float = 0.02,
    ) -> None:
        joined = [[level] if isinstance(level, int) else sorted(level) for level in levels]
        scales = _usual_scales(size) if scales is None else scales
        views = _usual_views(size, teacher) if views is None else views
        draws = _usual_draws(teacher) if draws is None else draws
        options = {
            "teacher": teacher,
            "levels": joined,
            "weights": None if weights is None else list(weights),
            "scales": scales,
            "views": views,
            "entries": entries,
            "draws": draws,
            "neighbours": neighbours,
            "balanced": balanced,
            "normalise": normalise,
            "top": top,
        }
        super().__init__(channels=channels, size=size, options=options)
        if not (entries >= 1 and draws >= 1 and neighbours >= 1 and 0 <= top <= 1):
            raise ValueError(f"entries, draws and neighbours must be 1 or more and top in 0..1, got {options!r}")
        if not joined or not all(joined):
            raise ValueError(f"levels must be strides or lists of strides, at least one; got {levels!r}")
        weights = _usual_weights(len(joined)) if weights is None else list(weights)
        if len(weights) != len(joined) or not all(w > 0 for w in weights):
            raise ValueError(f"weights must be {len(joined)} numbers above 0, one for each level; got {weights!r}")
        if scales < 1 or size % (self.size_multiple << (scales - 1)) or size >> (scales - 1) < self.size_min:
            raise ValueError(
                f"scales must be 1 or more, and size {size} a multiple of {self.size_multiple}, at least "
                f"{self.size_min}, after each halving; got scales {scales!r}"
            )
        if views not in (1, 2, 4):
            raise ValueError(f"views must be 1, 2 (mirrored left to right) or 4 (up and down, too), got {views!r}")
        strides = sorted({stride for level in joined for stride in level})
        self.teacher = Teacher(teacher, strides)
        width = dict(zip(strides, self.teacher.channels, strict=True))
        self.levels, self.scales, self.views = joined, scales, views
        bank = partial(Bank, entries=entries, neighbours=neighbours, balanced=balanced, normalise=normalise)
        # Level by level at the full size, then at half of it, and so on.
        self.banks = nn.ModuleList(
            nn.ModuleList(bank([width[s] for s in level]) for _ in range(draws)) for level in joined * scales
        )
        self.places = nn.ModuleList(
            Places((size >> halved) // min(level)) for halved in range(scales) for level in joined
        )
        self.top, self.weights = top, [w / sum(weights) for w in weights]
        shares = [0.5**halved for halved in range(scales)]
        self.shares = [share / sum(shares) for share in shares]

    @classmethod
    def useful_size(cls, size: int, options: Mapping[str, Any]) -> int:
        """The teacher's."""
        return Teacher.useful_size(size, options.get("teacher", PACKAGED))

    def start(self) -> None:
        """Load the teacher's weights."""
        self.teacher.load_pretrained()

    def phases(self, lr: float) -> Sequence[Phase]:
        """One pass over the normal images; before it the teacher's own phase, if it has one."""
        return [*self.teacher.phases(lr), Phase("remember", {})]

    def training_step(self, phase: str, batch: Batch) -> Iterator[Step]:
        """Remember the patches of the clean images; takes no step but for the teacher."""
        if phase == LEARN:
            return self.teacher.training_step(batch)
        for banks, patches in zip(self._banks(), self.patches(batch.clean), strict=True):
            for bank in banks:
                bank.add(patches, batch.group)
        return iter(())

    def finish_phase(self, phase: str) -> None:
        """Balance the features, choose the entries and find their typical distances."""
        if phase != LEARN:
            for bank in chain.from_iterable(self._banks()):
                bank.finish()

    def _banks(self) -> list[list[Bank]]:
        """The banks of each level at each scale."""
        return [[bank for bank in level.children() if isinstance(bank, Bank)] for level in self.banks]

    def patches(self, images: Tensor) -> list[Tensor]:
        """Patch features of each level, shape (N, width, H / s, W / s) with the level's finest stride s; at the images'
        size, then at half of it, and so on.
        """
        found = self._patches(images)
        for _ in range(self.scales - 1):
            images = F.avg_pool2d(images, 2)
            found += self._patches(images)
        return found

    def _patches(self, images: Tensor) -> list[Tensor]:
        features = [F.avg_pool2d(f.float(), 3, 1, 1, count_include_pad=False) for f in self._seen(images)]
        by_stride = dict(zip(self.teacher.strides, features, strict=True))
        found = []
        for level in self.levels:
            first, *others = (by_stride[s] for s in level)
            enlarged = (F.interpolate(f, first.shape[-2:], mode="bilinear") for f in others)
            found.append(torch.cat([first, *enlarged], 1))
        return found

    def _seen(self, images: Tensor) -> Sequence[Tensor]:
        """The teacher's features, the mean over the views of the images."""
        here: list[Tensor] = self.teacher(images)
        if self.views == 1:
            return here
        others = ((way, self.teacher(images.flip(way))) for way in MIRRORED[1 : self.views])
        views = [here, *([f.flip(way) for f in there] for way, there in others)]
        return [torch.stack(each).mean(0) for each in zip(*views, strict=True)]

    def _distances(self, images: Tensor, without: Tensor | None = None) -> list[Tensor]:
        """Distances of each level at each scale, shape (N, 1, H / s, W / s); of each image to entries that are not of
        its group in ``without``, shape (N,).
        """
        each = zip(self._banks(), self.patches(images), strict=True)
        return [torch.stack([bank(patches, without) for bank in banks]).mean(0) for banks, patches in each]

    def calibrate(self, held_out: Iterable[Tensor], blotted: Iterable[Tensor], groups: Tensor) -> Tensor:  # noqa: ARG002
        """Learn what distances normal images have, by level and place; scores each by the places of other groups."""
        found = zip(*(self._distances(images) for images in held_out), strict=True)
        left_out = []
        for places, level in zip(self._places(), map(torch.cat, found), strict=True):
            places.fit(level)
            left_out.append(places.left_out(level, groups))
        return self._pooled(self._sums(left_out))

    def score(self, images: Tensor) -> Scores:
        """Mean of the largest patch distances, scale by scale; the map is all of them, enlarged."""
        coarse = self._measured(self._distances(images))
        fine = [F.interpolate(each, images.shape[-2:], mode="bilinear") for each in coarse]
        return Scores(self._pooled(coarse), self._mean(fine))

    def score_left_out(self, images: Tensor, groups: Tensor) -> Tensor | None:
        """Scores by what is remembered of other groups; None where that is nothing, or where the teacher has learnt on
        the images, too.
        """
        banks, own = list(chain.from_iterable(self._banks())), torch.unique(groups)
        if self.teacher.learns or any((bank.groups == group).all() for bank in banks for group in own):
            return None
        return self._pooled(self._measured(self._distances(images, groups)))

    def _measured(self, distances: Sequence[Tensor]) -> list[Tensor]:
        """For each scale the sum of its levels' distances, measured by place."""
        return self._sums([places(each) for places, each in zip(self._places(), distances, strict=True)])

    def _places(self) -> Iterator[Places]:
        for places in self.places:
            assert isinstance(places, Places)
            yield places

    def _sums(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """For each scale the weighted mean of its levels' maps, at its finest level's size."""
        count = len(self.levels)
        return [self._sum(maps[start : start + count]) for start in range(0, len(maps), count)]

    def _sum(self, maps: Sequence[Tensor]) -> Tensor:
        fine = max((m.shape[-2:] for m in maps), key=min)
        weighted = [w * m for w, m in zip(self.weights, maps, strict=True)]
        return torch.stack(
            [m if m.shape[-2:] == fine else F.interpolate(m, fine, mode="bilinear") for m in weighted]
        ).sum(0)

    def _pooled(self, scales: Sequence[Tensor]) -> Tensor:
        """Image scores, shape (N,), from the map of each scale."""
        return self._mean([top_mean(each, self.top) for each in scales])

    def _mean(self, scales: Sequence[Tensor]) -> Tensor:
        """The scales' weighted mean."""
        return torch.stack([share * each for share, each in zip(self.shares, scales, strict=True)]).sum(0)


def _usual_scales(size: int) -> int:
    return 2 if size >= HALVED_FROM and size % 64 == 0 else 1


def _usual_views(size: int, teacher: str) -> int:
    return len(MIRRORED) if size in MIRRORED_AT and teacher not in (FILTERS, SCRATCH) else 1


def _usual_draws(teacher: str) -> int:
    return 1 if teacher == FILTERS else 2


def _usual_weights(levels: int) -> list[float]:
    middle = [1.0] * (levels - 2)
    return [0.5, *middle, 0.5] if levels > 2 else [0.5, 1.0][:levels]


class Bank(nn.Module):
    """Patches that are remembered, and how far others lie from them.

    Args:
        blocks: channels of the strides that are joined.
        entries, neighbours, balanced, normalise: as for :class:`Memory`.
    """

    def __init__(
        self, blocks: Sequence[int], *, entries: int, neighbours: int, balanced: bool, normalise: bool
    ) -> None:
        super().__init__()
        self.blocks, self.entries, self.neighbours = list(blocks), entries, neighbours
        self.balanced, self.normalise = balanced, normalise
        width = sum(blocks)
        # What training fills; buffers of a checkpoint may change their shape.
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("axes", torch.eye(width))
        self.register_buffer("memory", torch.zeros(0, width))
        self.register_buffer("typical", torch.ones(0))
        self.register_buffer("groups", torch.zeros(0, dtype=torch.int64))  # that the entries are of
        self._seen = Reservoir(entries * CANDIDATES)

    centre: Tensor
    axes: Tensor
    memory: Tensor
    typical: Tensor
    groups: Tensor

    def add(self, patches: Tensor, groups: Tensor) -> None:
        """See patches, shape (N, width, H, W), of images of these groups, shape (N,)."""
        self._seen.add(_rows(patches), groups.repeat_interleave(patches.shape[2] * patches.shape[3]))

    def finish(self) -> None:
        """Balance the features, choose the entries and find their typical distances."""
        rows, groups = self._seen.take()
        if self.balanced:
            self.centre, self.axes = balance(rows, self.blocks)
            rows = (rows - self.centre) @ self.axes
        chosen = coreset(rows, self.entries)
        self.memory, self.groups = rows[chosen], groups[chosen]
        self.typical = self._typical(self.memory, self.groups) if self.normalise else torch.ones(len(chosen))
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

    def forward(self, patches: Tensor, without: Tensor | None = None) -> Tensor:
        """Patches, shape (N, width, H, W), to distances, shape (N, 1, H, W): the mean over the nearest entries of
        (Euclidean distance / that entry's typical distance to its own nearest entries of other groups). With
        ``without``, shape (N,), to the nearest that are not of an image's group.
        """
        if without is None:
            return self._far(patches, self.memory, self.typical)
        each = ((one, self.groups != own) for one, own in zip(torch.split(patches, 1), without, strict=True))
        return torch.cat([self._far(one, self.memory[others], self.typical[others]) for one, others in each])

    def _far(self, patches: Tensor, memory: Tensor, typical: Tensor) -> Tensor:
        n, _, height, wide = patches.shape
        rows = (_rows(patches) - self.centre) @ self.axes
        distance, index = nearest(rows, memory, self.neighbours)
        return (distance / typical[index]).mean(1).view(n, 1, height, wide)


def _rows(patches: Tensor) -> Tensor:
    return patches.permute(0, 2, 3, 1).flatten(0, 2)


class Reservoir:
    """A fair sample of at most ``limit`` rows of all that were added: each row draws a number, the lowest stay."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, rows: Tensor, groups: Tensor) -> None:
        """Add rows, shape (n, width), and their groups, shape (n,). Draws from torch's generator."""
        new = (rows, groups, torch.rand(len(rows)).to(rows.device))
        if self._kept is not None and len(self._kept[2]) == self.limit:  # most rows of a late batch have no chance
            likely = new[2] < self._kept[2].max()
            new = (rows[likely], groups[likely], new[2][likely])
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


def balance(rows: Tensor, blocks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """A linear map after which no channel, block or direction of normal patches rules their distances.

    Each channel is divided by its standard deviation and each block by the root of its number of channels, so that all
    strides count alike. Then the principal axes of what comes out are found; an axis is divided by the fourth root of
    its variance, which is half way (in the exponent) to full whitening: that would raise the noise of the smallest
    axes to the rank of the largest.

    Args:
        rows: float, shape (n, width).
        blocks: numbers of channels that sum to the width.

    Returns:
        What to subtract, shape (width,), and by what to multiply from the right, shape (width, width); axes of large
        variance come first.

    Example:
        >>> rows = torch.randn(500, 3) @ torch.diag(torch.tensor([1.0, 10.0, 100.0]))
        >>> centre, axes = balance(rows, [1, 2])
        >>> ((rows - centre) @ axes).shape
        torch.Size([500, 3])
    """
    # In double precision and on the CPU, so that the axes hardly depend on the device.
    exact = rows.double().cpu()
    centre, spread = exact.mean(0), exact.std(0, correction=0)
    share = torch.cat([torch.full((c,), c**-0.5, dtype=torch.float64) for c in blocks])
    # Channels and axes that hardly vary among the normals are not blown up without bound.
    scale = share / (spread + 0.01 * spread.median()).clamp_min(1e-9)
    scaled = (exact - centre) * scale
    variance, axes = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
    variance = (variance.clamp_min(0) + 0.01 * variance.mean()).clamp_min(1e-9)
    # Laid out as a checkpoint gives it back: a matrix product's last bit depends on that.
    axes = (scale[:, None] * axes * variance**-0.25).flip(1).contiguous()
    return centre.to(rows), axes.to(rows)


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
        last = chosen[i - 1 : i]  # a tensor of one number: for a plain one the host would wait for the device
        torch.minimum(gap, norm.add(norm[last]).addmv_(flat, flat[last][0], alpha=-2.0), out=gap)
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
    lengths = torch.linalg.vector_norm(memory, dim=1).square()
    if torch.compiler.is_exporting():  # the number of rows of a graph is not known
        return _nearest(rows, memory, lengths, count)
    step = ROWS if rows.device.type == "cpu" else max(ROWS, DISTANCES // max(len(memory), 1))
    found = [_nearest(part, memory, lengths, count) for part in torch.split(rows, step)]
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])


def _squares(rows: Tensor, entries: Tensor, lengths: Tensor) -> Tensor:
    """Squared distances less the rows' own lengths, which do not change an order; to whole blocks of entries, the spare
    ones infinitely far.
    """
    count, spare = len(entries), -len(entries) % BLOCK
    if torch.compiler.is_exporting() or (torch.is_grad_enabled() and rows.requires_grad):
        return F.pad(torch.addmm(lengths, rows, entries.T, alpha=-2), (0, spare), value=torch.inf)
    # Into whole blocks at once: padded entries would be a copy of all, which for few rows takes as long as the search.
    squares = rows.new_empty(len(rows), count + spare)
    squares[:, count:] = torch.inf
    torch.addmm(lengths, rows, entries.T, alpha=-2, out=squares[:, :count])
    return squares


def _nearest(rows: Tensor, entries: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    squares = _squares(rows, entries, lengths)
    blocks = squares.view(rows.shape[0], -1, BLOCK)
    best = blocks.amin(2).topk(min(count, blocks.shape[1]), largest=False).indices
    places = (best[..., None] * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(1)
    inside = squares.gather(1, places)
    smallest = inside.topk(count, largest=False)
    position = places.gather(1, smallest.indices)
    # Differences, not the product's cancelled squares: near entries would lose half their digits.
    exact = (rows[:, None] - entries[position]).square().sum(2).sqrt()
    return exact, position
