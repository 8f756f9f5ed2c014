# SPDX-License-Identifier: Apache-2.0
"""The distribution is `gpushare-suite`; `gpushare` on PyPI is another project (ADR 0051)."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

import gpushare
from gpushare.model.version import DISTRIBUTION

ROOT = Path(__file__).parents[1]
INSTALLERS = r"(?:pip3?|pipx|uvx?|python3? -m pip)(?: pip| tool)? (?:install|download|run|add)"
# The name alone, with an extra or with a version: not as a part of a path or of a longer name.
STRANGER = re.compile(INSTALLERS + r"[^\n`]*?(?<![\w./-])gpushare(?![\w./-])|\bgpushare\[\w")


@pytest.mark.parametrize(
    "line",
    [
        "pip install gpushare",
        "pip install 'gpushare[daemon]'",
        "python -m pip install --upgrade gpushare==0.1",
        "uv tool install gpushare",
        "pipx install gpushare # client",
        "the extra gpushare[secure]",
    ],
)
def test_the_other_project_is_recognised(line: str) -> None:
    assert STRANGER.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install gpushare-suite",
        "pip install dist/gpushare_suite-0.1.0-py3-none-any.whl && gpushare version",
        "pip install --editable . # installs gpushare",
        "/opt/gpushare/bin/pip install ./gpushare_suite.whl",
    ],
)
def test_our_own_distribution_is_not(line: str) -> None:
    assert not STRANGER.search(line.partition(" &&")[0].partition(" #")[0])


def shipped() -> Iterator[Path]:
    """Every file that a user may read, and every one that prints something."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of files")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path != Path(__file__) and path.suffix not in {".json", ".gz", ".png", ".svg"}:
            yield path


def test_no_hint_and_no_page_installs_another_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in shipped()
        if path.is_file()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if STRANGER.search(line)
    ]
    assert not found, "\n".join(["", *found])


def test_the_code_and_the_package_have_one_name_and_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["name"] == DISTRIBUTION
    assert version(DISTRIBUTION) == gpushare.__version__


def test_one_installation_brings_the_client_and_the_daemon() -> None:
    """Extras would be names that a user has to know before anything works."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert "optional-dependencies" not in project
    assert {"uvicorn", "starlette", "cryptography"} <= {
        re.split(r"[<>=]", each)[0] for each in project["dependencies"]
    }


def test_the_command_keeps_its_name() -> None:
    (script,) = distribution(DISTRIBUTION).entry_points.select(group="console_scripts")

    assert script.name == "gpushare"
    assert script.value == "gpushare.cli:main"
