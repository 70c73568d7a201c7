"""What a run keeps of its images: how they were read, and a digest of each that it learnt from.

A split is drawn from names. Files are renamed, moved and added, and then the same settings give another split. So a run
compares pixels: what it was trained on is no test image, whatever it is called, and a training goes on only over the
images that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unblot.data.reading import Reading
from unblot.errors import UserError

if TYPE_CHECKING:
    from unblot.data.imageset import ImageSet
    from unblot.data.loading import Splits

__all__ = ["Kept"]

_FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """The images of a training, by digest.

    Attributes:
        reading: how they were read and what they were like.
        train: name of each training image and the digest of its pixels, in order.
        held_out: the same for the images held out of training.
    """

    reading: Reading
    train: tuple[tuple[str, str], ...]
    held_out: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, splits: Splits) -> Kept:
        """What to keep of a data set that is split."""
        parts = (splits.train, splits.held_out)
        reading = splits.train.reading.learnt([facts for part in parts for facts in part.facts()])
        return cls(reading, *map(_digests, parts))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "format": _FORMAT,
            "reading": self.reading.to_dict(),
            "train": [list(pair) for pair in self.train],
            "held_out": [list(pair) for pair in self.held_out],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Kept:
        """The inverse of :meth:`to_dict`.

        Raises:
            UserError, KeyError, TypeError, ValueError: values of another format, or not written by it.
        """
        if values["format"] != _FORMAT:
            raise UserError(f"it is of format {values['format']!r}, this version reads {_FORMAT}")
        parts = (tuple((str(name), str(digest)) for name, digest in values[part]) for part in ("train", "held_out"))
        return cls(Reading.from_dict(values["reading"]), *parts)

    def said_of(self, images: Sequence[tuple[str, bytes]]) -> list[str]:
        """A sentence where some of the images are among those that the run learnt from, pixel for pixel.

        Args:
            images: names and digests of images to be judged, loaded as the run loads them.
        """
        trained, held_out = ({digest: name for name, digest in part} for part in (self.train, self.held_out))
        seen = [
            (name, trained.get(digest) or held_out[digest], digest in trained)
            for name, digest in ((name, digest.hex()) for name, digest in images)
            if digest in trained or digest in held_out
        ]
        if not seen:
            return []
        number = sum(of_training for _, _, of_training in seen)
        pairs = ", ".join(name if name == was else f"{name} (then {was})" for name, was, _ in seen[:3])
        return [
            f"{len(seen)} of {len(images)} images are images that the run learnt from, pixel for pixel ({number} "
            "trained on, "
            f"{len(seen) - number} held out for the threshold): {pairs}{', …' if len(seen) > 3 else ''}. They look "
            "more normal than "
            "new images do; judge by images that it has not seen"
        ]

    def gone(self, splits: Splits) -> list[str]:
        """A sentence where training images of the run are no longer among its data."""
        there = {d.hex() for part in (splits.train, splits.held_out, splits.test) for d in part.digests()}
        missing = [name for name, digest in (*self.train, *self.held_out) if digest not in there]
        if not missing:
            return []
        return [
            f"{len(missing)} of the {len(self.train) + len(self.held_out)} images that the run learnt from are no "
            "longer "
            f"there, or have other pixels: {_some(missing)}"
        ]

    def differs(self, now: Kept) -> str:
        """What is different from the images now at hand, empty where a training can go on with them."""
        said = []
        for part, was, there in (("training", self.train, now.train), ("held-out", self.held_out, now.held_out)):
            old, new = ({digest: name for name, digest in side} for side in (was, there))
            gone, come = [old[d] for d in old.keys() - new.keys()], [new[d] for d in new.keys() - old.keys()]
            if gone:
                said.append(f"{len(gone)} of {len(was)} {part} images are no longer among them: {_some(sorted(gone))}")
            if come:
                said.append(f"{len(come)} {part} images are new: {_some(sorted(come))}")
            if not gone and not come and [d for _, d in was] != [d for _, d in there]:
                said.append(
                    f"the {part} images are the same but in another order, by other names, or in another number"
                )
        was_fit, now_fit = ((r.fit, r.tile, r.overlap) for r in (self.reading, now.reading))
        if was_fit != now_fit:
            said.append(f"images were fitted to the square by {_fit_said(*was_fit)}, now by {_fit_said(*now_fit)}")
        if (self.reading.bits, self.reading.alpha) != (now.reading.bits, now.reading.alpha):
            said.append(f"values were read as {self.reading.bits or 16} bits, now as {now.reading.bits or 16}")
        return "\n  ".join(said)


def _digests(images: ImageSet) -> tuple[tuple[str, str], ...]:
    return tuple((item.name, digest.hex()) for item, digest in zip(images.items, images.digests(), strict=True))


def _fit_said(fit: str, tile: int | None, overlap: float | None) -> str:
    return fit if tile is None else f"{fit} ({tile} px, overlap {overlap:g})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
