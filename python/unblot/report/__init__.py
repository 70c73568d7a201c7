"""The report of an evaluation (the paper's figures 6 and 7), heat maps, the contact sheet of corruptions.

``write_report`` is loaded when it is first used: the contact sheet needs neither torch nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unblot.report.html import write_report as write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'unblot.report' has no attribute {name!r}")
    from unblot.report.html import write_report

    return write_report
