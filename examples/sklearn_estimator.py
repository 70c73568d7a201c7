"""A detector as a scikit-learn estimator, beside one of scikit-learn's own, on the same arrays."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from unblot.sklearn import AnomalyDetector


def main(epochs: int = 30) -> dict[str, float]:
    """AUROC of the digit 3 against the digit 1, which both were fitted on."""
    images, digit = load_digits(return_X_y=True)
    half = len(images) // 2
    normal = images[:half][digit[:half] == 1]
    test, truth = images[half:], digit[half:]
    test, truth = test[(truth == 1) | (truth == 3)], truth[(truth == 1) | (truth == 3)]
    found = {}
    for estimator in (
        AnomalyDetector("dae", size=16, epochs=epochs, batch_size=16, lr=2e-3, value_range=(0, 16), random_state=0),
        IsolationForest(random_state=0),
    ):
        estimator.fit(normal)
        found[type(estimator).__name__] = float(roc_auc_score(truth == 1, estimator.score_samples(test)))
    return found


if __name__ == "__main__":
    for name, auroc in main().items():
        print(f"{name:<16} AUROC {auroc:.3f}")
