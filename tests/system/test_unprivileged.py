# SPDX-License-Identifier: Apache-2.0
"""A user without any right runs their own daemon; the root daemon serves users apart."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import Machine

from .conftest import open_to_all

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]
NOBODY, SOMEONE = 65534, 65533
EXAMPLE = Path(__file__).parents[2] / "examples" / "01-three-programs"


def as_user(uid: int, *command: str | Path) -> list[str]:
    """The command under another uid, without groups and capabilities."""
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [*drop, "--inh-caps=-all", "--no-new-privs", *map(str, command)]


@pytest.fixture
def bin_for_all(installed: Path) -> Path:
    if not open_to_all(installed / "python"):
        pytest.skip("no Python on this machine that another user may run")
    return installed


def test_a_user_without_rights_runs_the_demo(bin_for_all: Path, short_path: Path) -> None:
    short_path.chmod(0o755)
    example = shutil.copytree(EXAMPLE, short_path / "example")
    home = short_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    demo = [bin_for_all / "gpushare", "simulate", "h200-1", "--", bin_for_all / "python"]
    done = subprocess.run(
        as_user(NOBODY, *demo, example / "demo.py"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in done.stdout


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def root_daemon(
    request: pytest.FixtureRequest, machine: Machine, bin_for_all: Path, short_path: Path
) -> Iterator[Daemon]:
    """A daemon of root's that every user reaches, on a machine that every user may compute on."""
    assert machine.image is not None
    for path in (short_path, machine.image.parent):
        path.chmod(0o755)
    machine.image.chmod(0o666)
    found = Daemon(machine, short_path)
    # A daemon whose umask keeps its files from others makes what they need nonetheless.
    found.start(umask=request.param)
    yield found
    found.stop()


def test_users_share_a_gpu_but_not_their_shares(root_daemon: Daemon, bin_for_all: Path) -> None:
    def user(uid: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = as_user(uid, bin_for_all / "gpushare", *words)
        return root_daemon.machine.run(*command, env=root_daemon.environment)

    mine = user(NOBODY, "create", "--name", "mine", "-m", "3GiB")
    assert mine.returncode == 0, mine.stderr
    program = [bin_for_all / "python", EXAMPLE / "train.py", "--memory", "1GiB", "--steps", "1"]
    with_others = user(SOMEONE, "run", "-m", "4GiB", "--", *program)
    assert "sees 4.00 GiB" in with_others.stdout, with_others.stderr
    seen = user(SOMEONE, "ps").stdout
    assert "3.0 GiB" in seen  # that it is there, and how large
    assert not [word for word in ("mine", "nobody", str(NOBODY)) if word in seen]  # prose: allow
    [there] = user(SOMEONE, "ps", "-q").stdout.split()
    for words in (["rm", "--force"], ["exec"], ["verify"]):
        tail = ["--", "true"] if words == ["exec"] else []
        refused = user(SOMEONE, *words, there, *tail)
        assert refused.returncode == 5, (words, refused)
        assert "GS1301" in refused.stderr
        guessed = user(SOMEONE, *words, "mine", *tail)
        assert guessed.returncode == 4, (words, guessed)
    assert user(NOBODY, "rm", "mine").returncode == 0
