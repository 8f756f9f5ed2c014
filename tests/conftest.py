# SPDX-License-Identifier: Apache-2.0
"""Fixtures every folder may use.

machine        a fresh simulated machine, profile h200-1 unless parametrized:
               @pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
daemon         a `gpushare daemon` running on `machine`, on folders of its own
shared_daemon  one for all tests of a file, for those that change nothing
any_machine    for contract tests: the simulated machine, or the real one with GPUSHARE_TEST_GPU=1
store          an empty state database
disk           fills up under a state file that is opened after it
until          until(condition, "what"): poll with a deadline
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gpushare.store import Store
from support.daemon import Daemon, serving
from support.daemon import until as poll_until
from support.disk import Disk
from support.machine import Machine, real, simulated

# Without this structlog renders each traceback with rich, which takes a second.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S"),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
REAL_GPU = os.environ.get("GPUSHARE_TEST_GPU") == "1"
SLOW = os.environ.get("GPUSHARE_TEST_SLOW") == "1"

# Without deadlines and HealthCheck.too_slow no property depends on how busy the machine is. The
# quick tier tries the same examples in every run, so only a change turns a test red; `make
# test-slow` runs the properties on new examples. Properties that use a fixture reset it themselves.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "gpushare",
    deadline=None,
    derandomize=not SLOW,
    print_blob=True,
    suppress_health_check=_CHECKS,
)
settings.load_profile("gpushare")

# Hundreds of programs that tests start import the same modules: compile them once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Programs started by tests inherit what is ignored here, and a shell that starts a test run in the
# background has it ignore Ctrl-C, nohup a hang-up.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "gpu" in item.keywords and not REAL_GPU:
            item.add_marker(pytest.mark.skip("needs a real GPU: GPUSHARE_TEST_GPU=1"))
        if "slow" in item.keywords and not SLOW:
            item.add_marker(pytest.mark.skip("the long tier: GPUSHARE_TEST_SLOW=1"))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name (108 bytes in all, unix(7))."""
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with simulated(getattr(request, "param", "h200-1")) as found:
        yield found


@pytest.fixture
def any_machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if REAL_GPU:
        yield real()
        return
    with simulated(getattr(request, "param", "h200-1")) as found:
        yield found


@pytest.fixture
def daemon(machine: Machine, short_path: Path) -> Iterator[Daemon]:
    found = Daemon(machine, short_path)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def unstarted(machine: Machine, short_path: Path) -> Iterator[Daemon]:
    """A daemon that the test starts itself; it ends with the test, also when that fails."""
    found = Daemon(machine, short_path)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.stop()


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Daemon]:
    with serving() as found:
        yield found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def until() -> Callable[..., Any]:
    return poll_until
