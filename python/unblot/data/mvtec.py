"""The MVTec AD layout: ``train/good``, ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/<stem>_mask.png``.

Its test part is kept as it is. Names count without capitals. A folder whose name is close to good (good_cam2, OK) is
taken for normal images, and the user is asked.
"""

from __future__ import annotations

from pathlib import Path

from unblot.data.items import ABNORMAL, NORMAL, Found, Item, Source
from unblot.data.listing import Passed, is_image, list_images, no_images, what_it_is
from unblot.data.masks import Masks, beside, said_of_masks, spare_masks
from unblot.data.meaning import may_be_normal, same_folder
from unblot.errors import UserError

__all__ = ["find"]

_GOOD = "good"


def find(root: Path) -> Found:
    """The images below ``root``.

    Raises:
        UserError: no normal images for training, or images in ``test`` that lie in no folder.
    """
    passed, doubts, near = Passed(), list[str](), dict[Path, None]()
    folders = {part: _child(root, part) for part in ("train", "test", "ground_truth")}
    good = _training_folders(root, folders["train"], doubts)
    train: list[Source] = []
    for folder in good:
        files = list_images(folder, passed, empty=True)
        masks = set(beside(files).values())
        near |= dict.fromkeys(sorted(masks))
        train += [_source(root, path, NORMAL, _GOOD) for path in files if path not in masks]
    if not train:
        raise no_images(good[0], passed)
    _count_others(root, {*folders.values()}, {*good}, passed)
    name = f"{root.resolve().name} (MVTec AD layout)"
    test, truth = folders["test"], folders["ground_truth"]
    tested = list_images(test, passed, empty=True) if test else []
    given = Masks(truth, list_images(truth, passed, empty=True)) if truth else None
    if test is None or not tested:
        missing = "no folder test" if test is None else "no images in test"
        note = f"{missing}: its normal images are taken from {_below(root, good[0])}"
        said = said_of_masks(train, given.files if given else [], [], list(near))
        return Found(name, train, passed=passed, notes=[note], warnings=doubts + said)
    by_image = beside(tested)
    near |= dict.fromkeys(by_image.values())
    sources, second = list[Source](), list[Path]()
    for path in tested:
        if path in near:
            continue
        below = path.relative_to(test)
        if len(below.parts) == 1:
            raise UserError(
                f"{path} lies in no folder of test/; normal images belong in test/good, others in test/<defect>"
            )
        label = NORMAL if same_folder(below.parts[0], _GOOD) or may_be_normal(below.parts[0]) else ABNORMAL
        mask = given.of(below) if given and label else None
        near_by = by_image.get(path)
        if mask is not None and near_by is not None:
            second.append(near_by)
        mask = mask or near_by if label else None
        kind = _GOOD if same_folder(below.parts[0], _GOOD) else below.parts[0]
        sources.append(_source(root, path, label, kind, mask))
    likely = sorted({s.item.kind for s in sources if s.item.label == NORMAL} - {_GOOD})
    if likely:
        doubts.append(
            f"test/{', test/'.join(likely)} {'are' if len(likely) > 1 else 'is'} taken for normal images by name; "
            "name it test/good if it is, or as a defect if not"
        )
    unused, more, spare = spare_masks([(given, test)] if given else [], sources)
    warnings = doubts + said_of_masks(sources, unused, second + more, list(near))
    return Found(name, train, sources, spare_masks=spare, passed=passed, warnings=warnings)


def _child(root: Path, wanted: str) -> Path | None:
    """The folder of a name, its capitals and separators aside; the very name goes before others."""
    if (root / wanted).is_dir():
        return root / wanted
    return next((p for p in sorted(root.iterdir()) if same_folder(p.name, wanted) and p.is_dir()), None)


def _training_folders(root: Path, train: Path | None, doubts: list[str]) -> list[Path]:
    """The folders of normal images: train/good, and those whose names are close to it."""
    inside = sorted(p for p in train.iterdir() if p.is_dir() and not p.name.startswith(".")) if train else []
    good = [p for p in inside if same_folder(p.name, _GOOD)]
    likely = [p for p in inside if p not in good and may_be_normal(p.name)]
    if likely:
        names = ", ".join(_below(root, p) for p in likely)
        doubts.append(
            f"{names} {'are' if len(likely) > 1 else 'is'} taken for normal images by name, and trained on; move it "
            "out of "
            "train if it is not"
        )
    if good or likely:
        return [*good, *likely]
    where = train or root
    held = sorted(p.name for p in where.iterdir())
    shown = ", ".join(held[:8]) + (", …" if len(held) > 8 else "")
    raise UserError(
        f"{root} has no folder train/good ({'it' if train is None else 'train'} holds: {shown or 'nothing'}). Either "
        "arrange it as MVTec AD (train/good, test/good, test/<defect>, ground_truth/<defect>), or name the folders: "
        "--normal DIR --abnormal DIR"
    )


def _count_others(root: Path, parts: set[Path | None], good: set[Path], passed: Passed) -> None:
    """Count the images that lie elsewhere: beside train, test and ground_truth, and in train beside good."""
    train = next(iter(good)).parent
    for folder, known in ((root, parts), (train, good)):
        for entry in sorted(folder.iterdir()):
            if entry in known or entry.name.startswith("."):
                continue
            if not entry.is_dir():
                where = f"image(s) in no folder of {_below(root, folder) or 'the layout'}"
                passed.add(where if is_image(entry) else what_it_is(entry), lost=is_image(entry))
            elif count := len(list_images(entry, empty=True)):
                hint = "; masks belong in ground_truth" if "mask" in entry.name.lower() else ""
                passed.add(f"image(s) in {_below(root, entry)} (no part of the layout{hint})", count, lost=True)
            else:
                passed.add("empty folder(s)")


def _below(root: Path, path: Path) -> str:
    below = path.relative_to(root).as_posix()
    return "" if below == "." else below


def _source(root: Path, path: Path, label: int, kind: str, mask: Path | None = None) -> Source:
    name = path.relative_to(root).as_posix()
    return Source(Item(name, label, kind, group=name), path, mask)
