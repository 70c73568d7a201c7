"""The workflows: well formed, no token, all that a change must pass; only what publishes may prove who it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (it comes with the extra docs)")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "password" not in text
    return dict(yaml.safe_load(text)["jobs"])


def test_three_systems_get_wheels(jobs: dict[str, Any]) -> None:
    names = {entry["name"] for entry in jobs["wheel"]["strategy"]["matrix"]["include"]}
    assert {name.partition("-")[0] for name in names} == {"linux", "macos", "windows"}


def test_only_a_tag_publishes_and_only_what_was_tried(jobs: dict[str, Any]) -> None:
    publish = jobs["publish"]
    assert "refs/tags/v" in publish["if"]
    assert set(publish["needs"]) == {"wheel", "sdist", "version"}
    assert publish["permissions"]["id-token"] == "write"
    assert all("permissions" not in job for name, job in jobs.items() if name != "publish")
    for name in ("wheel", "sdist"):
        assert any("try_wheel.py" in step.get("run", "") for step in jobs[name]["steps"])


def test_a_change_must_pass_tests_lints_and_the_site() -> None:
    """``make test`` runs the examples and the code blocks of the documents, too: they are tests."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request" in workflow[True]  # YAML takes the word "on" for a truth value
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    made = {word for step in steps for word in re.findall(r"\bmake ([\w-]+)", step.get("run", ""))}
    assert made == {"test", "lint", "docs", "bench-smoke"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert made <= targets
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"].removeprefix(">=") in workflow["jobs"]["test"]["strategy"]["matrix"]["python"]


@pytest.mark.parametrize("name", ["ci", "release"])
def test_every_action_has_a_version_and_every_script_is_there(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    for job in yaml.safe_load(text)["jobs"].values():
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./-]+", step.get("uses", "a/b@c"))
            for script in re.findall(r"tools/\w+\.py", step.get("run", "")):
                assert (ROOT / script).is_file()


def test_the_wheel_is_for_every_python_that_the_metadata_promise() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    oldest = project["requires-python"].removeprefix(">=")
    assert f"abi3-py{oldest.replace('.', '')}" in cargo["workspace"]["dependencies"]["pyo3"]["features"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", cargo["workspace"]["package"]["version"])  # semantic
