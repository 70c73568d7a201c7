"""Patches of normal images that are remembered, and how far others lie from them.

Source: PatchCore (Roth et al., arXiv 2106.08265): a coreset chosen by greedy k-centres on random projections, distance
to the nearest entries. Ours differs in two ways. Features are balanced before distances are taken: channels count
alike, and directions in which normal patches vary much count less (the square root of whitening, which is PaDiM's
Mahalanobis distance, Defard et al., arXiv 2011.08785). And each entry's distances are divided by how far that entry
usually lies from entries of *other groups*, so that a rare but normal texture, far from everything, is not called
anomalous. Leaving out the entry's own group (not only its own image) matters where a part was photographed several
times: its other photographs are no news.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Bank", "Reservoir", "balance", "coreset", "nearest", "patch_rows"]

PROJECTED = 32  # dimensions in which the coreset is chosen
BLOCK = 64  # entries whose smallest distance is found together
ROWS = 512  # patches whose distances are in memory at a time: those of more would not stay in a CPU's cache
DISTANCES = 2**26  # that are in memory at a time on other devices, 256 MiB: few large steps keep them busy
LAST = 1e30  # squared distance of entries that are taken where there are no others
CANDIDATES = 10  # entries are chosen among so many times as many patches
FOLDS = 10  # of groups, each of which can be looked at as if nothing had been learnt from it


class View(NamedTuple):
    """Entries in balanced features: what is subtracted, by what is multiplied, the entries, their typical distances."""

    centre: Tensor
    axes: Tensor
    entries: Tensor
    typical: Tensor


class Bank(nn.Module):
    """Patches that are remembered, and how far others lie from them.

    Args:
        channels: of the features.
        coreset_size: patches that are remembered.
        num_neighbors: nearest entries whose distances are averaged.
    """

    def __init__(self, channels: int, *, coreset_size: int, num_neighbors: int) -> None:
        super().__init__()
        self.coreset_size, self.num_neighbors = coreset_size, num_neighbors
        # What training fills; buffers of a checkpoint may change their shape.
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("axes", torch.eye(channels))
        self.register_buffer("memory", torch.zeros(0, channels))
        self.register_buffer("typical", torch.ones(0))
        self.register_buffer("groups", torch.zeros(0, dtype=torch.int64))  # that the entries are of
        # The same for images of each fold of groups, learnt from the others; for training alone, until ``forget``.
        for name, buffer in self._none_apart(channels).items():
            self.register_buffer(name, buffer, persistent=False)
        self._seen = Reservoir(coreset_size * CANDIDATES)
        self._end = 0  # above the numbers of all groups that were seen

    groups_min = 3  # for left-out distances: without one group, two others must tell how far entries usually lie

    centre: Tensor
    axes: Tensor
    memory: Tensor
    typical: Tensor
    groups: Tensor
    apart_centre: Tensor
    apart_axes: Tensor
    apart_memory: Tensor
    apart_typical: Tensor

    @staticmethod
    def _none_apart(channels: int) -> dict[str, Tensor]:
        return {
            "apart_centre": torch.zeros(0, channels),
            "apart_axes": torch.zeros(0, channels, channels),
            "apart_memory": torch.zeros(0, 0, channels),
            "apart_typical": torch.zeros(0, 0),
        }

    def add(self, patches: Tensor, groups: Tensor) -> None:
        """See patches, shape (N, channels, H, W), of images of these groups, shape (N,)."""
        self._end = max(self._end, int(groups.max()) + 1)
        self._seen.add(patch_rows(patches), groups.repeat_interleave(patches.shape[2] * patches.shape[3]))

    def finish(self) -> None:
        """Balance the features, choose the entries and find their typical distances, for each fold of groups, too."""
        rows, groups = self._seen.take()
        self.centre, self.axes = balance(rows, [rows.shape[1]])
        balanced = (rows - self.centre) @ self.axes
        chosen = coreset(balanced, self.coreset_size)
        self.memory, self.groups = balanced[chosen], groups[chosen]
        self.typical = self._typical(self.memory, self.groups)
        views = [self._without(groups % FOLDS == fold, rows, chosen) for fold in range(FOLDS)]
        stacked = (torch.stack(each) for each in zip(*views, strict=True))
        self.apart_centre, self.apart_axes, self.apart_memory, self.apart_typical = stacked

    def _without(self, own: Tensor, rows: Tensor, chosen: Tensor) -> View:
        """The entries in features that were balanced without some of the rows."""
        if own.all() or not own.any():  # nothing is left to learn from, or nobody asks for it
            return View(self.centre, self.axes, self.memory, self.typical)
        centre, axes = balance(rows[~own], [rows.shape[1]])
        entries = (rows[chosen] - centre) @ axes
        return View(centre, axes, entries, self._typical(entries, self.groups))

    def forget(self) -> None:
        """Drop what left-out distances take: from here on none can be had."""
        for name, buffer in self._none_apart(len(self.centre)).items():
            setattr(self, name, buffer.to(self.centre))

    def _typical(self, entries: Tensor, groups: Tensor) -> Tensor:
        """How far each entry lies from its nearest of other groups, shape (entries,); 1 where there are none."""
        found = []
        for part, own in zip(torch.split(entries, 1024), torch.split(groups, 1024), strict=True):
            distance = torch.cdist(part, entries)
            distance[own[:, None] == groups[None]] = torch.inf
            found.append(distance.topk(min(self.num_neighbors, len(entries)), largest=False).values.mean(1))
        typical = torch.cat(found)
        usual = typical[typical.isfinite()]
        floor = usual.median() / 10 if len(usual) else torch.ones(())  # repeated patches would divide by nothing
        return torch.where(typical.isfinite(), typical.clamp_min(floor), 1.0).clamp_min(1e-6)

    def forward(self, patches: Tensor, without: Tensor | None = None) -> Tensor:
        """Patches, shape (N, channels, H, W), to distances, shape (N, 1, H, W): the mean over the nearest entries of
        (Euclidean distance / that entry's typical distance to its own nearest entries of other groups).

        With ``without``, groups of shape (N,), they are left-out distances: to the nearest entries that are not of the
        image's group, where there are such, in features that were balanced without its fold. For a group that was
        never seen they are the plain ones.
        """
        n, _, height, wide = patches.shape
        rows = patch_rows(patches)
        plain = View(self.centre, self.axes, self.memory, self.typical)
        if without is None:
            return self._distances(rows, plain).view(n, 1, height, wide)
        found, groups = rows.new_empty(len(rows)), without.repeat_interleave(height * wide)
        fold = torch.where(groups < self._end, groups % FOLDS, FOLDS)
        for number in range(FOLDS + 1):
            own = fold == number
            if own.any():
                view = plain if number == FOLDS else self._apart(number)
                found[own] = self._distances(rows[own], view, (groups[own], self.groups))
        return found.view(n, 1, height, wide)

    def _apart(self, fold: int) -> View:
        return View(self.apart_centre[fold], self.apart_axes[fold], self.apart_memory[fold], self.apart_typical[fold])

    def _distances(self, rows: Tensor, view: View, apart: tuple[Tensor, Tensor] | None = None) -> Tensor:
        distance, index = nearest((rows - view.centre) @ view.axes, view.entries, self.num_neighbors, apart)
        return (distance / view.typical[index]).mean(1)


def patch_rows(patches: Tensor) -> Tensor:
    """Features, shape (N, C, H, W), as one row for each patch, shape (N · H · W, C)."""
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


def nearest(
    rows: Tensor, memory: Tensor, count: int, apart: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Distances to and positions of the nearest entries, ascending; exact.

    One matrix product gives all distances. Sorting them would cost as much again, so the smallest of each block of
    entries is found first: the nearest entries lie in the blocks whose smallest are the smallest.

    Args:
        rows: float, shape (n, width).
        memory: float, shape (m, width).
        count: how many; all where there are fewer.
        apart: groups of the rows, shape (n,), and of the entries, shape (m,): an entry of a row's own group is taken
            only where there are not enough others.

    Returns:
        Euclidean distances, float, and positions, int64, each of shape (n, min(count, m)).
    """
    count = min(count, len(memory))
    lengths = torch.linalg.vector_norm(memory, dim=1).square()
    if torch.compiler.is_exporting():  # the number of rows of a graph is not known
        return _nearest(rows, memory, lengths, count)
    step = ROWS if rows.device.type == "cpu" else max(ROWS, DISTANCES // max(len(memory), 1))
    own = [None] * max(1, -(-len(rows) // step)) if apart is None else torch.split(apart[0], step)
    found = [
        _nearest(part, memory, lengths, count, None if of is None or apart is None else of[:, None] == apart[1])
        for part, of in zip(torch.split(rows, step), own, strict=True)
    ]
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


def _nearest(
    rows: Tensor, entries: Tensor, lengths: Tensor, count: int, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    squares = _squares(rows, entries, lengths)
    if own is not None:
        squares[:, : len(entries)].masked_fill_(own, LAST)
    blocks = squares.view(rows.shape[0], squares.shape[1] // BLOCK, BLOCK)
    best = blocks.amin(2).topk(min(count, blocks.shape[1]), largest=False).indices
    places = (best[..., None] * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(1)
    inside = squares.gather(1, places)
    smallest = inside.topk(count, largest=False)
    position = places.gather(1, smallest.indices)
    # Differences, not the product's cancelled squares: near entries would lose half their digits.
    exact = (rows[:, None] - entries[position]).square().sum(2).sqrt()
    return exact, position
