"""Finds a detector by its name.

The detector NAME is the class whose ``name`` is NAME, in the file ``NAME.py`` of this folder or of ``baselines``. The
file is imported when the detector is first asked for. A detector from elsewhere is made known with :func:`register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from unblot.detectors.contract import Detector, Recommended
from unblot.detectors.options import with_names_of_today

__all__ = ["available", "check_options", "create", "default_model", "find", "recommended", "register", "useful_size"]

_FOLDERS = ("unblot.detectors", "unblot.baselines")
_NO_DETECTORS = {"contract", "options", "registry"}
_FROM_ELSEWHERE: dict[str, type[Detector]] = {}
_D = TypeVar("_D", bound=Detector)


def default_model() -> str:
    """The detector that is trained where none is named.

    Example:
        >>> default_model() in available()
        True
    """
    return "auto"


def available() -> list[str]:
    """Names of all detectors, sorted.

    Example:
        >>> "nested" in available()
        True
    """
    return sorted({*_files(), *_FROM_ELSEWHERE})


def find(name: str) -> type[Detector]:
    """The class of a detector.

    Raises:
        ValueError: there is no detector of this name; the text lists those that there are.
    """
    if name in _FROM_ELSEWHERE:
        return _FROM_ELSEWHERE[name]
    module = _files().get(name)
    if module is None:
        raise ValueError(f"no detector named {name!r}; available: {', '.join(available())}")
    for cls in vars(import_module(module)).values():
        if isinstance(cls, type) and issubclass(cls, Detector) and vars(cls).get("name") == name:
            return cls
    raise ValueError(f"{module} has no detector named {name!r}; a detector's name is that of its file")


def register(cls: type[_D]) -> type[_D]:
    """Make a detector from elsewhere known under its ``name``; also as a decorator.

    Raises:
        ValueError: there is another detector of this name.
    """
    if cls.name in available():
        raise ValueError(f"a detector named {cls.name!r} exists already: {find(cls.name).__qualname__}")
    _FROM_ELSEWHERE[cls.name] = cls
    return cls


def recommended(name: str) -> Recommended:
    """The settings that a detector is best trained with.

    Raises:
        ValueError: no such detector.
    """
    return find(name).recommended


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what is wrong with a detector's options, without building it; give them by the names of today.

    Raises:
        ValueError: no such detector, an option that it does not have, or a value that is not accepted.

    Example:
        >>> check_options("dae", {"width": 16})
        {'width': 16}
        >>> check_options("dae", {"depth": 3})
        Traceback (most recent call last):
        ValueError: dae: there is no option 'depth'; there are width, latent
    """
    cls = find(name)
    try:
        cls.options_type.of(options)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return with_names_of_today(options)


def useful_size(name: str, size: int, options: Mapping[str, Any]) -> int:
    """At which size images are worth loading for a detector with these options: :meth:`Detector.useful_size`.

    Raises:
        ValueError: no such detector, or options that it does not take.

    Example:
        >>> useful_size("memory", 512, {"backbone": "filters"}), useful_size("memory", 512, {})
        (256, 512)
    """
    return find(name).useful_size(size, check_options(name, options))


def create(name: str, *, channels: int, size: int, **options: Any) -> Detector:
    """Build a detector by name with its own keyword options.

    Raises:
        ValueError: no such detector, options or sizes that it does not take.
    """
    return find(name)(channels=channels, size=size, **check_options(name, options))


def _files() -> dict[str, str]:
    """The module of each built-in detector by its name."""
    found: dict[str, str] = {}
    for package in _FOLDERS:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            names = {path.stem for path in Path(folder).glob("[!_]*.py")} - _NO_DETECTORS
            found |= {name: f"{package}.{name}" for name in names}
    return found
