# SPDX-License-Identifier: Apache-2.0
"""The daemon cordons GPUs that are not sound, and lifts only what it has set itself."""

from typing import Any

import pytest

from support.daemon import Daemon, until

two_gpus = pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
pytestmark = two_gpus


def gpus(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.json("gpus")["items"]
    return found


def until_cordoned(daemon: Daemon) -> dict[str, Any]:
    """The daemon's own cordon of GPU 0."""

    def automatic() -> list[dict[str, Any]]:
        return [cordon for cordon in gpus(daemon)[0]["cordons"] if cordon["automatic"]]

    found: list[dict[str, Any]] = until(automatic, "the cordon")
    return found[0]


def placed(daemon: Daemon) -> int:
    """The index of the GPU that a new share gets."""
    name = f"s{len(daemon.shares())}"
    assert daemon.gpushare("create", "-m", "1GiB", "--name", name, "--no-wait").returncode == 0
    share = daemon.share(name)
    assert share is not None
    return [item["uuid"] for item in gpus(daemon)].index(share["gpus"][0])


@pytest.mark.parametrize("fault", ["xid=140", "xid=95", "xid=62", "recovery=1", "recovery=4"])
def test_shares_land_on_the_gpu_that_is_sound(daemon: Daemon, fault: str) -> None:
    daemon.machine.fault("gpu=0", fault)
    cordon = until_cordoned(daemon)

    assert cordon["reason"].startswith("needs")
    assert [placed(daemon) for _ in range(3)] == [1, 1, 1]

    daemon.machine.fault("gpu=0", "clear")
    until(lambda: not gpus(daemon)[0]["cordons"], "the cordon to be lifted")
    assert daemon.gpushare("create", "-m", "1GiB", "--gpu", "0", "--no-wait").returncode == 0


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 69])
def test_errors_of_tenants_never_cordon(daemon: Daemon, xid: int) -> None:
    daemon.machine.fault("gpu=0", f"xid={xid}")
    until(lambda: xid in gpus(daemon)[0]["health"]["xids"], "the error")
    daemon.gpushare("daemon", "reload")  # has the next pass begin at once

    assert not gpus(daemon)[0]["cordons"]
    assert daemon.gpushare("create", "-m", "1GiB", "--gpu", "0", "--no-wait").returncode == 0

    daemon.machine.fault("clear")
    until(lambda: not gpus(daemon)[0]["health"]["xids"], "the health to be clear")


@pytest.mark.parametrize("xid", ["31", "140"])
def test_clearing_faults_clears_the_health(daemon: Daemon, xid: str) -> None:
    daemon.machine.fault("gpu=0", f"xid={xid}")
    until(lambda: f"Xid {xid}" in daemon.gpushare("gpus").stdout, "the error to be shown")

    daemon.machine.fault("clear")

    until(lambda: f"Xid {xid}" not in daemon.gpushare("gpus").stdout, "the health to be ok")


@pytest.mark.parametrize("fault", ["xid=140", "recovery=1"])
def test_a_restart_does_not_forget_that_a_gpu_is_broken(daemon: Daemon, fault: str) -> None:
    daemon.machine.fault("gpu=0", fault)
    before = until_cordoned(daemon)
    daemon.kill()
    daemon.start()

    assert until_cordoned(daemon)["at"] == before["at"]
    assert placed(daemon) == 1


def test_a_reset_while_no_daemon_runs_is_noticed(daemon: Daemon) -> None:
    daemon.machine.fault("gpu=0", "xid=140")
    daemon.machine.fault("gpu=0", "recovery=1")
    until_cordoned(daemon)
    until(lambda: gpus(daemon)[0]["health"]["recovery"] == 1, "the recovery action")
    until(
        lambda: "driver reports" in gpus(daemon)[0]["cordons"][0]["reason"], "the cordon to say so"
    )
    daemon.kill()
    daemon.machine.fault("gpu=0", "clear")
    daemon.start()

    until(lambda: not gpus(daemon)[0]["cordons"], "the cordon to be lifted")


def test_a_persons_cordon_is_never_lifted_by_itself(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "0", "--reason", "fan")
    daemon.machine.fault("gpu=0", "recovery=1")
    until_cordoned(daemon)
    daemon.machine.fault("gpu=0", "clear")

    until(lambda: len(gpus(daemon)[0]["cordons"]) == 1, "the daemon's own to be lifted")

    assert gpus(daemon)[0]["cordons"][0]["reason"] == "fan"
    assert placed(daemon) == 1


def test_a_person_lifts_the_cordon_of_an_xid(daemon: Daemon) -> None:
    daemon.machine.fault("gpu=0", "xid=140")
    until_cordoned(daemon)

    assert daemon.gpushare("uncordon", "0").returncode == 0

    daemon.gpushare("daemon", "reload")
    assert not gpus(daemon)[0]["cordons"]
    assert daemon.gpushare("create", "-m", "1GiB", "--gpu", "0", "--no-wait").returncode == 0


def test_what_the_driver_still_demands_is_not_lifted(daemon: Daemon) -> None:
    daemon.machine.fault("gpu=0", "recovery=1")
    until_cordoned(daemon)

    refused = daemon.gpushare("uncordon", "0")

    assert refused.returncode == 3
    assert "needs a reset, the driver reports" in refused.stderr
    assert placed(daemon) == 1


@pytest.mark.parametrize("mode", ["keep", "off"])
def test_the_setting_decides_what_is_lifted(unstarted: Daemon, mode: str) -> None:
    unstarted.machine.environment["GPUSHARE_AUTO_CORDON"] = mode
    unstarted.start()
    unstarted.machine.fault("gpu=0", "recovery=1")
    until(lambda: gpus(unstarted)[0]["health"]["recovery"] == 1, "the recovery action")
    assert placed(unstarted) == 1
    if mode == "keep":
        until_cordoned(unstarted)
    unstarted.machine.fault("gpu=0", "clear")
    until(lambda: gpus(unstarted)[0]["health"]["recovery"] == 0, "the reset")
    unstarted.gpushare("daemon", "reload")
    assert len(gpus(unstarted)[0]["cordons"]) == (1 if mode == "keep" else 0)
