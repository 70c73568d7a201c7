"""From what the user asked for to three image sets: train, held-out and test."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from unblot.data import cifar10, digits, fashion_mnist, folders, magnetic_tile
from unblot.data.classes import did_you_mean
from unblot.data.config import DataConfig
from unblot.data.copies import joined, said_of_copies, said_of_variation
from unblot.data.decoded import CACHE_BYTES, ONCE_BYTES, Decoder
from unblot.data.dividing import Division, by_rule, divide, regrouped
from unblot.data.fitting import CROP, PAD, STRETCH, TILE, side_of
from unblot.data.groups import NONE
from unblot.data.items import ABNORMAL, NORMAL, Found, Source
from unblot.data.listing import ARCHIVES, Passed
from unblot.data.pixels import Look, highest, in_threads, probe
from unblot.data.reading import Facts, Reading, bits_for, pages_said
from unblot.data.tiling import Tiling
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data.imageset import ImageSet  # torch: loaded where images are

__all__ = [
    "DATA_SETS",
    "Splits",
    "class_names",
    "exact_repeats",
    "find_images",
    "find_reading",
    "load_data",
    "load_found",
    "load_paths",
    "native_size",
    "usual_side",
]

LOOKED_AT = 100  # images whose sizes tell what is usual
MEASURED = 1000  # files of more than 8 bits whose highest value tells how many bits are used
SIZE_STEP = 32  # pixels between the sizes at which images are seen
SMALLEST, LARGEST = 64, 512
_PARTS = ("train", "held_out", "test")
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
        abnormal = int((self.test.labels == ABNORMAL).sum())
        rows += [("masks", f"{self.test.masked} of {abnormal} abnormal images have one")] if abnormal else []
        rows += [("note", note) for note in self.notes] + [("warning", warning) for warning in self.warnings]
        return "\n".join([f"data      {self.name}", *(f"{head.replace('_', '-'):<9} {text}" for head, text in rows)])


def load_data(config: DataConfig, *, reading: Reading | None = None, progress: bool | None = None) -> Splits:
    """Find, group, split and decode the images that ``config`` asks for.

    Args:
        config: what the user asked for.
        reading: how a run reads images, where these are for it: what differs from its training images is among the
            warnings. None: found from the training images.
        progress: None shows progress bars where stderr is a terminal and there are many images, True always, False
            never.

    Raises:
        UserError: the data cannot be used as asked; names the file, folder, class or setting and the remedy.

    Example:
        >>> splits = load_data(DataConfig("digits", abnormal=("0",)))
        >>> len(splits.train), len(splits.held_out), len(splits.test)
        (1165, 130, 502)
    """
    cache_bytes = CACHE_BYTES if reading is None else ONCE_BYTES
    return load_found(find_images(config), config, reading=reading, progress=progress, cache_bytes=cache_bytes)


def load_found(
    found: Found,
    config: DataConfig,
    *,
    reading: Reading | None = None,
    progress: bool | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Splits:
    """Group, split and decode what :func:`find_images` found; the second half of :func:`load_data`.

    Decoded images take at most ``cache_bytes`` of memory: those of training are kept first, then those held out, then
    those for testing; the other way round where a run's ``reading`` says that these images are to be judged. A part for
    which there is no room is decoded anew whenever an image is asked for.
    """
    from unblot.data.imageset import ImageSet

    size = native_size(usual_side(found, config.fit)) if config.size is None else config.size
    pool, own_test, note = by_rule(found, config)
    parts = divide(found, config, pool, own_test)
    looks = _look([*parts.learnt_from, *parts.test], progress)
    channels = config.channels or (1 if all(look.gray for look in looks[: len(parts.learnt_from)]) else 3)
    how = reading or _reading(parts.learnt_from, looks, config, progress)
    decoder = Decoder(channels, size, how, cache_bytes=cache_bytes, progress=progress)
    kept_first = _PARTS if reading is None else _PARTS[::-1]
    decoder.add(*(getattr(parts, name) for name in kept_first))
    warnings = [*found.warnings, *said_of_variation(decoder.of(parts.learnt_from), size)]
    parts, copies = _without_copies(found, config, pool, own_test, parts, decoder, size, kept_first)
    notes = [*found.notes, note, *parts.notes, _sizes(looks, channels, size, config), *_values(how, looks)]
    warnings += parts.warnings + copies
    if found.passed:
        (warnings if found.passed.lost else notes).append(f"left out: {found.passed}")
    warnings += _odd_images(parts, decoder, how, known=reading is not None)

    def load(part: Sequence[Source]) -> ImageSet:
        nonlocal cache_bytes
        images = ImageSet(
            part,
            channels=channels,
            size=size,
            reading=how,
            decoded=decoder.take(part),
            cache_bytes=cache_bytes,
            progress=progress,
        )
        cache_bytes -= images.kept_bytes
        return images

    loaded = {name: load(getattr(parts, name)) for name in kept_first}
    splits = Splits(found.name, **loaded, warnings=warnings, notes=notes)
    repeats = exact_repeats([splits.train, splits.held_out], splits.test, progress=progress)
    warnings += _repeat_warning(repeats, len(splits.test), size)
    return splits


def usual_side(found: Found, fit: str = STRETCH) -> float:
    """The side in pixels of a square that shows the usual (median) normal image of the training part with all its
    pixels (:func:`unblot.data.fitting.side_of`).

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
    return median(side_of(fit, *size) ** 2 for size in sizes) ** 0.5 if sizes else 0.0


def native_size(side: float, smallest: int = SMALLEST, largest: int = LARGEST) -> int:
    """At which size to see images that have as many pixels as a square of this side: their own, or half as much again
    where that is 256 at most; as a multiple of :data:`SIZE_STEP`, from ``smallest`` to ``largest``.

    Example:
        >>> [native_size(side) for side in (8, 64, 100, 140, 200, 300, 500, 1024)]
        [64, 96, 160, 224, 256, 288, 512, 512]
    """
    shown = max(side, min(ENLARGED * side, ENLARGED_TO))
    return max(smallest, min(round(shown / SIZE_STEP) * SIZE_STEP, largest))


def load_paths(
    paths: Iterable[str | Path],
    *,
    channels: int,
    size: int,
    reading: Reading | None = None,
    progress: bool | None = None,
) -> ImageSet:
    """Images of unknown label from files and folders, as a detector of ``channels`` and ``size`` takes them.

    Args:
        paths: files and folders.
        channels: 1 or 3.
        size: height and width in pixels.
        reading: how the run of the detector reads images; None: found from these images.
        progress: as for :func:`load_data`.

    Returns:
        The images; their ``warnings`` say what lies in the folders and is not used, and what differs from the images of
        the training.

    Raises:
        UserError: a path that does not exist, a folder without images, or a file that cannot be read.
    """
    from unblot.data.imageset import ImageSet

    passed = Passed()
    sources = folders.sources_of(paths, passed)
    reading = find_reading(sources, progress=progress) if reading is None else reading
    images = ImageSet(sources, channels=channels, size=size, reading=reading, progress=progress)
    named = list(zip((s.item.name for s in sources), images.facts(progress), strict=True))
    left = [f"left out: {passed}"] if passed.lost else []
    images.warnings += [*left, *reading.differences(named), *pages_said(named)]
    return images


def find_reading(
    sources: Sequence[Source], config: DataConfig | None = None, *, progress: bool | None = None
) -> Reading:
    """How images are read where no run says it: as ``config`` asks; where it leaves that open, the bits of files of
    more than 8 are found from the highest value.

    Raises:
        UserError: a file that cannot be read.
    """
    looks = list(in_threads(probe, [s.image for s in sources], what="reading", progress=progress))
    return _reading(sources, looks, config or DataConfig(), progress)


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


def _look(sources: Sequence[Source], progress: bool | None) -> list[Look]:
    """All headers; checks that masks fit."""
    looks = list(in_threads(probe, [s.image for s in sources], what="reading", progress=progress))
    for source, look in zip(sources, looks, strict=True):
        if source.mask is not None and (fits := probe(source.mask).size) != look.size:
            raise UserError(
                f"the mask {source.mask} is {fits[0]} x {fits[1]} pixels (width x height), its image "
                f"{source.item.name} {look.size[0]} x {look.size[1]}; make them the same size"
            )
    return looks


def _reading(training: Sequence[Source], looks: Sequence[Look], config: DataConfig, progress: bool | None) -> Reading:
    """How images are read: the bits of files of more than 8 are found from the highest value of the training images."""
    deep = [s.image for s, look in zip(training, looks, strict=False) if look.deep]
    asked = Reading(bits=config.bits, fit=config.fit, tile=config.tile, overlap=config.overlap)
    if not deep or config.bits is not None:
        return asked
    some = [deep[i * len(deep) // min(len(deep), MEASURED)] for i in range(min(len(deep), MEASURED))]
    return replace(asked, bits=bits_for(max(in_threads(highest, some, what="measuring", progress=progress))))


def _sizes(looks: Sequence[Look], channels: int, size: int, config: DataConfig) -> str:
    sizes = Counter(look.size for look in looks)
    (low, high) = (min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1]))
    span = f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]} ({len(sizes)} sizes)" if len(sizes) > 1 else "")
    colour = f"{'grayscale' if channels == 1 else 'RGB'}{'' if config.channels else ' (found)'}"
    if config.fit == TILE:
        tiling = Tiling(config.tile or size, config.overlap or 0.0)
        counts = {len(tiling.grid(*each)) for each in sizes}
        number = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        seen = "" if tiling.tile == size else f", resized to {size} x {size}"
        tiles = f"{number} tiles of {tiling.tile} px that overlap by {tiling.overlap:.0%} at least{seen}"
        return f"images: {span} (width x height), each cut into {tiles}, {colour}"
    square = all(w == h for w, h in sizes)
    lost = max(1 - min(w, h) / max(w, h) for w, h in sizes)
    fits = {
        STRETCH: "the aspect ratio is not kept (--fit keeps it)",
        PAD: f"the aspect ratio is kept, up to {lost:.0%} of a square are filled",
        CROP: f"the aspect ratio is kept, up to {lost:.0%} of an image are cut away",
    }
    kept = "" if square else f"; {fits[config.fit]}"
    return f"images: {span} (width x height), resized to {size} x {size}, {colour}{kept}"


def _values(how: Reading, looks: Sequence[Look]) -> list[str]:
    deep = sum(look.deep for look in looks)
    if not deep:
        return []
    return [
        f"values: {deep} of {len(looks)} files hold more than 8 bits per value; {how.bits or 16} bits are used, so "
        "that "
        f"{how.white} is white (--bits asks for others)"
    ]


def _without_copies(
    found: Found,
    config: DataConfig,
    pool: list[Source],
    own_test: list[Source] | None,
    parts: Division,
    decoder: Decoder,
    size: int,
    kept_first: Sequence[str],
) -> tuple[Division, list[str]]:
    """The division after copies were made one group, and what is to be said of them.

    Only images that are used are decoded. Another division may use others (under a limit), so this goes on until no
    group changes.
    """
    apart = config.group == NONE
    while not apart:
        groups = [s.item.group for s in pool]
        known = [decoder.known.get(s.item.name) for s in pool]
        one = joined(
            groups,
            [d.digest if d else s.item.name.encode(errors="surrogateescape") for s, d in zip(pool, known, strict=True)],
        )
        if one == groups:
            break
        pool = regrouped(pool, one)
        try:
            parts = divide(found, config, pool, own_test)
        except UserError:
            apart = True
        decoder.add(*(getattr(parts, name) for name in kept_first))
    used = [*parts.train, *parts.held_out, *(parts.test if own_test is None else ())]
    return parts, said_of_copies(used, decoder.of(used), size, apart=apart)


def _odd_images(parts: Division, decoder: Decoder, how: Reading, *, known: bool) -> list[str]:
    """What reading the images showed that the user must know."""

    def named(part: Sequence[Source]) -> list[tuple[str, Facts]]:
        return [(s.item.name, found.facts) for s, found in zip(part, decoder.of(part), strict=True)]

    own, test = named(parts.learnt_from), named(parts.test)
    if known:
        return how.differences(test) + pages_said(test)
    trained = how.learnt([facts for _, facts in own])
    see_through = sum(facts.transparent for _, facts in own)
    said = (
        [f"{see_through} of {len(own)} training images have transparent pixels, which are laid over black"]
        if see_through
        else []
    )
    return said + how.differences(own) + trained.differences(test) + pages_said(own + test)


def _repeat_warning(repeats: Sequence[tuple[str, str]], tested: int, size: int) -> list[str]:
    if not repeats:
        return []
    shown = ", ".join(f"{a} = {b}" for a, b in repeats[:3]) + (", …" if len(repeats) > 3 else "")
    return [f"{len(repeats)} of {tested} test images are also in training, pixel for pixel at {size} x {size}: {shown}"]
