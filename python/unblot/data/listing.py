"""Image files below a folder, and a count of what else lies there.

A user must never believe that more images are used than are. So whatever is passed over is counted by its reason:
files that are no images, hidden files, links that lead nowhere, folders that are empty or cannot be opened.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

from unblot.data.own import without_own
from unblot.errors import UserError

__all__ = ["ARCHIVES", "CLOSED", "Passed", "is_image", "list_images", "no_images", "suffixes", "what_it_is"]

ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")

# Pillow opens these, but they are no images of a camera: they run another program, hold tables or films, or are icons.
CLOSED = frozenset({"BUFR", "CUR", "EPS", "GRIB", "HDF5", "ICNS", "ICO", "IPTC", "MPEG", "WMF", "XVTHUMB"})

_JUNK = {".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db"}  # an operating system's own notes


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of the image files that the installed Pillow decodes by itself, lower case with a dot."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(s for s, kind in known.items() if kind in Image.OPEN and kind not in CLOSED) | {".mpo"}


class Passed(Counter[str]):
    """What was found and is not used: number by reason.

    Attributes:
        lost: whether an image may be among it; empty folders and texts alone are no loss.
    """

    lost: bool = False

    def add(self, reason: str, number: int = 1, *, lost: bool = False) -> None:
        """Count ``number`` things that are passed over for one reason."""
        self[reason] += number
        self.lost = self.lost or lost

    def join(self, other: Passed) -> None:
        """Count what another folder passed over, too."""
        self.update(other)
        self.lost = self.lost or other.lost

    def __str__(self) -> str:
        return ", ".join(f"{n} {reason.replace('(s)', 's' if n > 1 else '')}" for reason, n in sorted(self.items()))


def list_images(folder: Path, passed: Passed | None = None, *, empty: bool = False) -> list[Path]:
    """Image files below ``folder``, sorted by path. Links are followed, each folder is read once; pictures that this
    program wrote are passed over.

    Args:
        folder: where to look.
        passed: counts what is not used.
        empty: a folder without images is no error; it is counted.

    Raises:
        UserError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} {'is not a folder' if folder.exists() else _missing(folder)}")
    here = Passed()
    images, own = without_own(_walk(folder, here))
    if own:
        here.add("picture(s) that unblot wrote (heat maps, previews)", own)
    if not images and not empty:
        raise no_images(folder, here)
    if not images and not here:
        here.add(f"empty folder(s) ({folder.name})")
    if passed is not None:
        passed.join(here)
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def no_images(folder: Path, passed: Passed) -> UserError:
    """The error that a folder holds no image, and what it holds instead."""
    held = "it is empty" if all(reason.startswith("empty folder") for reason in passed) else passed
    return UserError(
        f"no images in {folder} ({held}); accepted: .bmp, .jpeg, .jpg, .pgm, .png, .tif, .webp and "
        f"whatever else Pillow reads"
    )


def is_image(path: Path) -> bool:
    """Whether a path is a file with the suffix of an image."""
    return path.is_file() and path.suffix.lower() in suffixes()


def what_it_is(path: Path) -> str:
    """What a path that is no image and no folder counts as."""
    return _no_image(path) or (f"{path.suffix.lower()} file(s)" if path.suffix else "file(s) without suffix")


def _missing(path: Path) -> str:
    return "is a link that leads nowhere" if path.is_symlink() else "does not exist"


def _walk(top: Path, passed: Passed) -> list[Path]:
    """Images below ``top``; real folders before links, so that what a link repeats keeps its real name."""
    images: list[Path] = []
    read: set[tuple[int, int]] = set()
    folders, links = [top], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        try:
            status = folder.stat()
            if (place := (status.st_dev, status.st_ino)) in read:
                passed.add("link(s) to a folder that is read already")
                continue
            read.add(place)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError:
            passed.add("folder(s) that cannot be opened", lost=True)
            continue
        if not entries and folder != top:
            passed.add("empty folder(s)")
        for entry in entries:
            path, is_folder = (
                folder / entry.name,
                (folder / entry.name).is_dir() if entry.is_symlink() else entry.is_dir(),
            )
            if entry.name.startswith("."):
                if entry.name.lower() not in _JUNK and not entry.name.startswith("._"):
                    passed.add("hidden folder(s)" if is_folder else "hidden file(s)")
            elif is_folder:
                (links if entry.is_symlink() else folders).append(path)
            elif is_image(path):
                images.append(path)
            elif entry.name.lower() not in _JUNK:
                passed.add(what_it_is(path), lost=bool(_no_image(path)))
    return images


def _no_image(path: Path) -> str:
    """Why something that is no folder is no image, whatever its suffix."""
    if not path.is_file():
        return "dead link(s)" if path.is_symlink() else "special file(s)"
    if path.name.lower().endswith(ARCHIVES):
        return "archive(s), not opened"
    return ""
