"""The files of a run directory that say what it is, without its network: reading them loads no torch.

:mod:`unblot.training.run` reads the whole run.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unblot import __version__
from unblot.calibration.thresholds import Calibration
from unblot.data.kept import Kept
from unblot.errors import UserError
from unblot.files import write_json

__all__ = [
    "CALIBRATION",
    "CHECKPOINT",
    "CONFIG",
    "FORMAT",
    "IMAGES",
    "PROVENANCE",
    "add_provenance",
    "digest_of",
    "provenance_of",
    "read_calibration",
    "read_config",
    "read_images",
]

FORMAT = 2
CONFIG, CHECKPOINT, CALIBRATION = "config.json", "checkpoint.safetensors", "calibration.json"
PROVENANCE, IMAGES = "provenance.json", "images.json"


def digest_of(path: Path) -> str:
    """A SHA-256 of a run's settings and weights, which decide its scores; empty where they cannot be read."""
    try:
        parts = [hashlib.sha256((path / name).read_bytes()).digest() for name in (CONFIG, CHECKPOINT)]
    except OSError:
        return ""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def provenance_of(path: Path) -> dict[str, Any]:
    """What is known of how a run came about; empty where nothing is.

    Raises:
        UserError: the file is damaged.
    """
    try:
        found = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path / PROVENANCE} cannot be read: {error}. Was it changed by hand?") from error
    return found if isinstance(found, dict) else {}


def add_provenance(path: Path, **values: dict[str, Any]) -> None:
    """Add what just happened to what is known of a run."""
    known = provenance_of(path)
    write_json(path / PROVENANCE, {**known, **{key: {**known.get(key, {}), **new} for key, new in values.items()}})


def read_config(path: Path) -> dict[str, Any]:
    """What a run was asked for, in JSON values.

    Raises:
        UserError: no such directory, not a run, a run of another version, or a damaged file.
    """
    if not path.is_dir():
        raise UserError(f"there is no run at {path}. Give the folder that a training wrote (its --out)")
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        version = config["format"]
    except FileNotFoundError:
        raise UserError(f"{path} is not a run: it holds no {CONFIG}. Give the folder that a training wrote") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / CONFIG} cannot be read as the settings of a run: {error!r}") from error
    if version != FORMAT:
        by = config.get("version", "another version")
        raise UserError(
            f"{path} is a run of format {version!r}, written by unblot {by}; this is unblot {__version__}, "
            f"which reads format {FORMAT}. Use that version, or train again: {_retraining(config)}"
        )
    return config  # type: ignore[no-any-return]


def _retraining(config: Mapping[str, Any]) -> str:
    """The command that trains a run again, as far as its settings say it; they may be of any format."""
    data, training = config.get("data"), config.get("training")
    asked = data.get("data", "DATA") if isinstance(data, dict) else "DATA"
    model = ["--model", str(training["model"])] if isinstance(training, dict) and "model" in training else []
    return shlex.join(["unblot", "train", str(asked), *model, "--out", "ANOTHER_FOLDER"])


def read_images(path: Path) -> Kept | None:
    """What a run keeps of its images; None for runs that keep nothing.

    Raises:
        UserError: the file is damaged.
    """
    if not (path / IMAGES).exists():
        return None
    try:
        return Kept.from_dict(json.loads((path / IMAGES).read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / IMAGES} cannot be used: {error}. Was it changed by hand?") from error


def read_calibration(path: Path) -> Calibration | None:
    """The threshold of a finished run; None where it has none.

    Raises:
        UserError: the file is damaged.
    """
    if not (path / CALIBRATION).exists():
        return None
    try:
        return Calibration.from_dict(json.loads((path / CALIBRATION).read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{path / CALIBRATION} cannot be used: {why}. Was it changed by hand?") from error
