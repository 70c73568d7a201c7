"""After training: a detector settles on held-out normals, and the threshold is taken from images that it never saw.

Those are the held-out images, each scored as if the detector had not been calibrated on its group; and, where one
can tell how it would score a training image had it not been trained on that image's group, training images, too. A
memory can: it leaves out what it remembers of the group. So the threshold rests on hundreds of images of many groups
where tens of few are held out (cross-conformal prediction: Vovk, arXiv 1208.0806; jackknife+: Barber et al., arXiv
1905.02928).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from unblot.data import ImageSet, Splits
from unblot.models import Detector, to_signed
from unblot.scoring import calibrate, fewest, score_batches
from unblot.scoring.maps import MapRange
from unblot.training.config import TrainConfig
from unblot.training.feed import Anew
from unblot.training.judge import Judge
from unblot.training.monitor import Log
from unblot.training.run import CALIBRATION, NOTES, write_json

__all__ = ["settle"]

LEFT_OUT = 500  # training images at most that the threshold is taken from: more would move a 0.95 quantile little


def settle(
    fabric: Fabric,
    detector: Detector,
    config: TrainConfig,
    splits: Splits,
    judge: Judge | None,
    out: Path,
    log: Log | None,
    *,
    progress: bool,
) -> None:
    """Let a trained detector weigh its parts on held-out normal images, then take the threshold; both are kept in the
    run directory.

    Args:
        fabric: of the training.
        detector: trained; is put into eval mode.
        config: of the training.
        splits: of the training; only normal images are looked at.
        judge: makes defects that no part was trained on; None where there is none.
        out: the run directory.
        log: None in all processes but the one that writes.
        progress: show a progress bar (only where stderr is a terminal).
    """
    held_out = splits.held_out
    device = next((p.device for p in detector.parameters()), torch.device("cpu"))
    if len(held_out) == 0:
        if log:
            log.say_once("no threshold", "no normal images are held out, so this run can rank images but judge none")
        return
    detector.eval()
    with torch.no_grad():
        loader = DataLoader(held_out, batch_size=config.batch_size)
        normal = Anew(lambda: (to_signed(sample["image"].to(device)) for sample in loader))
        blotted = Anew(partial(judge.blotted, device)) if judge else ()
        apart = detector.calibrate(normal, blotted, torch.from_numpy(held_out.groups))
    scores, maps = np.zeros(len(held_out)), MapRange()
    for batch in score_batches(
        detector, held_out, batch_size=config.batch_size, device=device, progress=False, fabric=fabric
    ):
        scores[batch.index] = batch.image
        maps.add(batch.maps)
    if not log:
        return
    if notes := detector.notes():
        write_json(out / NOTES, notes)
    new = scores if apart is None else apart.cpu().numpy()
    picked = np.linspace(0, len(splits.train) - 1, min(len(splits.train), LEFT_OUT)).round().astype(np.int64)
    known = _left_out(detector, splits.train, picked, config.batch_size, device, progress=progress)
    groups = len(np.unique(held_out.groups)) + len(np.unique(splits.train.groups[picked][: len(known)]))
    calibration = calibrate(np.concatenate([new, known]), config.quantile, left_out=len(known))
    calibration = replace(calibration, map_range=maps.bounds())
    _say_doubts(log, calibration.n, groups, config.quantile)
    write_json(out / CALIBRATION, calibration.to_dict())


@torch.no_grad()
def _left_out(
    detector: Detector,
    images: ImageSet,
    picked: NDArray[np.int64],
    batch_size: int,
    device: torch.device,
    *,
    progress: bool,
) -> NDArray[np.float64]:
    """Scores of the picked images, each as if the detector had not seen its group; none where it cannot tell."""
    found: list[Tensor] = []
    loader = DataLoader(Subset(images, picked.tolist()), batch_size=batch_size)
    with tqdm(total=len(picked), desc="threshold", unit="img", delay=1, disable=None if progress else True) as bar:
        for sample in loader:
            scores = detector.score_left_out(to_signed(sample["image"].to(device)), sample["group"].to(device))
            if scores is None:
                return np.zeros(0)
            found.append(scores.cpu())
            bar.update(len(scores))
    return torch.cat(found).double().numpy()


def _say_doubts(log: Log, n: int, groups: int, quantile: float) -> None:
    """Warn of a threshold from few images or of few groups."""
    enough = fewest(quantile)
    if n < enough:
        log.say_once(
            "few held-out images",
            f"the threshold is the highest of {n} left-out scores, above which about 1 normal image in {n + 1} lies; "
            f"the quantile {quantile:g} takes {enough} (--held-out, or more normal images)",
        )
    elif groups < min(n, enough):
        log.say_once(
            "few groups",
            f"the {n} images that the threshold comes from are of {groups} groups, and from so few it is not known how "
            f"much the next differs: of its normal images more than {100 * (1 - quantile):.3g} % may lie above the "
            "threshold (images of more groups would tell)",
        )
