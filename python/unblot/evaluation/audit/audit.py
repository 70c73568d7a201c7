"""All checks of a data set, and the cheap ones for every training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unblot.data import DataConfig, Found, Splits, class_names, exact_repeats, find_images, load_found
from unblot.errors import UserError
from unblot.evaluation.audit.classes import NEIGHBOURS, class_split
from unblot.evaluation.audit.facts import trivial_facts
from unblot.evaluation.audit.files import constant_images, files_findings, masks, usable
from unblot.evaluation.audit.findings import FAKE, FINE, SHARE, WARNING, Audit, Finding, Shown
from unblot.evaluation.audit.order import sessions
from unblot.evaluation.audit.repeats import near_copies, near_duplicates
from unblot.evaluation.audit.sample import Sample

__all__ = ["audit", "quick_warnings"]


def audit(config: DataConfig, *, progress: bool | None = None) -> Audit:
    """Look for what would fake a result on the data that ``config`` asks for, split as it says.

    Every image is read; up to 2 000 normal test images are compared with up to 20 000 training images.

    Args:
        config: as for :func:`unblot.data.load_data`.
        progress: as there.

    Raises:
        UserError: the data cannot be found, or not be split even without the files that cannot be read.

    Example:
        >>> audit(DataConfig("digits", size=16)).level
        'warning'
    """
    found, splits, findings = _load(find_images(config), config, progress)
    sources = {s.item.name: s for s in found.pool + (found.test or [])}
    sample = Sample(splits)
    checks = [
        _exact(splits),
        near_duplicates(sample),
        near_copies(sample),
        sessions(sample),
        trivial_facts(splits, sources),
        *findings,
        constant_images(splits),
        masks(found, splits, progress=progress),
        class_split(splits) if _is_class_split(config, splits) else None,
    ]
    return Audit(splits.name, splits.describe(), [*_said(splits), *(check for check in checks if check)])


def quick_warnings(splits: Splits) -> list[str]:
    """The cheap part of an audit, for every training: what would fake a result, as sentences.

    Near-duplicates and sessions across the split, and near-copies among the training images, from up to 1 000 normal
    test images and 5 000 training images: a few seconds, whatever the size of the set. (Exact repeats are found when
    the data are loaded.)
    """
    sample = Sample(splits, most_queries=1_000, most_references=5_000)
    checks = (near_duplicates(sample), sessions(sample))
    found = [check for check in checks if check and check.level == FAKE]
    copies = near_copies(sample)
    if copies and copies.level != FINE:
        found.append(copies)
    return [f"{check.check}: {check.sentence}" for check in found]


def _load(found: Found, config: DataConfig, progress: bool | None) -> tuple[Found, Splits, list[Finding]]:
    """The splits, without files that cannot be used; those are looked for only where loading fails."""
    again = replace(found, notes=list(found.notes), warnings=list(found.warnings))
    count = len(found.pool) + len(found.test or [])
    try:
        return found, load_found(found, config, progress=progress), files_findings(count)
    except UserError:
        left, findings = usable(again, progress=progress)
        if all(f.level == FINE for f in findings):
            raise
        return left, load_found(left, config, progress=progress), findings


def _said(splits: Splits) -> list[Finding]:
    """What loading the data warned of, but for repeats, which have a finding of their own."""
    text = " ".join(f"{w}." for w in splits.warnings if "are also in training" not in w)
    return [Finding("what loading says", WARNING, text)] if text else []


def _exact(splits: Splits) -> Finding:
    """Test images that are also in training, pixel for pixel at the loaded size."""
    pairs = exact_repeats([splits.train, splits.held_out], splits.test)
    if not pairs:
        return Finding(
            "exact repeats", FINE, f"None of {len(splits.test)} test images is in training.", figures={"count": 0}
        )
    place = {item.name: i for i, item in enumerate(splits.test.items)}
    repeated = np.array([place[name] for name, _ in pairs])
    labels = splits.test.labels
    abnormal = int((labels[repeated] == 1).sum())
    of_label = ((len(repeated) - abnormal, (labels == 0).sum()), (abnormal, (labels == 1).sum()))
    share = max(float(count / max(1, total)) for count, total in of_label)
    text = (
        f"{len(pairs)} of {len(splits.test)} test images are in training, pixel for pixel at {splits.test.size} x "
        f"{splits.test.size}" + (f", {abnormal} of them as normal there and abnormal here." if abnormal else ".")
    )
    remedy = "Keep one of each, or name with --group what belongs together."
    rows = [
        [
            Shown(test, splits.test[place[test]]["image"].numpy(), "test"),
            Shown(training, splits.test[place[test]]["image"].numpy(), "in training, the same pixels"),
        ]
        for test, training in pairs[:6]
    ]
    figures = {"count": len(pairs), "abnormal": abnormal, "share": share, "fakes_from": SHARE}
    return Finding("exact repeats", FAKE if share >= SHARE else WARNING, text, remedy, figures, rows)


def _is_class_split(config: DataConfig, splits: Splits) -> bool:
    """Whether kinds are classes, enough of each to have neighbours, and both labels are in the test part."""
    counts = [sum(item.kind == kind for item in splits.test.items) for kind in {i.kind for i in splits.test.items}]
    return (
        bool(class_names(config.data))
        and min(counts, default=0) > NEIGHBOURS
        and {0, 1} <= {*splits.test.labels.tolist()}
    )
