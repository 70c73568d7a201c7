"""The run directory: what was asked for, what came out, and the way back to a detector.

``config.json`` holds everything that was asked for; ``checkpoint.safetensors`` weights and position;
``images.json`` how its images were read and a digest of each; ``calibration.json`` the threshold; ``log/`` the losses
(``docs/design.md``). The corruption is stored in full, so a run
stays readable when the file that it came from is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from unblot import __version__
from unblot.calibration.thresholds import Calibration
from unblot.corruption.presets import named
from unblot.corruption.spec import BoxNoise, FullGaussian
from unblot.corruption.spec_file import load_spec
from unblot.data.config import DataConfig
from unblot.data.kept import Kept
from unblot.data.reading import BEFORE, Reading
from unblot.detectors import Detector, create
from unblot.detectors.registry import find
from unblot.errors import UserError
from unblot.files import is_leftover, write_json
from unblot.training.checkpoint import Position, read
from unblot.training.config import TrainConfig
from unblot.training.draws import own_draws
from unblot.training.run_files import (
    CHECKPOINT,
    CONFIG,
    FORMAT,
    IMAGES,
    PROVENANCE,
    digest_of,
    provenance_of,
    read_calibration,
    read_config,
    read_images,
)

if TYPE_CHECKING:
    from unblot.data import ImageSet

__all__ = [
    "Run",
    "corruption_of",
    "describe",
    "load_run",
    "only_writer",
    "prepare",
    "refuse_taken",
    "weights_of",
]

LOCK, LOG = ".lock", "log"

# Where a run computes, not what: these may differ when it is resumed.
_PLACE = ("training.device", "training.workers")


@dataclass(frozen=True)
class Run:
    """A run read back from its directory.

    Attributes:
        path: the run directory.
        detector: on the CPU, in eval mode, with the weights of the last checkpoint.
        train: what the training was asked for.
        corruption: the corruption that it trained with, None for none.
        position: where training stands; ``position.finished`` once all is done.
        data_config: what the data were asked for; None where the library was called without.
        threshold: from left-out normal images; None while training is unfinished or where there were none.
        provenance: what happened in the training: ``weights`` by phase (which epoch's were kept and by what), what
            the detector ``decided``, and ``sources``, where weights from elsewhere come from.
        images: how its images were read, and digests of those it learnt from; None for runs that keep none.
        digest: of its settings and weights; empty where it was not read from files.
    """

    path: Path
    detector: Detector
    train: TrainConfig
    corruption: BoxNoise | FullGaussian | None
    position: Position
    data_config: DataConfig | None
    threshold: Calibration | None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    images: Kept | None = None
    digest: str = ""

    @property
    def reading(self) -> Reading:
        """How images for this run are read, and what those of its training were like."""
        return BEFORE if self.images is None else self.images.reading

    def said_of(self, images: ImageSet) -> list[str]:
        """Sentences on images to be judged that the run learnt from, or that this cannot be told."""
        if self.images is None:
            return [f"{self.path} keeps no digests of its images, so test images that it learnt from are not found"]
        names = [item.name for item in images.items]
        return self.images.said_of(list(zip(names, images.digests(), strict=True)))

    @property
    def data(self) -> DataConfig:
        """What the data were asked for; UserError where the run does not know."""
        if self.data_config is None:
            raise UserError(f"{self.path} does not say which data it was trained on: train() was called without data=")
        return self.data_config

    @property
    def calibration(self) -> Calibration:
        """The threshold; UserError where the run has none."""
        if self.threshold is None:
            reason = (
                "no normal images were held out. Train again with some"
                if self.position.finished
                else "its training is not finished. Continue it with --resume"
            )
            raise UserError(f"{self.path} has no threshold: {reason}")
        return self.threshold


@own_draws()
def load_run(path: str | Path) -> Run:
    """Read a run directory.

    Raises:
        UserError: no such directory, not a run, a run of another version, or a damaged file; names it and the remedy.
    """
    path = Path(path)
    config = read_config(path)
    try:
        train = TrainConfig.from_dict(config["training"])
        data = None if config["data"] is None else DataConfig.from_dict(config["data"])
        made = config["detector"]
        name, options = made["name"], {"channels": made["channels"], "size": made["size"], **made["options"]}
        corruption = _corruption_from(config["corruption"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / CONFIG} cannot be used: {error}. Was it changed by hand?") from error
    try:
        detector = create(name, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"the detector of the run {path} cannot be built: {error}") from error
    if not (path / CHECKPOINT).exists():
        raise UserError(f"{path} holds no {CHECKPOINT} yet: no epoch was finished. Continue the training with --resume")
    digest = digest_of(path)  # before it is read: a checkpoint that is replaced meanwhile is another
    checkpoint = read(path / CHECKPOINT)
    checkpoint.restore_model(detector)
    threshold = read_calibration(path) if checkpoint.position.finished else None
    found, images = provenance_of(path), read_images(path)
    return Run(path, detector.eval(), train, corruption, checkpoint.position, data, threshold, found, images, digest)


def weights_of(epochs: int, chosen: int | None) -> dict[str, Any]:
    """Which epoch's weights a phase left; ``chosen``: by the judge, on held-out normal images."""
    return {"epochs": epochs, "kept": chosen or epochs, "kept_by": "judge" if chosen else "last"}


def describe(
    config: TrainConfig, data: DataConfig | None, detector: Detector, spec: BoxNoise | FullGaussian | None
) -> dict[str, Any]:
    """What ``config.json`` holds."""
    asked = {
        "format": FORMAT,
        "version": __version__,
        "training": config.to_dict(),
        "data": None if data is None else data.to_dict(),
        "detector": {
            "name": detector.name,
            "channels": detector.channels,
            "size": detector.size,
            "options": detector.options,
        },
        "corruption": None if spec is None else spec.to_dict(),
    }
    # Through JSON, so that it compares equal to what is read back (tuples become lists).
    return json.loads(json.dumps(asked))  # type: ignore[no-any-return]


@contextmanager
def only_writer(path: Path, *, resume: bool) -> Iterator[None]:
    """Inside, no other process trains into the run directory; the system ends the claim with the process.

    A folder that holds other things than a run is left alone, and none is made to be resumed (:func:`prepare` refuses).

    Raises:
        UserError: another process trains into it, or the folder cannot be written.
    """
    if (_holds_others(path) or resume) and not (path / CONFIG).exists():
        yield
        return
    lock = FileLock(path / LOCK, timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"another process is training into {path}. Wait for its end, stop it, or give another folder with --out"
        ) from error
    except OSError as error:
        raise UserError(f"cannot write into {path}: {error.strerror}. Give another folder with --out") from error
    try:
        yield
    finally:
        lock.release()


def refuse_taken(path: Path, *, resume: bool) -> None:
    """Check, before any work, that a run may be written to ``path``, or continued there.

    A run that failed before its first epoch ended holds nothing that was learnt: it does not stand in the way.

    Raises:
        UserError: something else is there and ``resume`` is off, or nothing is there to resume, or the place cannot be
            written.
    """
    if resume:
        read_config(path)
        return
    if (path / CONFIG).exists() and not _is_bare(path):
        raise UserError(f"{path} holds a run already. Continue it with --resume, or give another folder with --out")
    if not (path / CONFIG).exists() and _holds_others(path):
        raise UserError(f"{path} exists and is not an empty folder; nothing was changed. Give another with --out")


def prepare(path: Path, description: Mapping[str, Any], *, resume: bool, images: Kept | None = None) -> None:
    """Make the run directory, or check that the one that is there may be continued.

    Args:
        path: the run directory.
        description: what the run was asked for.
        resume: go on with the run that is there.
        images: what the run learns from; None keeps and compares nothing.

    Raises:
        UserError: what :func:`refuse_taken` refuses; or what is there was asked for with other values, or over other
            images, which are named. Nothing is changed then.
    """
    refuse_taken(path, resume=resume)
    if not resume or _is_bare(path):
        path.mkdir(parents=True, exist_ok=True)
        for pattern in ("*.csv", "warnings.txt", "events.*"):  # of a start that failed
            for file in (path / LOG).glob(pattern):
                file.unlink(missing_ok=True)
        (path / PROVENANCE).unlink(missing_ok=True)
        write_json(path / CONFIG, description)
        if images is not None:
            # Escaped, for names may hold bytes that are no text.
            write_json(path / IMAGES, images.to_dict(), indent=None)
        return
    was, now = _flat(_with_defaults(read_config(path))), _flat(description)
    differ = [
        f"{name}: the run has {was.get(name)!r}, asked for was {now.get(name)!r}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name) and name not in ("version", *_PLACE)
    ]
    # What follows from a setting that differs would only repeat it.
    for setting, follows in (("training.corruption", "corruption."), ("training.model", "detector.")):
        if any(text.startswith(setting) for text in differ):
            differ = [text for text in differ if not text.startswith(follows)]
    if differ:
        raise UserError(
            f"{path} cannot be resumed with other settings:\n  " + "\n  ".join(differ) + "\n"
            "Resume with the settings of the run, or train into another folder with --out"
        )
    before = read_images(path)
    if images is not None and before is not None and (why := before.differs(images)):
        raise UserError(
            f"{path} cannot be resumed over other images:\n  {why}\n"
            "Put the images back as they were, or train into another folder with --out"
        )


def _is_bare(path: Path) -> bool:
    """Whether a run directory holds settings and a log at most: no epoch was finished, nothing else lies there."""
    return all(p.name in (CONFIG, IMAGES, PROVENANCE, LOCK, LOG) or _left(p.name) for p in path.iterdir())


def _holds_others(path: Path) -> bool:
    """Whether a path that is no run is anything but free."""
    return path.exists() and (not path.is_dir() or any(p.name != LOCK and not _left(p.name) for p in path.iterdir()))


def _left(name: str) -> bool:
    """Whether a kill left this file where a training began to write, before its first epoch ended."""
    return is_leftover(name, (CONFIG, IMAGES, PROVENANCE, CHECKPOINT))


def corruption_of(name: str, setting: str = "corruption") -> BoxNoise | FullGaussian | None:
    """The corruption that a setting of a run asks for, by name or from a file.

    Raises:
        UserError: neither a name nor a usable file.
    """
    try:
        return named(name)
    except ValueError as error:
        if Path(name).exists():
            return load_spec(name)
        raise UserError(f"{setting}: {error}, or a spec file; there is no file {name}") from None


def _corruption_from(values: dict[str, Any] | None) -> BoxNoise | FullGaussian | None:
    if values is None:
        return None
    return FullGaussian.from_dict(values) if values.get("type") == "FullGaussian" else BoxNoise.from_dict(values)


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """Settings with the options that its detector did not have when the run was made, at their defaults."""
    made = config["detector"]
    try:
        options = find(made["name"]).options_type.of(made["options"]).to_dict()
    except (ValueError, TypeError):  # what is wrong with them, the comparison says
        return config
    return {**config, "detector": {**made, "options": options}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted name, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
