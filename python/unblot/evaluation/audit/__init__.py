"""What would fake a result: near-duplicates across a split, sessions, trivial facts, files that show nothing."""

from unblot.evaluation.audit.audit import audit, quick_warnings
from unblot.evaluation.audit.classes import ClassLeakage, class_leakage
from unblot.evaluation.audit.findings import FAKE, FINE, WARNING, Audit, Finding, Shown

__all__ = [
    "FAKE",
    "FINE",
    "WARNING",
    "Audit",
    "ClassLeakage",
    "Finding",
    "Shown",
    "audit",
    "class_leakage",
    "quick_warnings",
]
