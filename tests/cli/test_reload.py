# SPDX-License-Identifier: Apache-2.0
"""`gpushare daemon reload` and SIGHUP: a running daemon follows its configuration."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, until
from support.machine import Machine


class Configured(Daemon):
    """A daemon that reads a file of its own."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "XDG_CONFIG_HOME": str(self.folder / "config")}

    @property
    def file(self) -> Path:
        return self.folder / "config" / "gpushare" / "config.toml"

    def configure(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)

    def changes(self) -> dict[str, str]:
        """What a reload says: effect by key."""
        return {c["key"]: c["effect"] for c in self.json("daemon", "reload")["changes"]}

    def told(self, action: str) -> list[str]:
        """The messages of these events in the audit log."""
        items = self.json("audit", "ls", "--action", action)["items"]
        return [item["detail"]["message"] for item in items]


@pytest.fixture
def configured(machine: Machine, short_path: Path) -> Iterator[Configured]:
    found = Configured(machine, short_path)
    found.configure("")
    yield found
    found.gpushare("daemon", "stop")
    if found.process is not None:
        found.stop()


def last_line(daemon: Daemon) -> str:
    return daemon.log.read_text().splitlines()[-1]


def test_a_reload_says_what_changed_and_what_needs_a_restart(configured: Configured) -> None:
    configured.start()
    configured.configure('log_format = "json"\nturn_seconds = 5\nswap_ahead = "1MiB"\n')

    done = configured.gpushare("daemon", "reload")

    assert done.returncode == 0
    said = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert said["log_format"].endswith("in force")
    assert said["turn_seconds"].split()[1:3] == ["30.0", "5.0"]
    assert said["swap_ahead"].endswith("needs a restart")
    # What has taken effect is no change any more; what has not is reported again.
    assert configured.changes() == {"swap_ahead": "restart"}


def test_what_took_effect_is_in_effect(configured: Configured) -> None:
    configured.start()
    configured.configure('log_format = "json"\n')

    assert configured.changes() == {"log_format": "now"}

    assert json.loads(last_line(configured))["event"] == "config.reloaded"


def test_sighup_reloads_and_is_recorded(configured: Configured) -> None:
    configured.start()
    configured.configure('log_level = "debug"\nlisten = "127.0.0.1:0"\n')
    assert configured.process is not None

    configured.process.send_signal(signal.SIGHUP)

    (message,) = until(lambda: configured.told("config.reloaded"), "the record of the reload")
    assert message == "asked by SIGHUP: in force: log_level; a restart is needed for: listen"
    assert configured.process.poll() is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("turn_seconds = 5\nlog_level = 7\n", "log_level"),
        ("turn_seconds = 5\nno_such_key = 1\n", "no_such_key"),
        ("turn_seconds = 5\n[[[\n", "config.toml"),
        ('turn_seconds = 5\ntls_cert = "/nowhere/cert.pem"\n', "tls_cert"),
        ("turn_seconds = 0\n", "turn_seconds"),
    ],
)
def test_an_invalid_file_changes_nothing_and_says_why(
    configured: Configured, text: str, names: str
) -> None:
    configured.start()
    configured.configure(text)

    # The first client reads the same file, the second one leaves it to the daemon.
    for env in ({}, {"XDG_CONFIG_HOME": str(configured.folder / "none")}):
        refused = configured.gpushare("daemon", "reload", env=env)
        assert refused.returncode == 2
        assert names in refused.stderr
        assert "code: GS1103" in refused.stderr

    configured.configure("turn_seconds = 5\n")
    assert names in configured.told("config.rejected")[-1]
    assert configured.changes() == {"turn_seconds": "now"}


def test_an_invalid_file_at_sighup_is_recorded(configured: Configured) -> None:
    configured.start()
    configured.configure("[[[")
    assert configured.process is not None

    configured.process.send_signal(signal.SIGHUP)

    until(lambda: "config.rejected" in configured.log.read_text(), "the event")
    configured.configure("")
    assert "config.toml" in configured.told("config.rejected")[0]
    assert configured.process.poll() is None


def test_a_detached_daemon_follows_its_file(configured: Configured) -> None:
    configured.configure('log_level = "warning"\n')
    configured.gpushare("daemon", "--detach")
    configured.configure('log_level = "info"\nreconcile_interval = 1\n')

    assert configured.changes() == {"log_level": "now", "reconcile_interval": "now"}


@pytest.mark.parametrize("detached", [True, False])
def test_an_option_of_the_command_line_stays(configured: Configured, detached: bool) -> None:
    if detached:
        configured.gpushare("daemon", "--detach", "--log-level", "error")
    else:
        configured.start("--log-level", "error")
    configured.configure('log_level = "info"\nproof_interval = 0\n')

    assert configured.changes() == {"proof_interval": "now"}


def test_nothing_changed_is_said(configured: Configured) -> None:
    configured.start()

    done = configured.gpushare("daemon", "reload")

    assert (done.returncode, done.stdout.strip()) == (0, "no setting has changed")


def test_shares_do_not_notice_a_reload(configured: Configured) -> None:
    configured.start()
    configured.gpushare("create", "-m", "1GiB", "--name", "held")
    with configured.spawn("run", "-m", "1GiB", "--name", "works", "--", "sleep", "600") as program:
        pid = configured.until_state("works", "running")["pids"]
        configured.configure("reconcile_interval = 0.1\nrate_burst = 9\n")
        configured.changes()

        assert configured.until_state("works", "running")["pids"] == pid
        assert configured.share("held") is not None
        program.terminate()
