"""The pictures of the documents, made from a run: ``python -m research.pictures runs/demo``.

``docs/found.png`` shows an abnormal image and a normal one, each beside its map and the verdict. ``docs/report.png`` is
the report in a browser, its upper part beside one image opened; it needs selenium and Chromium.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from unblot.data import load_data
from unblot.evaluation import score_set
from unblot.training import Run, load_run

DOCS = Path(__file__).parents[1] / "docs"
SIDE = 3.0  # inches of a picture


def found(run: Run, out: Path) -> None:
    """The abnormal image whose score is the median of those found, and the normal one with the median score."""
    assert run.data is not None and run.calibration is not None, "a run of a data set, with a threshold"
    test = load_data(run.data, progress=False).test
    scored = score_set(run.detector, test, progress=False)
    threshold = run.calibration.threshold
    rows = []
    for label, kept in ((1, scored.image > threshold), (0, scored.image <= threshold)):
        among = np.flatnonzero((test.labels == label) & kept)
        rows.append(int(among[np.argsort(scored.image[among])[len(among) // 2]]))
    low, high = float(np.quantile(scored.maps, 0.5)), float(scored.maps[rows[0]].max())
    with matplotlib.rc_context({"font.size": 13}):
        figure = Figure(figsize=(3 * SIDE, 2 * SIDE), layout="constrained")
        for row, at in enumerate(rows):
            image, anomaly = np.asarray(test[at]["image"])[0], scored.maps[at].squeeze()
            score, kind = float(scored.image[at]), test.items[at].kind
            axes = [figure.add_subplot(2, 3, 3 * row + column) for column in (1, 2, 3)]
            axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
            axes[0].set_title(f"a {kind}" if row else f"a {kind}, never trained on")
            axes[1].imshow(image, cmap="gray", vmin=0, vmax=255)
            axes[1].imshow(anomaly, cmap="inferno", vmin=low, vmax=high, alpha=0.6)
            axes[1].set_title("where it differs")
            verdict = "abnormal" if score > threshold else "normal"
            axes[2].text(
                0.5, 0.6, verdict, ha="center", fontsize=26, color="#b3261e" if verdict == "abnormal" else "#2e7d32"
            )
            axes[2].text(0.5, 0.4, f"score {score:.2f}\nthreshold {threshold:.2f}", ha="center", va="top")
            for each in axes:
                each.set_axis_off()
        figure.savefig(out, dpi=110, metadata={"Software": "unblot, plot"})


def report(page: Path, out: Path) -> None:
    """The upper part of a report, and beside it one image opened, in dark colours."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By

    pictures = []
    for dark in (False, True):
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,1000"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
        try:
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            browser.get(page.resolve().as_uri())
            if dark:
                tile = browser.find_element(By.CSS_SELECTOR, ".tile")
                browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", tile)
            pictures.append(Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
        finally:
            browser.quit()
    both = Image.new("RGB", (sum(p.width for p in pictures), pictures[0].height))
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[1], (pictures[0].width, 0))
    both.quantize(128).save(out, optimize=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m research.pictures", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run that unblot eval has judged, such as runs/demo")
    folder = parser.parse_args().run
    with (folder / "eval" / "scores.csv").open(encoding="utf-8") as table:
        assert sum(1 for _ in csv.reader(table)) > 1, "the run has been judged"
    found(load_run(folder), DOCS / "found.png")
    report(folder / "eval" / "report.html", DOCS / "report.png")


if __name__ == "__main__":
    main()
