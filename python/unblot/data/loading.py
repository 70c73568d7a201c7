"""From what the user asked for to three image sets: train, held-out and test."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from unblot.data import cifar10, digits, fashion_mnist, folders, magnetic_tile
from unblot.data.classes import did_you_mean
from unblot.data.config import DataConfig
from unblot.data.groups import NONE, find_groups
from unblot.data.items import ABNORMAL, NORMAL, Found, Source
from unblot.data.pixels import ARCHIVES, in_threads, probe
from unblot.data.splits import draw_limit, split_by_group
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data.imageset import ImageSet  # torch: loaded where images are

__all__ = [
    "DATA_SETS",
    "Splits",
    "class_names",
    "exact_repeats",
    "find_images",
    "load_data",
    "load_found",
    "load_paths",
    "native_size",
    "usual_side",
]

LOOKED_AT = 100  # images whose sizes tell what is usual
SIZE_STEP = 32  # pixels between the sizes at which images are seen
SMALLEST, LARGEST = 64, 512
ENLARGED, ENLARGED_TO = 1.5, 256  # small images show more so, up to that size

# A named data set is a module with a function find(config), CLASSES where each may be left out in turn, and a line
# here.
DATA_SETS: dict[str, Callable[[DataConfig], Found]] = {
    "cifar10": cifar10.find,
    "digits": digits.find,
    "fashion-mnist": fashion_mnist.find,
    "magnetic-tile": magnetic_tile.find,
}


@dataclass(frozen=True)
class Splits:
    """A data set, split.

    Attributes:
        name: of the data set.
        train: normal images to train on.
        held_out: normal images kept out of training, for the threshold.
        test: normal and abnormal images to judge by.
        warnings: sentences that the user must see.
        notes: further sentences for :meth:`describe`.
    """

    name: str
    train: ImageSet
    held_out: ImageSet
    test: ImageSet
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """What was understood, for people: counts per split and kind, sizes, grouping, limit and warnings."""
        rows = [(part, getattr(self, part).describe()) for part in ("train", "held_out", "test")]
        rows += [("note", note) for note in self.notes] + [("warning", warning) for warning in self.warnings]
        return "\n".join([f"data      {self.name}", *(f"{head.replace('_', '-'):<9} {text}" for head, text in rows)])


def load_data(config: DataConfig, *, progress: bool | None = None) -> Splits:
    """Find, group, split and decode the images that ``config`` asks for.

    Args:
        config: what the user asked for.
        progress: None shows progress bars where stderr is a terminal and there are many images, True always, False
            never.

    Raises:
        UserError: the data cannot be used as asked; names the file, folder, class or setting and the remedy.

    Example:
        >>> splits = load_data(DataConfig("digits", abnormal=("0",)))
        >>> len(splits.train), len(splits.held_out), len(splits.test)
        (1165, 130, 502)
    """
    return load_found(find_images(config), config, progress=progress)


def load_found(found: Found, config: DataConfig, *, progress: bool | None = None) -> Splits:
    """Group, split and decode what :func:`find_images` found; the second half of :func:`load_data`."""
    from unblot.data.imageset import ImageSet

    if config.size is None:
        config = replace(config, size=native_size(usual_side(found)))
    pool, own_test = _grouped(found, config)
    groups = [s.item.group for s in pool]
    share = config.test if found.test_share is None else found.test_share
    parts = split_by_group(
        groups,
        [s.item.label == ABNORMAL for s in pool],
        held_out=config.held_out,
        test=share if own_test is None else None,
        seed=config.split_seed,
    )
    train, held_out, test = ([pool[i] for i in part] for part in (parts.train, parts.held_out, parts.test))
    notes, warnings = list(found.notes), list(found.warnings)
    if own_test is None:
        warnings += _over_share(pool, test, share) + _against_own_rule(found, config, train + held_out, test)
    else:
        test = own_test
        warnings += _shared_groups(pool, test)
    if config.limit is not None and config.limit < len(train):
        notes.append(f"limit: {config.limit} of {len(train)} training images are used")
        train = [train[i] for i in draw_limit([s.item.group for s in train], config.limit, config.split_seed)]
    if config.test_limit is not None and config.test_limit < len(test):
        notes.append(f"test limit: {config.test_limit} of {len(test)} test images are used")
        test = _fewer(test, config.test_limit, config.split_seed)
    channels = _look(train + held_out, test, config, notes, progress)
    load = partial(ImageSet, channels=channels, size=config.size, progress=progress)
    splits = Splits(found.name, load(train), load(held_out), load(test), warnings, notes)
    repeats = exact_repeats([splits.train, splits.held_out], splits.test, progress=progress)
    warnings += _repeat_warning(repeats, len(splits.test), config.size)
    return splits


def usual_side(found: Found) -> float:
    """The side in pixels of a square with as many pixels as the usual (median) normal image of the training part has.

    At most :data:`LOOKED_AT` images are looked at, evenly chosen.

    Raises:
        UserError: a file that cannot be read.

    Example:
        >>> usual_side(find_images(DataConfig("digits")))
        8.0
    """
    normal = [s.image for s in found.pool if s.item.label == NORMAL]
    count = min(len(normal), LOOKED_AT)
    sizes = [probe(normal[i * len(normal) // count])[1] for i in range(count)]
    return median(width * height for width, height in sizes) ** 0.5 if sizes else 0.0


def native_size(side: float, smallest: int = SMALLEST, largest: int = LARGEST) -> int:
    """At which size to see images that have as many pixels as a square of this side: their own, or half as much again
    where that is 256 at most; as a multiple of :data:`SIZE_STEP`, from ``smallest`` to ``largest``.

    Example:
        >>> [native_size(side) for side in (8, 64, 100, 140, 200, 300, 500, 1024)]
        [64, 96, 160, 224, 256, 288, 512, 512]
    """
    shown = max(side, min(ENLARGED * side, ENLARGED_TO))
    return max(smallest, min(round(shown / SIZE_STEP) * SIZE_STEP, largest))


def load_paths(paths: Iterable[str | Path], *, channels: int, size: int, progress: bool | None = None) -> ImageSet:
    """Images of unknown label from files and folders, as a detector of ``channels`` and ``size`` takes them.

    Raises:
        UserError: a path that does not exist, a folder without images, or a file that cannot be read.
    """
    from unblot.data.imageset import ImageSet

    return ImageSet(folders.sources_of(paths), channels=channels, size=size, progress=progress)


def exact_repeats(
    training: Sequence[ImageSet], test: ImageSet, *, progress: bool | None = None
) -> list[tuple[str, str]]:
    """Pairs of names (test image, training image) whose pixels are the same at the size that was loaded."""
    known = {d: i.name for part in training for d, i in zip(part.digests(progress), part.items, strict=True)}
    return [(i.name, known[d]) for d, i in zip(test.digests(progress), test.items, strict=True) if d in known]


def class_names(data: str) -> tuple[str, ...]:
    """Classes of a named data set that may be left out in turn as abnormal; empty for folders and for sets of defects.

    Example:
        >>> class_names("digits")[:3]
        ('0', '1', '2')
    """
    finder = DATA_SETS.get(data)
    return () if finder is None else getattr(sys.modules[finder.__module__], "CLASSES", ())


def find_images(config: DataConfig) -> Found:
    """What the data set or folder of ``config`` holds, before grouping, splitting and decoding.

    Raises:
        UserError: no such data set, folder or class, or a folder that is not laid out as it must be.
    """
    if finder := DATA_SETS.get(config.data):
        if config.masks:
            raise UserError(f"masks belongs to folders of images; {config.data} knows its own")
        return finder(config)
    if Path(config.data).is_file() and Path(config.data).suffix.lower() in ARCHIVES:
        raise UserError(f"archives are not opened: {config.data}; unpack it and give the folder")
    if not Path(config.data).is_dir():
        raise UserError(
            f"no data set or folder named {config.data!r}{did_you_mean(config.data, list(DATA_SETS))}; "
            f"give a folder, or one of: {', '.join(DATA_SETS)}"
        )
    return folders.find(config)


def _grouped(found: Found, config: DataConfig) -> tuple[list[Source], list[Source] | None]:
    """The pool and the own test part with their groups filled in."""
    everything = found.pool + (found.test or [])
    rule = found.group if config.group is None else config.group
    gap = found.group_gap if config.group is None and config.group_gap is None else config.group_gap
    groups = find_groups([s.item.name for s in everything], rule, gap)
    everything = [replace(s, item=replace(s.item, group=g)) for s, g in zip(everything, groups, strict=True)]
    if rule == NONE:
        found.notes.append("groups: each image is its own, as asked for (group none)")
    elif rule is not None:
        joined = "" if gap is None else f", numbers within {gap} joined"
        found.notes.append(f"groups: {len(set(groups))} by {rule}{joined}")
    else:
        found.notes.append(f"groups: each image is its own; {found.ungrouped}")
    cut = len(found.pool)
    return everything[:cut], None if found.test is None else everything[cut:]


def _fewer(test: Sequence[Source], limit: int, seed: int) -> list[Source]:
    """A draw of ``limit`` test images in their order, at least one of each label and the labels' shares kept."""
    labels = [s.item.label for s in test]
    abnormal = [i for i, label in enumerate(labels) if label == ABNORMAL]
    normal = [i for i, label in enumerate(labels) if label == NORMAL]
    wanted = round(limit * len(abnormal) / len(test))
    if normal and abnormal:
        wanted = min(max(wanted, 1), limit - 1)
    kept = [
        part[i]
        for part, number in ((normal, limit - wanted), (abnormal, wanted))
        for i in draw_limit([test[j].item.name for j in part], number, seed)
    ]
    return [test[i] for i in sorted(kept)]


def _over_share(pool: Sequence[Source], test: Sequence[Source], share: float) -> list[str]:
    """Groups with an abnormal image go to test whole; say so where that is much more than the share asked for."""
    normal = sum(s.item.label == NORMAL for s in pool)
    tested = sum(s.item.label == NORMAL for s in test)
    marked = {s.item.group for s in test if s.item.label == ABNORMAL}
    forced = sum(s.item.label == NORMAL and s.item.group in marked for s in test)
    if forced <= share * normal + 0.5:
        return []
    return [
        f"{tested} of {normal} normal images are for testing instead of {share * normal:.0f}: "
        f"{forced} stand in groups with an abnormal image"
    ]


def _against_own_rule(
    found: Found, config: DataConfig, training: Sequence[Source], test: Sequence[Source]
) -> list[str]:
    """What a rule of the user's does to the groups that the data set itself knows."""
    if config.group is None or found.group is None:
        return []
    own = find_groups([s.item.name for s in (*training, *test)], found.group, found.group_gap)
    seen = set(own[: len(training)])
    normals = [group for s, group in zip(test, own[len(training) :], strict=True) if s.item.label == NORMAL]
    if not (shared := sum(group in seen for group in normals)):
        return []
    return [
        f"{shared} of {len(normals)} normal test images show a part that is also in training: group {config.group} "
        f"takes apart what the data set's own rule joins, and scores look better than they are; leave out group"
    ]


def _shared_groups(pool: Sequence[Source], test: Sequence[Source]) -> list[str]:
    both = sorted({s.item.group for s in pool} & {s.item.group for s in test})
    if not both:
        return []
    return [
        f"{len(both)} groups have images in the training and in the test folder: {', '.join(both[:3])}"
        f"{', …' if len(both) > 3 else ''}; the test folder is kept as it is, and its scores look better than they are"
    ]


def _look(
    training: list[Source], test: list[Source], config: DataConfig, notes: list[str], progress: bool | None
) -> int:
    """Read all headers: find the number of channels, note the sizes, check that masks fit."""
    sources = training + test
    looks = list(in_threads(probe, [s.image for s in sources], what="reading", progress=progress))
    for source, (_, size) in zip(sources, looks, strict=True):
        if source.mask is not None and (fits := probe(source.mask)[1]) != size:
            raise UserError(
                f"the mask {source.mask} is {fits[0]} x {fits[1]} pixels (width x height), its image "
                f"{source.item.name} {size[0]} x {size[1]}; make them the same size"
            )
    channels = config.channels or (1 if all(gray for gray, _ in looks[: len(training)]) else 3)
    sizes = Counter(size for _, size in looks)
    (low, high) = (min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1]))
    span = f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]} ({len(sizes)} sizes)" if len(sizes) > 1 else "")
    colour = f"{'grayscale' if channels == 1 else 'RGB'}{'' if config.channels else ' (found)'}"
    kept = "" if all(w == h for w, h in sizes) else "; the aspect ratio is not kept"
    notes.append(f"images: {span} (width x height), resized to {config.size} x {config.size}, {colour}{kept}")
    return channels


def _repeat_warning(repeats: Sequence[tuple[str, str]], tested: int, size: int) -> list[str]:
    if not repeats:
        return []
    shown = ", ".join(f"{a} = {b}" for a, b in repeats[:3]) + (", …" if len(repeats) > 3 else "")
    return [f"{len(repeats)} of {tested} test images are also in training, pixel for pixel at {size} x {size}: {shown}"]
