# SPDX-License-Identifier: Apache-2.0
"""The Debian package: built, installed, used, upgraded, removed and purged by the real dpkg.

dpkg works on this machine's own file system in a mount namespace: what it changes goes to layers in
memory and is gone with the namespace. There is no systemd in it, as in a container.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machine import ROOT

NAME = "gpushare-suite"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs as root only"),
    pytest.mark.skipif(
        not (shutil.which("dpkg") and Path("/usr/bin/python3").exists()), reason="not Debian"
    ),
]
# Waits in the namespace for the commands of `Debian.sh`, which enter it.
PREPARE = """
set -e
mount --make-rprivate /
mount -t tmpfs layers "$1"
for name in usr etc var; do
    mkdir -p "$1/$name/upper" "$1/$name/work"
    layers="lowerdir=/$name,upperdir=$1/$name/upper,workdir=$1/$name/work"
    mount -t overlay -o "$layers" none "/$name"
done
mount -t tmpfs run /run
echo ready
exec sleep infinity
"""


class Debian:
    """This machine with a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
             "sh", "-c", PREPARE, "sh", folder],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        first = self._holder.stdout.readline()
        if first != "ready\n":
            pytest.skip(f"no overlay file systems here: {first.strip()}")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self._inside = children.read_text().split()[0]

    def sh(self, script: str, *, code: int = 0) -> str:
        done = subprocess.run(
            ["nsenter", "--target", self._inside, "--mount", "--pid", "sh", "-ec", script],
            env={"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, f"{script}\n{done.stdout}"
        return done.stdout

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package as `make deb` builds it, and the same one with a later version."""
    folder = tmp_path_factory.mktemp("deb")
    subprocess.run([sys.executable, "scripts/build_deb.py", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.deb")
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", built, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 99:"))
    subprocess.run(["dpkg-deb", "-Zgzip", "--build", tree, folder / "later.deb"], check=True)
    return {"first": built, "later": folder / "later.deb"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    there = Debian(tmp_path_factory.mktemp("layers"))
    yield there
    there.close()


@pytest.fixture
def debian(machine: Debian, packages: dict[str, Path]) -> Debian:
    """With the first package as it is installed where there was none."""
    state = machine.sh(f"dpkg-query -W -f '${{Version}} ${{db:Status-Status}}' {NAME} 2>&1 || true")
    if not state.endswith("installed") or state.startswith("99:"):
        machine.sh(f"dpkg --purge {NAME}; dpkg --install {packages['first']}")
    return machine


def test_lintian_finds_no_error(packages: dict[str, Path]) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    command = ["lintian", "--fail-on", "error", packages["first"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout


def test_the_package_has_what_an_administrator_expects(debian: Debian) -> None:
    listed = debian.sh(f"dpkg --listfiles {NAME}").splitlines()

    for path in (
        "/usr/bin/gpushare",
        "/usr/lib/systemd/system/gpushare.service",
        "/usr/lib/systemd/system/gpushare-prepare.service",
        "/usr/lib/systemd/user/gpushare.service",
        "/usr/share/bash-completion/completions/gpushare",
        "/usr/share/zsh/vendor-completions/_gpushare",
        "/usr/share/fish/vendor_completions.d/gpushare.fish",
        "/usr/share/doc/gpushare-suite/examples/remote.conf",
        "/etc/gpushare/config.toml",
    ):
        assert path in listed
    assert not [path for path in listed if path.startswith("/usr/local")]
    debian.sh(f"dpkg --verify {NAME}")


def test_units_start_the_packages_own_command(debian: Debian) -> None:
    units = debian.sh("cat /usr/lib/systemd/*/gpushare*.service")

    assert "ExecStart=/usr/bin/gpushare daemon" in units
    assert "/usr/local" not in units
    assert "%h" not in units


def test_installed_it_serves_shares_on_a_simulated_machine(debian: Debian) -> None:
    """Every byte of Python that it runs is compiled and its own; there is no network to ask."""
    assert debian.sh("gpushare version").startswith("client")
    debian.sh("gpushare config validate")
    shown = debian.sh(
        "unshare --net gpushare simulate h200-1 -- sh -ec '"
        "gpushare daemon --detach; gpushare run -m 4GiB -- true; gpushare gpus; "
        "gpushare verify $(gpushare create -m 2GiB -o name)'"
    )
    assert "NVIDIA H200 (simulated)" in shown
    assert "paths refuse more than 2 GiB" in shown


def test_programs_outside_see_none_of_its_packages(debian: Debian) -> None:
    missing = "python3 -Sc 'import gpushare' 2>&1 || true"
    assert "ModuleNotFoundError" in debian.sh(missing)


def test_an_upgrade_keeps_settings_and_state(debian: Debian, packages: dict[str, Path]) -> None:
    shown = debian.sh(
        "echo 'log_level = \"debug\"' >> /etc/gpushare/config.toml\n"
        "mkdir -p /var/lib/gpushare && echo kept > /var/lib/gpushare/marker\n"
        f"dpkg --force-confold --install {packages['later']}\n"
        "gpushare config show --origin; cat /var/lib/gpushare/marker"
    )
    assert "/etc/gpushare/config.toml" in shown
    assert shown.endswith("kept\n")


def test_an_upgrade_without_systemd_leaves_the_daemon_and_its_shares(
    debian: Debian, packages: dict[str, Path]
) -> None:
    debian.sh(
        "gpushare simulate h200-1 -- sh -ec '"
        "gpushare daemon --detach; gpushare run -d --name held -m 1GiB -- sleep 600; "
        "before=$(gpushare daemon status -q); "
        f"dpkg --force-confold --install {packages['later']}; "
        'test "$before" = "$(gpushare daemon status -q)"; gpushare ps -q | grep held\'\n'
    )


def test_removed_it_keeps_settings_and_state_and_purged_nothing(debian: Debian) -> None:
    debian.sh(
        f"mkdir -p /var/lib/gpushare && touch /var/lib/gpushare/marker\ndpkg --remove {NAME}\n"
        "test -e /etc/gpushare/config.toml\ntest -e /var/lib/gpushare/marker\n"
        "test ! -e /usr/bin/gpushare\ntest ! -e /usr/lib/gpushare"
    )
    left = debian.sh(
        f"dpkg --purge {NAME}\n"
        "ls -d /etc/gpushare /var/lib/gpushare /var/log/gpushare /usr/lib/gpushare 2>&1 || true"
    )
    assert left.count("No such file or directory") == 4, left


def test_purged_no_file_of_the_package_is_left(debian: Debian) -> None:
    files = debian.sh(f"dpkg-query --listfiles {NAME}").splitlines()
    assert "/usr/bin/gpushare" in files
    debian.sh(f"dpkg --purge {NAME}")
    inside = "/usr/lib/gpushare/"
    ours = [path for path in files if "gpushare" in path and not path.startswith(inside)]
    assert debian.sh(f"ls -d {' '.join(ours)} 2>/dev/null || true") == ""
