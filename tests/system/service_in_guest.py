# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest of test_service.py: the unit as it ships serves shares. Ends with `all held`.

service_in_guest.py BIN_FOLDER_OF_THE_INSTALLATION DEPLOY_FOLDER
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpushare.hardware.simulated import machine
from gpushare.model.units import GIB

BIN = Path(sys.argv[1])
DEPLOY = Path(sys.argv[2])
EXAMPLE = DEPLOY.parent / "examples" / "01-three-programs" / "train.py"
SYSTEM = Path("/etc/systemd/system")
POOLS = Path("/run/gpushare/swap")


def report(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def call(*command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    report("$", *map(str, command), "->", str(done.returncode))
    if done.returncode:
        report(done.stdout, done.stderr)
        report(show_log())
        sys.exit("failed")
    return done.stdout


def show_log() -> str:
    return call("journalctl", "--no-pager", "--unit", "gpushare*", "--lines", "60")


def gpushare(*words: str | Path) -> str:
    return call("/usr/local/bin/gpushare", *words)


def until(holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until that is true of the share `sliced`."""
    while not holds(json.loads(gpushare("show", "sliced", "--json"))):
        time.sleep(1)


def install(machine: dict[str, str]) -> None:
    """The unit as it is, and where the simulated machine and this installation are."""
    Path("/usr/local/bin/gpushare").unlink(missing_ok=True)
    Path("/usr/local/bin/gpushare").symlink_to(BIN / "gpushare")
    for unit in (DEPLOY / "systemd").glob("*.service"):
        (SYSTEM / unit.name).write_text(unit.read_text())
    environment = [f'Environment="{name}={value}"' for name, value in machine.items()]
    # The installation of a test is in /tmp, which the unit hides.
    found = [f"BindReadOnlyPaths={BIN.parent} {DEPLOY.parent}"]
    patience = ["TimeoutStartSec=300", "WatchdogSec=0"]
    drop_in("gpushare-prepare", environment)
    drop_in("gpushare", [*environment, *found, *patience])
    call("systemctl", "daemon-reload")


def drop_in(unit: str, lines: list[str]) -> None:
    path = SYSTEM / f"{unit}.service.d" / "here.conf"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["[Service]", *lines, ""]))


def check() -> None:
    call("systemctl", "start", "gpushare")
    pid = call("systemctl", "show", "-P", "MainPID", "gpushare").strip()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    mounts = Path("/proc/self/mounts").read_text()
    assert f"gpushare {POOLS} tmpfs" in mounts, mounts + show_log()

    train = (BIN / "python", EXAMPLE, "--memory", "1GiB", "--steps", "100000")
    gpushare("run", "--detach", "--name", "sliced", "-m", "4GiB", "--", *train)
    gpushare(
        "run", "--detach", "--name", "second", "-m", "4GiB", "--mechanism", "mps", "--", *train
    )
    until(lambda share: share["memory"]["used"] > GIB)
    gpushare("suspend", "--timeout", "10m", "sliced")
    assert (POOLS / "0" / "data").stat().st_blocks, "what left the GPU is not in the pool"
    call("systemctl", "restart", "gpushare")
    call("systemctl", "daemon-reload")
    gpushare("resume", "sliced")
    until(lambda share: share["state"] == "running")
    gpushare("verify", "sliced")
    gpushare("rm", "--force", "sliced")
    gpushare("rm", "--force", "second")
    call("systemctl", "stop", "gpushare")


def main() -> None:
    with machine("h200-1") as made:
        # A simulated machine has folders of its own otherwise, also for root.
        places = {
            "GPUSHARE_RUNTIME_DIR": "/run/gpushare",
            "GPUSHARE_STATE_DIR": "/var/lib/gpushare",
            "GPUSHARE_SOCKET": "/run/gpushare/gpushare.sock",
        }
        path = os.environ.get("PATH", "/usr/bin:/bin")
        there = made.environment({"PATH": path}) | places
        os.environ.update(there)
        install(dict(there))
        check()
    report("all held")


main()
