# SPDX-License-Identifier: Apache-2.0
"""What commands load: start-up time is a feature, and they do without packages of the daemon."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.cli._group import VERBS, Verb
from support.daemon import Daemon

SECURE = {"cryptography", "joserfc"}
DAEMON = {"prometheus_client", "starlette", "structlog", "uvicorn"} | SECURE
SLOW = DAEMON | {
    "asyncio", "importlib.metadata", "psutil", "pynvml", "rich", "sqlite3", "tomli_w", "wcwidth",
    "yaml",
}  # fmt: skip

LOADED = """
import json, os, sys
before = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
from gpushare.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
os.write(before, json.dumps(sorted(sys.modules)).encode())
"""
IMPORTED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from gpushare.cli import main
main(sys.argv[1:])
"""


def python(
    source: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded(source: str, *arguments: str, env: dict[str, str] | None = None) -> set[str]:
    done = python(source, *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def without_the_daemon(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return python(WITHOUT.format(names=DAEMON), *arguments, env=env)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_verb_loads_nothing_slow_before_it_runs(verb: Verb) -> None:
    assert not loaded(IMPORTED, f"gpushare.cli.{verb.module}") & SLOW


def test_the_version_is_printed_without_reading_anything() -> None:
    found = loaded(LOADED, "--version")

    assert not found & (SLOW | {"http.client", "tomllib", "difflib"})
    assert not [name for name in found if name.startswith("gpushare.client")]


def test_a_package_is_imported_without_its_rooms() -> None:
    found = loaded(IMPORTED, "gpushare")
    rooms = {name for name in found if name.startswith("gpushare.")}

    assert rooms == {"gpushare.model", "gpushare.model.version"}


@pytest.mark.parametrize("arguments", [("ps",), ("ps", "-o", "json"), ("show", "held")])
def test_looking_at_shares_loads_nothing_slow(daemon: Daemon, arguments: tuple[str, ...]) -> None:
    assert daemon.gpushare("create", "--name", "held", "-m", "1GiB").returncode == 0

    assert not loaded(LOADED, *arguments, env=daemon.environment) & SLOW


def test_a_command_loads_no_other_verb(daemon: Daemon) -> None:
    found = loaded(LOADED, "ps", env=daemon.environment)
    others = {f"gpushare.cli.{verb.module}" for name, verb in VERBS.items() if name != "ps"}

    assert not found & others


def test_commands_work_without_the_packages_of_the_daemon(daemon: Daemon) -> None:
    for arguments in (("gpus",), ("ps",), ("run", "--", "true"), ("version",), ("config", "show")):
        done = without_the_daemon(*arguments, env=daemon.environment)
        assert done.returncode == 0, done.stderr


def test_gpus_are_listed_without_a_daemon_and_its_packages(machine, tmp_path: Path) -> None:
    env = {**machine.environment, "GPUSHARE_SOCKET": str(tmp_path / "none")}

    done = without_the_daemon("gpus", "-o", "name", env=env)

    assert done.stdout.startswith("GPU-")


def test_the_daemon_says_which_packages_it_needs(tmp_path: Path) -> None:
    done = without_the_daemon("daemon", env={"GPUSHARE_STATE_DIR": str(tmp_path)})

    assert done.returncode == 6
    assert "gpushare-suite" in done.stderr
