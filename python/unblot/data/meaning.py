"""What names of folders and files say: normal, defect, mask. A name that is no more than a hint is asked about."""

from __future__ import annotations

import re
from pathlib import PurePath

__all__ = ["mask_of", "may_be_normal", "means_abnormal", "same_folder"]

_NORMAL = (
    "good|ok|okay|normals?|pass|passed|fine|intact|healthy|defect[ _-]?free|no[ _-]?defects?|non[ _-]?defective|i[.]?o"
)
_MORE = r"([ _.-]?\d+|[ _.-].*)?"
_LIKELY = re.compile(f"({_NORMAL}){_MORE}", re.IGNORECASE)
_BAD = re.compile(
    "(bad|ng|nok|not[ "
    f"_-]?(good|ok)|n[.]?i[.]?o|defect(s|ive)?|abnormal|anomal(y|ies|ous)|fail(ed|ure)?|fault(y|s)?){_MORE}",
    re.IGNORECASE,
)
_MASK = re.compile(r"(.+?)[ _.-](masks?|gt|labels?|seg|segmentation|annotation)", re.IGNORECASE)


def may_be_normal(name: str) -> bool:
    """Whether a folder's name suggests normal images, such as good_cam2 or OK.

    Example:
        >>> [name for name in ("Good", "ok", "good_cam2", "goodyear", "scratch", "defect") if may_be_normal(name)]
        ['Good', 'ok', 'good_cam2']
    """
    return _LIKELY.fullmatch(name) is not None and not means_abnormal(name)


def means_abnormal(name: str) -> bool:
    """Whether a folder's name suggests abnormal images of some kind.

    Example:
        >>> [name for name in ("bad", "NG", "defects", "defect-free", "good") if means_abnormal(name)]
        ['bad', 'NG', 'defects']
    """
    return _BAD.fullmatch(name) is not None and not re.fullmatch(r"(defect)[ _-]?free", name, re.IGNORECASE)


def mask_of(stem: str) -> str | None:
    """The stem of the image that a file is named as the mask of; None for other names.

    Example:
        >>> mask_of("003_mask"), mask_of("003-GT"), mask_of("003")
        ('003', '003', None)
    """
    found = _MASK.fullmatch(stem)
    return found[1] if found else None


def same_folder(name: str, wanted: str) -> bool:
    """Whether two names of folders are the same but for case and separators, such as GroundTruth and ground_truth."""
    return re.sub(r"[ _-]", "", PurePath(name).name).casefold() == re.sub(r"[ _-]", "", wanted).casefold()
