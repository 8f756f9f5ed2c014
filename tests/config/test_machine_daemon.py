# SPDX-License-Identifier: Apache-2.0
"""Which daemon serves the machine, and which units start one."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpushare.config.announced import listens
from gpushare.config.machine_daemon import UNIT, MachineDaemon
from gpushare.config.sources import load


@pytest.fixture
def machine(tmp_path: Path) -> MachineDaemon:
    return MachineDaemon(tmp_path, tmp_path / "home/.config")


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def put(path: Path, target: str | None = None) -> Path:
    """A file, or a link to `target`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if target:
        path.symlink_to(target)
    else:
        path.touch()
    return path


def serve(path: Path, sockets: ExitStack | None = None) -> Path:
    """A socket; that of a killed daemon without `sockets`, which keeps it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    if sockets is None:
        listener.close()
    else:
        sockets.enter_context(listener)
    return path


@pytest.mark.parametrize(
    "place",
    [
        f"etc/systemd/system/{UNIT}",
        f"etc/systemd/system/multi-user.target.wants/{UNIT}",
        f"etc/systemd/system/graphical.target.requires/{UNIT}",
        f"run/systemd/system/{UNIT}",
    ],
)
def test_a_unit_that_an_administrator_put_there_or_enabled_counts(
    machine: MachineDaemon, place: str
) -> None:
    assert machine.unit is None
    unit = put(machine.root / place)
    assert machine.unit == unit


def test_an_enabled_unit_counts_while_its_package_is_installed(machine: MachineDaemon) -> None:
    unit = put(machine.root / f"usr/lib/systemd/system/{UNIT}")
    link = put(machine.root / f"etc/systemd/system/multi-user.target.wants/{UNIT}", str(unit))
    assert machine.unit == link
    unit.unlink()
    assert machine.unit is None


def test_units_that_a_package_brings_do_not_count_before_they_are_enabled(
    machine: MachineDaemon,
) -> None:
    put(machine.root / f"usr/lib/systemd/system/{UNIT}")
    put(machine.root / f"usr/lib/systemd/user/{UNIT}")
    put(machine.user_config / f"systemd/user/{UNIT}")
    assert (machine.unit, machine.own_unit) == (None, None)


def test_a_masked_unit_does_not_count(machine: MachineDaemon) -> None:
    put(machine.root / f"etc/systemd/system/{UNIT}", "/dev/null")
    put(machine.root / f"etc/systemd/system/multi-user.target.wants/{UNIT}")
    assert machine.unit is None


def test_an_enabled_unit_of_the_user_is_that_of_their_own_daemon(machine: MachineDaemon) -> None:
    unit = put(machine.user_config / f"systemd/user/default.target.wants/{UNIT}")
    assert (machine.unit, machine.own_unit) == (None, unit)


def test_the_unit_is_looked_for_where_the_configuration_is(tmp_path: Path) -> None:
    unit = put(tmp_path / f"c/systemd/user/default.target.wants/{UNIT}")
    found = load({}, {"XDG_CONFIG_HOME": str(tmp_path / "c")}, tmp_path, uid=7)
    assert found.machine.own_unit == unit


def test_the_machine_serves_users_whose_own_daemon_was_killed(
    short_path: Path, sockets: ExitStack
) -> None:
    own = serve(short_path / "tmp/gpushare-7/gpushare.sock")
    config = load({}, {"HOME": str(short_path)}, short_path, uid=7)
    before = config.reachable_socket()
    machine = serve(short_path / "run/gpushare/gpushare.sock", sockets)
    assert (before, config.reachable_socket()) == (own, machine)


def test_an_own_daemon_that_listens_comes_before_the_machines(
    short_path: Path, sockets: ExitStack
) -> None:
    own = serve(short_path / "tmp/gpushare-7/gpushare.sock", sockets)
    serve(short_path / "run/gpushare/gpushare.sock", sockets)
    config = load({}, {"HOME": str(short_path)}, short_path, uid=7)
    assert config.reachable_socket() == own


def test_a_socket_listens_while_its_process_does(short_path: Path, sockets: ExitStack) -> None:
    assert listens(serve(short_path / "living", sockets))
    assert not listens(serve(short_path / "killed"))
    assert not listens(short_path / "missing")
    assert not listens(put(short_path / "file"))
    assert not listens(short_path / "file" / "below")
