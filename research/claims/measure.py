"""One training for each corruption and seed, and the differences that the claims make.

``dae`` learns digits with one class left out. Trainings of one seed share split, initial weights and order of the
images, so that the corruption alone differs and differences are taken seed by seed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from scipy.stats import t as student
from scipy.stats import ttest_rel

from research.claims.claims import CORRUPTIONS, PAIRS, Pair
from research.pages import table
from unblot.corruption import save_spec
from unblot.data import DataConfig, Splits, load_data
from unblot.evaluation import evaluate
from unblot.files import write_json, write_text
from unblot.training import TrainConfig, load_run, train

__all__ = ["Settings", "difference_table", "level_table", "measure", "read"]

FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """What all trainings of a folder share.

    Attributes:
        data: a data set of classes.
        left_out: the class that is abnormal.
        size: of the images, in pixels.
        width: of ``dae``.
        epochs: of each training.
        batch_size: images per step.
        lr: learning rate; above the default of ``dae``, for so few steps.
        threads: of torch.
    """

    data: str = "digits"
    left_out: str = "0"
    size: int = 32
    width: int = 8
    epochs: int = 3
    batch_size: int = 32
    lr: float = 2e-3
    threads: int = 1


def measure(
    out: Path, settings: Settings, *, corruptions: Sequence[str], seeds: Sequence[int], limit: int | None = None
) -> Iterator[Path]:
    """Train what is not there yet; each file is written when its training is judged, so a stopped run goes on.

    Args:
        out: folder of the files, one for each training.
        settings: of all trainings.
        corruptions: names of :data:`~research.claims.claims.CORRUPTIONS`.
        seeds: each draws the split, the weights and the corruption.
        limit: at most so many training images, for tests.

    Yields:
        The files that were written.

    Raises:
        ValueError: a name is unknown, or the folder holds trainings with other settings.
    """
    if unknown := sorted(set(corruptions) - set(CORRUPTIONS)):
        raise ValueError(f"no corruption named {', '.join(unknown)}; there are {', '.join(CORRUPTIONS)}")
    if (found := read(out)) and (other := found[0]["settings"]) != asdict(settings):
        raise ValueError(f"{out} holds trainings with other settings: {json.dumps(other)}; give another folder")
    torch.set_num_threads(settings.threads)
    for seed in seeds:
        for name in corruptions:
            path = out / f"{name}-seed{seed}.json"
            if not path.exists():
                out.mkdir(parents=True, exist_ok=True)
                write_json(path, _trained(name, settings, seed, limit))
                yield path


def _trained(name: str, settings: Settings, seed: int, limit: int | None) -> dict[str, Any]:
    """Train and judge, clean: what a file holds."""
    spec = CORRUPTIONS[name]
    with TemporaryDirectory() as folder:
        corruption = "none"
        if spec is not None:
            corruption = str(Path(folder) / "corruption.json")
            save_spec(spec, corruption)
        asked = TrainConfig(
            "dae",
            {"width": settings.width},
            corruption=corruption,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            seed=seed,
            device="cpu",
        )
        start = time.process_time()
        splits = _images(settings, seed, limit)
        train(asked, splits, Path(folder) / "run", progress=False)
        run = load_run(Path(folder) / "run")
        judged = evaluate(run.detector, splits, run.calibration, device="cpu", progress=False).metrics
        seconds = time.process_time() - start
    return {
        "format": FORMAT,
        "corruption": name,
        "spec": None if spec is None else spec.to_dict(),
        "seed": seed,
        "settings": asdict(settings),
        "images": {"training": len(splits.train), "test": len(splits.test)},
        "auroc": judged["auroc"],
        "auprc": judged["auprc"],
        "recall": judged["recall"],
        "processor_seconds": round(seconds, 2),
        "torch": torch.__version__.partition("+")[0],
    }


@lru_cache(maxsize=1)
def _images(settings: Settings, seed: int, limit: int | None) -> Splits:
    """The images of a seed, which all of its trainings share."""
    left_out = (settings.left_out,)
    images = DataConfig(settings.data, abnormal=left_out, size=settings.size, split_seed=seed, limit=limit)
    return load_data(images, progress=False)


def read(folder: Path) -> list[dict[str, Any]]:
    """The trainings of a folder."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*-seed*.json"))]
    if any(each["format"] != FORMAT for each in found):
        raise ValueError(f"{folder} holds trainings of another format; measure again")
    if len({json.dumps(each["settings"], sort_keys=True) for each in found}) > 1:
        raise ValueError(f"{folder} holds trainings with different settings; they cannot stand in one table")
    return found


def _aurocs(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    by_name: dict[str, dict[int, float]] = {}
    for each in found:
        by_name.setdefault(each["corruption"], {})[each["seed"]] = each["auroc"]
    return by_name


def compared(pair: Pair, found: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Difference in AUROC over the seeds that both have: mean, standard deviation, p, pairs; None below two pairs.

    Example:
        >>> ran = [
        ...     {"corruption": name, "seed": seed, "auroc": auroc}
        ...     for name, all_ in {"box": (0.8, 0.9, 0.7), "none": (0.7, 0.75, 0.65)}.items()
        ...     for seed, auroc in enumerate(all_)
        ... ]
        >>> round(compared(Pair(1, "box", "none"), ran)["mean"], 3)
        0.1
    """
    by_name = _aurocs(found)
    on, off = by_name.get(pair.on, {}), by_name.get(pair.off, {})
    seeds = sorted(set(on) & set(off))
    if len(seeds) < 2:
        return None
    differences = [on[seed] - off[seed] for seed in seeds]
    test = ttest_rel([on[seed] for seed in seeds], [off[seed] for seed in seeds])
    return {
        "on": statistics.mean(on[seed] for seed in seeds),
        "off": statistics.mean(off[seed] for seed in seeds),
        "mean": statistics.mean(differences),
        "deviation": statistics.stdev(differences),
        "p": float(test.pvalue),
        "pairs": len(seeds),
    }


def difference_table(found: Sequence[Mapping[str, Any]], pairs: Sequence[Pair] = PAIRS) -> str:
    """A row for each comparison that has been run, and how to read it."""
    done = {pair: of for pair in pairs if (of := compared(pair, found))}
    bound = 0.05 / len(done) if done else 0.05
    rows = [
        [
            str(pair.claim),
            f"`{pair.on}`",
            f"`{pair.off}`",
            f"{of['on']:.3f}",
            f"{of['off']:.3f}",
            f"{of['mean']:+.3f} ± {of['deviation']:.3f}",
            f"{of['p']:.4f}",
            str(of["pairs"]),
            ("more" if of["mean"] > 0 else "less") if of["p"] < bound else "not shown",
        ]
        for pair, of in done.items()
    ]
    missing = [f"{pair.claim} (`{pair.on}`, `{pair.off}`)" for pair in pairs if pair not in done]
    said = [
        table(["claim", "with", "without", "AUROC with", "without", "difference", "p", "pairs", "AUROC changes"], rows),
        f"Difference: mean ± standard deviation over the seeds. p is of a paired t test, not corrected. {len(done)} "
        f"comparisons were made, so only a p below {bound:.4f} (0.05 shared out) counts as a change.",
    ]
    if done:
        fewest = min(int(of["pairs"]) for of in done.values())
        needed = float(student.ppf(1 - bound / 2, fewest - 1)) / fewest**0.5
        said.append(
            f"With {fewest} pairs, a mean difference must be {needed:.1f} of its standard deviations for that. So "
            '"not shown" says that these runs cannot tell, not that nothing changes.'
        )
    if missing:
        said.append(f"Not run: claims {', '.join(missing)}.")
    return "\n\n".join(said)


def level_table(found: Sequence[Mapping[str, Any]]) -> str:
    """What was run, then AUROC of each corruption and seed."""
    if not found:
        return "Nothing has been run."
    one, by_name = found[0], _aurocs(found)
    of, seeds = one["settings"], sorted({each["seed"] for each in found})
    counts = sorted({each["images"]["training"] for each in found}), sorted({each["images"]["test"] for each in found})
    seconds = sum(each["processor_seconds"] for each in found)
    said = (
        f"What was run: {len(found)} trainings of `dae` on {of['data']} with class {of['left_out']} left out, "
        f"{of['size']} px, width {of['width']}, {of['epochs']} epochs, batches of {of['batch_size']}, rate {of['lr']}, "
        f"{' to '.join(map(str, counts[0]))} training and {' to '.join(map(str, counts[1]))} test images, seeds "
        f"{', '.join(map(str, seeds))}, {of['threads']} thread(s), torch {one['torch']}; {seconds / 60:.1f} minutes "
        "of a processor in all. Clean protocol, last epoch. Each seed draws its own split."
    )
    rows = []
    for name in CORRUPTIONS:
        if ran := by_name.get(name):
            each = [f"{ran[seed]:.3f}" if seed in ran else "–" for seed in seeds]
            rows.append([f"`{name}`", f"{statistics.mean(ran.values()):.3f}", *each])
    return f"{said}\n\n{table(['corruption', 'mean AUROC', *(f'seed {seed}' for seed in seeds)], rows)}"


def write_table(folder: Path) -> Path:
    """Write ``table.md`` into a folder of trainings."""
    found = read(folder)
    write_text(folder / "table.md", f"{difference_table(found)}\n\n{level_table(found)}\n")
    return folder / "table.md"
