# SPDX-License-Identifier: Apache-2.0
"""`make setup` without root: where Python has no ensurepip, and where nothing can be fetched."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE_VENV, PIP = ROOT / "scripts/make-venv", ROOT / "scripts/pip"
# Python reads it at its start; Debian's Python without python3-venv has no such module either.
WITHOUT_ENSUREPIP = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "ensurepip":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
# Stands for apt-get: `download` leaves the package in the current folder, as apt does.
APT = """#!/bin/sh
echo "$@" >> '{calls}'
for word in "$@"; do last=$word; done
case " $* " in
*" download "*) {download} ;;
*" update "*) {update} ;;
esac
"""


# Stands for pip: it reports what it was asked for and with which settings.
FAKE_PIP = """
import os, pathlib, sys
line = " ".join([*sys.argv[1:], "PIP_USER=" + os.environ.get("PIP_USER", "")])
pathlib.Path(sys.prefix, "pip-was-asked").write_text(line)
"""


def pip_wheel(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pip-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pip/__init__.py", "")
        wheel.writestr("pip/__main__.py", FAKE_PIP)
    return path


class Newcomer:
    """A user on a machine whose Python has no ensurepip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / "a clone" / ".venv"
        self.venv.parent.mkdir()
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "sitecustomize.py").write_text(WITHOUT_ENSUREPIP)
        self.env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "GPUSHARE_PIP_WHEELS": str(folder / "none"),
        }

    def package(self) -> Path:
        """What apt would fetch: pip's wheel, where Debian has it."""
        tree = self.folder / "package"
        pip_wheel(tree / "usr/share/python-wheels")
        control = tree / "DEBIAN" / "control"
        control.parent.mkdir()
        control.parent.chmod(0o755)  # dpkg-deb refuses what a strict umask makes
        control.write_text(
            "Package: python3-pip-whl\nVersion: 1\nArchitecture: all\n"
            "Maintainer: a test <test@example.org>\nDescription: pip\n"
        )
        built = self.folder / "python3-pip-whl_1_all.deb"
        subprocess.run(["dpkg-deb", "--build", tree, built], check=True, capture_output=True)
        return built

    def apt(self, download: str, update: str = "true") -> None:
        program = self.bin / "apt-get"
        program.write_text(APT.format(calls=self.calls, download=download, update=update))
        program.chmod(0o755)

    def asked_of_pip(self) -> str:
        return (self.venv / "pip-was-asked").read_text()

    def make_venv(self) -> subprocess.CompletedProcess[str]:
        command = [MAKE_VENV, sys.executable, self.venv]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False, timeout=100
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("not Debian, whose Python is the one that can be without ensurepip")
    return Newcomer(tmp_path)


def test_without_ensurepip_pip_comes_from_debians_package(newcomer: Newcomer) -> None:
    newcomer.apt(f"cp '{newcomer.package()}' .")

    made = newcomer.make_venv()

    assert made.returncode == 0, made.stderr
    asked = newcomer.asked_of_pip()
    assert re.search(r" install --no-index \S+/pip-1-py3-none-any.whl ", asked)
    assert "PIP_USER=0" in asked, "settings for the user would install it elsewhere"
    assert (newcomer.venv / "bin" / "python").exists()


def test_lists_of_packages_are_fetched_where_the_machine_has_none(newcomer: Newcomer) -> None:
    package = newcomer.package()
    newcomer.apt(f"[ -e lists/partial/done ] && cp '{package}' .", "touch lists/partial/done")

    made = newcomer.make_venv()

    assert made.returncode == 0, made.stderr
    first, update, second = newcomer.calls.read_text().splitlines()
    assert first == "download python3-pip-whl"
    assert "Dir::State::lists=" in update
    assert second.endswith(first)


@pytest.mark.parametrize(
    "words", ["echo 'E: Could not resolve the host' >&2; exit 100", "exit 100"]
)
def test_where_pip_cannot_be_had_one_line_asks_before_anything_is_written(
    newcomer: Newcomer, words: str
) -> None:
    newcomer.apt(words, words)

    made = newcomer.make_venv()

    assert made.returncode == 1
    lines = made.stderr.splitlines()
    assert "apt-get install python3-venv" in lines[0]
    assert lines[1:] == (["       E: Could not resolve the host"] if "echo" in words else [])
    assert not newcomer.venv.exists()
    assert not list(newcomer.folder.glob("tmp.*"))


def test_a_wheel_on_the_machine_is_taken_before_anything_is_fetched(newcomer: Newcomer) -> None:
    newcomer.apt("exit 100")
    newcomer.env["GPUSHARE_PIP_WHEELS"] = str(pip_wheel(newcomer.folder / "wheels").parent)

    assert newcomer.make_venv().returncode == 0
    assert not newcomer.calls.exists()


def test_a_compiler_without_headers_is_named_before_anything_is_written(
    newcomer: Newcomer,
) -> None:
    compiler = newcomer.bin / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)

    made = newcomer.make_venv()

    assert made.returncode == 1
    assert "apt-get install libc6-dev" in made.stderr
    assert not newcomer.venv.exists()


def test_where_packages_cannot_be_fetched_pips_settings_are_named(tmp_path: Path) -> None:
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    command = [PIP, sys.executable, "download", "--dest", tmp_path, "a-package-that-is-not-there"]

    asked = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=100
    )

    assert asked.returncode == 1
    for word in ("PIP_INDEX_URL", "https_proxy", "PIP_FIND_LINKS", "run make again"):
        assert word in asked.stderr


@pytest.mark.parametrize(("name", "fits"), [("clone", True), ("a clone", False), ("a:b", False)])
def test_tests_ask_for_a_path_that_the_dynamic_linker_can_name(
    tmp_path: Path, name: str, *, fits: bool
) -> None:
    clone = tmp_path / name
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    asked = subprocess.run(
        ["make", "one-word-path"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert (asked.returncode == 0) == fits
    assert ("LD_PRELOAD" in asked.stderr) != fits
