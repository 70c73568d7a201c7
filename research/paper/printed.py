"""What the paper prints, to stand beside our own figures.

Source: Zhang Xuewu, "A fully-nested encoder-decoder framework for anomaly detection", 2022, DOI
10.19322/j.cnki.issn.1006-4710.2022.01.012: table 1 (AUROC) and table 2 (AUPRC) on CIFAR-10 with one class left out,
table 3 on a set of parts of its own that is not public. The averages are the paper's own.
"""

from __future__ import annotations

from unblot.data.cifar10 import CLASSES

__all__ = ["TABLE_1", "TABLE_2", "TABLE_3", "printed"]

# By detector: ten classes in the order of CLASSES, then the average.
TABLE_1 = {
    "f_anogan": (0.529, 0.731, 0.389, 0.482, 0.365, 0.517, 0.431, 0.603, 0.484, 0.697, 0.523),
    "ganomaly": (0.966, 0.691, 0.561, 0.637, 0.745, 0.722, 0.915, 0.632, 0.919, 0.711, 0.750),
    "skip_ganomaly": (0.997, 0.869, 0.661, 0.747, 0.927, 0.749, 0.974, 0.663, 0.968, 0.872, 0.843),
    "nested": (0.999, 0.947, 0.874, 0.877, 0.973, 0.839, 0.995, 0.864, 0.998, 0.901, 0.927),
}
TABLE_2 = {
    "ganomaly": (0.929, 0.516, 0.492, 0.525, 0.666, 0.604, 0.853, 0.501, 0.821, 0.525, 0.643),
    "skip_ganomaly": (0.997, 0.770, 0.558, 0.635, 0.911, 0.606, 0.961, 0.494, 0.943, 0.803, 0.768),
    "nested": (0.999, 0.912, 0.818, 0.825, 0.963, 0.707, 0.993, 0.775, 0.998, 0.836, 0.883),
}
# AUROC, AUPRC, F1, recall, precision; the threshold is 0.2.
TABLE_3 = {
    "ganomaly": (0.892, 0.887, 0.764, 0.682, 0.870),
    "skip_ganomaly": (0.873, 0.828, 0.775, 0.831, 0.733),
    "nested": (0.987, 0.967, 0.983, 1.000, 0.967),
}
_TABLES = {"auroc": TABLE_1, "auprc": TABLE_2}


def printed(data: str, model: str, metric: str) -> dict[str, float]:
    """The paper's figures by left-out class, and "average"; empty where it has none.

    Example:
        >>> printed("cifar10", "nested", "auroc")["bird"]
        0.874
    """
    row = _TABLES.get(metric, {}).get(model) if data == "cifar10" else None
    return dict(zip((*CLASSES, "average"), row, strict=True)) if row else {}
