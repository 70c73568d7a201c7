"""Images from data sets and folders, split by group into train, held-out and test.

Names are loaded when they are first used: reading files (``pixels``, ``folders``) needs no torch, and an exported
detector scores without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot.data.config import DataConfig as DataConfig
    from unblot.data.groups import find_groups as find_groups
    from unblot.data.imageset import ImageSet as ImageSet
    from unblot.data.items import Found as Found
    from unblot.data.items import Item as Item
    from unblot.data.items import Source as Source
    from unblot.data.kept import Kept as Kept
    from unblot.data.loading import DATA_SETS as DATA_SETS
    from unblot.data.loading import Splits as Splits
    from unblot.data.loading import class_names as class_names
    from unblot.data.loading import exact_repeats as exact_repeats
    from unblot.data.loading import find_images as find_images
    from unblot.data.loading import find_reading as find_reading
    from unblot.data.loading import load_data as load_data
    from unblot.data.loading import load_found as load_found
    from unblot.data.loading import load_paths as load_paths
    from unblot.data.loading import usual_side as usual_side
    from unblot.data.reading import Reading as Reading
    from unblot.data.splits import split_by_group as split_by_group

__all__ = [
    "DATA_SETS",
    "DataConfig",
    "Found",
    "ImageSet",
    "Item",
    "Kept",
    "Reading",
    "Source",
    "Splits",
    "class_names",
    "exact_repeats",
    "find_groups",
    "find_images",
    "find_reading",
    "load_data",
    "load_found",
    "load_paths",
    "native_size",
    "split_by_group",
    "usual_side",
]

_HOME = {
    "DataConfig": "config",
    "find_groups": "groups",
    "ImageSet": "imageset",
    "Found": "items",
    "Item": "items",
    "Source": "items",
    "Kept": "kept",
    "Reading": "reading",
    "split_by_group": "splits",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'unblot.data' has no attribute {name!r}")
    value = getattr(import_module(f"unblot.data.{_HOME.get(name, 'loading')}"), name)
    globals()[name] = value
    return value
