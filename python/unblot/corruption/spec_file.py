"""A corruption as a file of JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

from unblot.corruption.spec import BoxNoise, FullGaussian, Spec
from unblot.corruption.value import from_json
from unblot.errors import UserError
from unblot.files import write_json

__all__ = ["load_spec", "save_spec"]


def save_spec(spec: Spec, path: str | os.PathLike[str]) -> None:
    """Write ``spec`` as JSON; a file that exists is replaced whole or not at all."""
    write_json(path, spec.to_dict())


def load_spec(path: str | os.PathLike[str]) -> Spec:
    """Read what :func:`save_spec` wrote, or a hand-written file such as ``{"type": "BoxNoise", "scale": [0.1, 0.3]}``.

    Raises:
        UserError: the file cannot be read, is not JSON, or does not describe a corruption; the text names the file.
    """
    try:
        return cast(Spec, from_json(json.loads(Path(path).read_text(encoding="utf-8")), (BoxNoise, FullGaussian)))
    except OSError as error:
        raise UserError(f"corruption file {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"corruption file {path}: {error}") from error
