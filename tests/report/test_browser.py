"""The report in a real browser: headless Chromium, driven as a reader would, by keyboard where that is promised."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.test_report import page

selenium = pytest.importorskip("selenium", reason="selenium is not installed (extra dev)")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with chromedriver here (Debian: apt-get install chromium-driver)"
)

# Gray values and what is true of them, as the report's fixture has them: the detector calls those above 127.5 abnormal.
NORMAL = [10, 40, 70, 100, 130]
ABNORMAL = [90, 90, 200, 200, 250, 250]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1100,1400",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def report(browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    page(tmp_path, channels=3)
    browser.get((tmp_path / "report.html").as_uri())
    return browser


def get(browser: webdriver.Chrome, id_: str) -> WebElement:
    return browser.find_element(By.ID, id_)


def logged(browser: webdriver.Chrome, kind: str) -> list[dict[str, str]]:
    """What was logged since the last call."""
    return list(browser.get_log(kind))


def counts(browser: webdriver.Chrome) -> dict[str, int]:
    return {id_: int(get(browser, id_).text) for id_ in ("tn", "fp", "fn", "tp")}


def expected(gray: float) -> dict[str, int]:
    """The confusion matrix where images above a gray value are called abnormal."""
    fp, tp = sum(v > gray for v in NORMAL), sum(v > gray for v in ABNORMAL)
    return {"tn": len(NORMAL) - fp, "fp": fp, "fn": len(ABNORMAL) - tp, "tp": tp}


def tiles(browser: webdriver.Chrome) -> list[WebElement]:
    return [tile for tile in browser.find_elements(By.CSS_SELECTOR, ".tile") if tile.is_displayed()]


def test_counts_follow_the_slider(report: webdriver.Chrome) -> None:
    assert counts(report) == expected(127.5)
    assert not get(report, "looked").is_displayed()
    slider = get(report, "threshold")
    slider.send_keys(Keys.ARROW_RIGHT)  # from the calibrated threshold to the next score, that of 130
    assert counts(report) == expected(130)
    assert get(report, "looked").is_displayed()  # a threshold that test images chose is said to be one
    slider.send_keys(Keys.HOME)
    assert counts(report) == expected(0) == {"tn": 0, "fp": 5, "fn": 0, "tp": 6}
    assert get(report, "precision").text == "0.545"
    assert get(report, "recall").text == "1.000"
    assert get(report, "called").text == "11 of 11"
    for gray in (10, 40, 70, 90, 100, 127.5):
        slider.send_keys(Keys.ARROW_RIGHT)
        assert counts(report) == expected(gray)
    slider.send_keys(Keys.END)
    assert counts(report) == expected(250)
    assert get(report, "precision").text == "–"
    get(report, "reset").click()
    assert counts(report) == expected(127.5)
    assert not get(report, "looked").is_displayed()


def test_a_number_is_taken_exactly_and_marks_and_kinds_follow(report: webdriver.Chrome) -> None:
    def places() -> list[str | None]:
        return [get(report, f"{plot}-mark").get_attribute("transform") for plot in ("histogram", "roc", "pr")]

    before = places()
    field = get(report, "exact")
    field.clear()
    field.send_keys("0.3", Keys.ENTER)  # gray value 165.75: between 130 and 200
    assert counts(report) == expected(165.75)
    flagged = [cell.text for cell in report.find_elements(By.CSS_SELECTOR, "[data-flagged]")]
    assert flagged == ["0", "2", "2"]  # good, and two kinds of defect
    assert all(then != now for then, now in zip(before, places(), strict=True))


def test_a_click_into_the_histogram_takes_the_threshold_there(report: webdriver.Chrome) -> None:
    report.execute_script(
        """const box = document.getElementById("histogram-area").getBoundingClientRect();
        document.getElementById("histogram-plot").dispatchEvent(
            new PointerEvent("pointerdown", {clientX: box.right - 1, clientY: box.top + 5, bubbles: true}));"""
    )
    assert counts(report) == expected(250)


def test_images_are_filtered_by_kind_and_verdict(report: webdriver.Chrome) -> None:
    assert len(tiles(report)) == 11
    Select(get(report, "kind")).select_by_visible_text("abnormal: scratch")
    assert [tile.get_attribute("title") for tile in tiles(report)] == [f"scratch/{v}.png" for v in (250, 200, 90)]
    Select(get(report, "verdict")).select_by_value("missed")
    assert [tile.get_attribute("title") for tile in tiles(report)] == ["scratch/90.png"]
    assert get(report, "matching").text == "1 image"
    Select(get(report, "kind")).select_by_visible_text("all")
    report.find_element(By.CSS_SELECTOR, '[data-verdict="false-alarm"]').click()  # a cell of the confusion matrix
    assert [tile.get_attribute("title") for tile in tiles(report)] == ["good/130.png"]
    get(report, "threshold").send_keys(Keys.ARROW_RIGHT)  # now 130 is called normal
    assert tiles(report) == []
    report.find_element(By.CSS_SELECTOR, '[data-verdict="false-alarm"]').click()
    Select(get(report, "order")).select_by_value("low")
    assert tiles(report)[0].get_attribute("title") == "good/10.png"


def test_an_image_opens_and_the_keyboard_leads_on(report: webdriver.Chrome) -> None:
    first = tiles(report)[0]
    first.send_keys(Keys.ARROW_RIGHT)
    assert report.switch_to.active_element == tiles(report)[1]
    report.switch_to.active_element.send_keys(Keys.ENTER)
    viewer = get(report, "viewer")
    assert viewer.is_displayed()
    labels = [caption.text for caption in viewer.find_elements(By.TAG_NAME, "figcaption")]
    assert labels == ["original", "restored", "anomaly map"]
    widths = report.execute_script("return [...document.querySelectorAll('#pictures img')].map((i) => i.naturalWidth)")
    assert widths == [12, 12, 12]  # every picture really is one
    tops = {picture.location["y"] for picture in viewer.find_elements(By.TAG_NAME, "img")}
    assert len(tops) == 1  # side by side
    assert "found" in get(report, "viewer-text").text
    name = get(report, "viewer-name").text
    report.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert get(report, "viewer-name").text != name
    report.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not viewer.is_displayed()
    assert "tile" in str(report.switch_to.active_element.get_attribute("class"))  # where the reader was


def test_dark_and_light_follow_the_system_and_the_button(report: webdriver.Chrome) -> None:
    def background() -> str:
        return str(report.execute_script("return getComputedStyle(document.body).backgroundColor"))

    seen = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        report.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        seen[scheme] = background()
    assert seen["light"] != seen["dark"]
    get(report, "theme").click()  # light, though the system is dark
    assert background() == seen["light"]
    get(report, "theme").click()
    assert background() == seen["dark"]
    report.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_nothing_is_asked_of_a_network_and_nothing_fails(browser: webdriver.Chrome, tmp_path: Path) -> None:
    logged(browser, "performance")
    logged(browser, "browser")
    page(tmp_path)
    browser.get((tmp_path / "report.html").as_uri())
    sent = [entry["message"] for entry in logged(browser, "performance") if "requestWillBeSent" in entry["message"]]
    assert sent
    assert not [message for message in sent if '"url":"http' in message]
    assert logged(browser, "browser") == []  # no error of the script, nothing refused by the policy
