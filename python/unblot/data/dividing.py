"""From what a data set holds to its three parts: groups by rule, the split, the limits, and what is odd about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unblot.data.config import DataConfig
from unblot.data.groups import NONE, find_groups
from unblot.data.items import ABNORMAL, NORMAL, Found, Source
from unblot.data.splits import draw_limit, split_by_group

__all__ = ["Division", "by_rule", "divide", "regrouped"]


@dataclass(frozen=True)
class Division:
    """The images of each part, with what is to be said of the split.

    Attributes:
        train, held_out, test: images.
        notes: sentences for ``describe()``.
        warnings: sentences that the user must see.
    """

    train: list[Source]
    held_out: list[Source]
    test: list[Source]
    notes: list[str]
    warnings: list[str]

    @property
    def learnt_from(self) -> list[Source]:
        """The normal images that a run knows: those for training and those held out."""
        return self.train + self.held_out


def by_rule(found: Found, config: DataConfig) -> tuple[list[Source], list[Source] | None, str]:
    """The pool and the own test part with their groups filled in, and a note on the rule."""
    everything = found.pool + (found.test or [])
    rule = found.group if config.group is None else config.group
    gap = found.group_gap if config.group is None and config.group_gap is None else config.group_gap
    groups = find_groups([s.item.name for s in everything], rule, gap)
    everything = regrouped(everything, groups)
    if rule == NONE:
        note = "groups: each image is its own, as asked for (group none)"
    elif rule is not None:
        joined = "" if gap is None else f", numbers within {gap} joined"
        note = f"groups: {len(set(groups))} by {rule}{joined}"
    else:
        note = f"groups: each image is its own; {found.ungrouped}"
    cut = len(found.pool)
    return everything[:cut], None if found.test is None else everything[cut:], note


def regrouped(sources: Sequence[Source], groups: Sequence[str]) -> list[Source]:
    """The same images with other groups."""
    return [replace(s, item=replace(s.item, group=g)) for s, g in zip(sources, groups, strict=True)]


def divide(found: Found, config: DataConfig, pool: Sequence[Source], own_test: Sequence[Source] | None) -> Division:
    """Split the pool by group, keep the own test part, apply the limits.

    Raises:
        UserError: too few groups for all parts.
    """
    share = config.test if found.test_share is None else found.test_share
    parts = split_by_group(
        [s.item.group for s in pool],
        [s.item.label == ABNORMAL for s in pool],
        held_out=config.held_out,
        test=share if own_test is None else None,
        seed=config.split_seed,
    )
    train, held_out, test = ([pool[i] for i in part] for part in (parts.train, parts.held_out, parts.test))
    notes, warnings = list[str](), list[str]()
    if own_test is None:
        warnings += _over_share(pool, test, share) + _against_own_rule(found, config, train + held_out, test)
    else:
        test = list(own_test)
        warnings += _shared_groups(pool, test)
    if config.limit is not None and config.limit < len(train):
        notes.append(f"limit: {config.limit} of {len(train)} training images are used")
        train = [train[i] for i in draw_limit([s.item.group for s in train], config.limit, config.split_seed)]
    if config.test_limit is not None and config.test_limit < len(test):
        notes.append(f"test limit: {config.test_limit} of {len(test)} test images are used")
        test = _fewer(test, config.test_limit, config.split_seed)
    return Division(train, held_out, test, notes, warnings)


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
