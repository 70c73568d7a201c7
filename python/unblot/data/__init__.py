"""Images from data sets and folders, split by group into train, held-out and test."""

from unblot.data.config import DataConfig
from unblot.data.groups import find_groups
from unblot.data.imageset import ImageSet
from unblot.data.items import Found, Item, Source
from unblot.data.loading import (
    DATA_SETS,
    Splits,
    class_names,
    exact_repeats,
    find_images,
    load_data,
    load_found,
    load_paths,
)
from unblot.data.splits import split_by_group

__all__ = [
    "DATA_SETS",
    "DataConfig",
    "Found",
    "ImageSet",
    "Item",
    "Source",
    "Splits",
    "class_names",
    "exact_repeats",
    "find_groups",
    "find_images",
    "load_data",
    "load_found",
    "load_paths",
    "split_by_group",
]
