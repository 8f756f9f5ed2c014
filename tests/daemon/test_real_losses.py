# SPDX-License-Identifier: Apache-2.0
"""Files that are lost or put back while a daemon is down: found and reported at the next start."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.guard import Region
from gpushare.model.units import GIB, Bytes
from support.daemon import until
from support.program import training
from support.regions import leased


def refused(daemon) -> str:
    """What a start says that fails."""
    done = subprocess.run(
        [sys.executable, "-m", "gpushare.cli", "daemon"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def busy(daemon) -> None:
    """Changes of every kind, the last of them not in state.db itself."""
    daemon.gpushare("tenant", "set", "lab", "--weight", "3")
    daemon.gpushare("create", "-m", "2GiB", "--name", "held")


def remove(daemon, *names: str) -> None:
    for name in names:
        for path in (*daemon.state.glob(name), *daemon.runtime.glob(name)):
            path.unlink()


@pytest.mark.parametrize(
    "lost",
    [
        ("state.db-wal", "state.db-shm"),
        ("state.db-wal", "state.db-shm", "state.mark"),
        ("state.db-wal", "state.db-shm", "state*.mark"),  # the audit log knows
        ("state.db-wal", "state.db-shm", "state.mark", "audit.jsonl", "audit.mark"),
    ],
)
def test_a_lost_write_ahead_log_is_refused(daemon, lost):
    busy(daemon)
    daemon.kill()
    remove(daemon, *lost)
    assert "GS1605" in refused(daemon)
    daemon.start("--accept-loss")
    assert "older copy" in daemon.gpushare("daemon", "status").stdout
    assert re.search(r"state: \d things? found", daemon.gpushare().stdout)


@pytest.mark.parametrize("how", ["state.db", "everything"])
def test_an_older_state_that_is_put_back_is_refused(daemon, how, tmp_path):
    busy(daemon)
    daemon.stop(signal.SIGTERM)
    shutil.copytree(daemon.state, tmp_path / "earlier")
    daemon.start()
    daemon.gpushare("tenant", "set", "lab", "--weight", "7")
    daemon.stop(signal.SIGTERM)
    if how == "everything":
        shutil.rmtree(daemon.state)
        shutil.copytree(tmp_path / "earlier", daemon.state)
    else:
        shutil.copy(tmp_path / "earlier" / "state.db", daemon.state)
    assert "GS1605" in refused(daemon)
    daemon.start("--accept-loss")


def test_an_audit_log_that_was_cut_right_after_a_kill_is_reported_and_filled_up(daemon):
    busy(daemon)
    daemon.kill()
    log = daemon.state / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines) if b'"action":"share.granted"' in line)
    log.write_bytes(b"".join(lines[:cut]))
    daemon.start()
    missing = daemon.json("audit", "ls", "--action", "audit.missing")["items"]
    assert "no longer there" in missing[0]["detail"]["why"]
    late = daemon.json("audit", "ls", "--action", "share.granted")["items"]
    assert late[0]["detail"]["late"] == "at the next start"
    assert "audit log: record" in daemon.gpushare("daemon", "status").stdout
    assert daemon.gpushare("audit", "verify").returncode == 3


@pytest.mark.parametrize("lost", [("audit.key",), ("audit.key", "audit.pub")])
def test_a_removed_key_of_the_audit_log_is_reported_once(daemon, lost):
    pytest.importorskip("cryptography")
    daemon.stop(signal.SIGTERM)
    remove(daemon, *lost)
    daemon.start()
    assert "whose key is gone" in daemon.gpushare("daemon", "status").stdout
    assert "audit.rekeyed" in daemon.log.read_text()
    daemon.stop(signal.SIGTERM)
    daemon.start()
    assert "whose key is gone" not in daemon.gpushare("daemon", "status").stdout
    assert len(daemon.json("audit", "ls", "--action", "audit.rekeyed")["items"]) == 1


def test_what_a_crash_kept_from_the_audit_log_is_added_once(daemon):
    busy(daemon)
    daemon.kill()
    for _ in range(2):
        daemon.start()
        granted = daemon.json("audit", "ls", "--action", "share.granted")["items"]
        assert len(granted) == 1
        daemon.kill()
    daemon.start()
    assert daemon.gpushare("audit", "verify").returncode == 0


def lose_all(daemon) -> None:
    """The state and its marks are lost in a crash; a new state begins."""
    daemon.kill()
    shutil.rmtree(daemon.state)
    remove(daemon, "*.mark")
    daemon.start()


def noticed(daemon) -> list[str]:
    return daemon.json("daemon", "status")["notices"]


def test_limits_of_shares_that_the_state_does_not_know_are_not_granted_again(daemon):
    with training(daemon, "--name", "train", "-m", "100GiB", memory="2GiB"):
        lose_all(daemon)
        assert "limits count as in use" in daemon.gpushare("daemon", "status").stdout
        granted = daemon.gpushare("create", "-m", "60GiB", "--no-wait")
        assert granted.returncode == 75, granted
        assert daemon.gpushare("create", "-m", "20GiB", "--no-wait").returncode == 0
    assert "limits count" not in daemon.log.read_text().split("daemon.ready")[0]
    waited = daemon.gpushare("create", "-m", "60GiB", timeout=120)
    assert waited.returncode == 0, waited.stderr


def test_shares_without_programs_that_the_state_does_not_know_are_named_until_they_are_cleaned(
    daemon,
):
    for name in ("one", "two"):
        daemon.gpushare("create", "--name", name, "-m", "4GiB", "--ttl", "1h")
    ids = sorted(share["id"] for share in daemon.shares())
    lose_all(daemon)
    notices = "\n".join(noticed(daemon))
    assert f"2 shares that the state file does not know: {', '.join(ids)}" in notices
    assert "state: 1 thing found" in daemon.gpushare().stdout
    assert daemon.gpushare("clean", "--yes").returncode == 0
    assert noticed(daemon) == []


def test_a_share_that_the_state_does_not_know_is_named_once(daemon):
    with training(daemon, "--name", "train", "-m", "4GiB", memory="2GiB"):
        (share,) = daemon.shares()
        lose_all(daemon)
        assert "\n".join(noticed(daemon)).count(share["id"]) == 1
    left = until(lambda: [it for it in noticed(daemon) if "gpushare clean" in it], "its region")
    assert share["id"] in left[0]


def test_a_program_that_has_not_used_the_gpu_yet_counts_with_its_limit_too(daemon):
    daemon.gpushare("run", "-d", "-m", "100GiB", "--name", "early", "--", "sleep", "600")
    daemon.kill()
    shutil.rmtree(daemon.state)
    remove(daemon, "*.mark")
    daemon.start()
    assert "limits count as in use" in daemon.gpushare("daemon", "status").stdout
    assert daemon.gpushare("create", "-m", "60GiB", "--no-wait").returncode == 75


def test_a_region_with_other_limits_than_the_records_is_corrected(daemon):
    busy(daemon)
    (share,) = daemon.shares()
    daemon.kill()
    region = Region(daemon.runtime / "regions" / share["id"])
    (gpu,) = region.limits()
    region.set_limit(gpu, Bytes(90 * GIB))
    daemon.start()
    assert region.limits() == {gpu: 2 * GIB}
    said = daemon.json("audit", "ls", "--action", "state.repaired")["items"]
    assert "90 GiB" in said[0]["detail"]["message"]


def test_a_held_share_without_a_region_gets_one(daemon):
    busy(daemon)
    (share,) = daemon.shares()
    daemon.kill()
    (daemon.runtime / "regions" / share["id"]).unlink()
    daemon.start()
    assert (daemon.runtime / "regions" / share["id"]).exists()
    shown = json.loads(daemon.gpushare("show", "held", "-o", "json").stdout)
    assert shown["reason"] == ""
    assert "it was made again" in daemon.gpushare("daemon", "status").stdout


def lease_on(inode: int) -> bool:
    """Whether a process has one; the kernel takes it away from a process that does not answer."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any(" LEASE " in line and f":{inode} " in line for line in lines)


def test_a_start_does_not_wait_for_the_lease_of_a_tenant_on_its_region(daemon):
    """To wait for it would take 45 s, after which the kernel has ended the lease."""
    daemon.gpushare("create", "-m", "2GiB", "--name", "held", "--ttl", "1h")
    daemon.gpushare("create", "-m", "3GiB", "--name", "other", "--ttl", "1h")
    region = daemon.runtime / "regions" / daemon.share("held")["id"]
    daemon.kill()
    inode = region.stat().st_ino
    with leased(region):
        assert lease_on(inode)
        daemon.start()
        assert daemon.share("held")["memory"]["limit"] == 2 * GIB
        assert daemon.gpushare("exec", "other", "--", "true").returncode == 0
        assert lease_on(inode), "something waited until the kernel had ended the lease"
    until(lambda: daemon.gpushare("exec", "held", "--", "true").returncode == 0, "held to be used")
