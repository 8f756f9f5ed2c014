# SPDX-License-Identifier: Apache-2.0
"""The command that an error names leads on: following hints never comes back to where it began."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gpushare
from gpushare.cli._group import ALIASES, VERBS
from gpushare.model.errors import catalogue
from support.daemon import Daemon, until

# Holds a state directory as a daemon does whose socket went with the runtime directory at logout.
HOLDER = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write(f"{os.getpid()}\\n{sys.argv[2]}\\n")
lock.flush()
print("held", flush=True)
time.sleep(600)
"""
GARBAGE = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
while True:
    peer, _ = listener.accept()
    peer.recv(4096)
    peer.sendall(b"this is no HTTP\\n")
    peer.close()
"""
COMMAND = re.compile(r"gpushare ([^;,()…]+)")
STEPS = 6  # a way out is shorter


def commands_of(stderr: str) -> list[tuple[str, ...]]:
    """Those that the hint of an error names; SHARE and the like are left as they are."""
    hints = [line.removeprefix("hint: ") for line in stderr.splitlines() if "hint: " in line[:6]]
    return [tuple(found.split()) for hint in hints for found in COMMAND.findall(hint)]


def follow(daemon: Daemon, command: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The commands that hints led to, until one succeeds or names none; fails at a circle."""
    way = [command]
    for _ in range(STEPS):
        # A list that refreshes itself has no end.
        done = daemon.gpushare(*(word for word in way[-1] if word != "--watch"))
        if done.returncode == 0 or not (named := commands_of(done.stderr)):
            return way
        assert named[0] not in way, f"{way} leads back to {named[0]}:\n{done.stderr}"
        way.append(named[0])
    raise AssertionError(f"hints lead nowhere: {way}")


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        try:
            yield running
        finally:
            running.kill()


def test_a_daemon_whose_runtime_directory_was_lost_at_logout_can_be_replaced(unstarted: Daemon):
    daemon = unstarted
    daemon.state.mkdir(mode=0o700)
    lost = daemon.folder / "login" / "gpushare.sock"
    with process(HOLDER, str(daemon.state / "daemon.lock"), str(lost)) as holder:
        refused = daemon.gpushare("daemon")
        assert "does not answer" in refused.stderr
        assert "code: GS1402" in refused.stderr
        way = follow(daemon, ("ps",))
        assert way == [("ps",), ("daemon", "--detach"), ("daemon", "stop")]
        until(lambda: holder.poll() is not None, "the holder to end")
    try:
        assert follow(daemon, ("ps",)) == [("ps",), ("daemon", "--detach")]
        assert daemon.gpushare("ps").returncode == 0
    finally:
        assert daemon.gpushare("daemon", "stop").returncode == 0


def test_a_daemon_that_answers_is_used_not_ended(daemon: Daemon):
    refused = daemon.gpushare("daemon", env={"GPUSHARE_SOCKET": str(daemon.folder / "other")})
    assert f"gpushare --socket {daemon.socket} ps" in refused.stderr
    assert "daemon stop" not in refused.stderr


def test_a_socket_of_another_program_does_not_lead_in_a_circle(unstarted: Daemon):
    with process(GARBAGE, str(unstarted.socket)):
        for command in (("ps",), ("version",), ("daemon", "status"), ("run", "--", "true")):
            follow(unstarted, command)


@pytest.mark.parametrize(
    "text", ["this is no TOML", 'sockets = "/x"', 'socket = "relative"', "rate_limit = -1"]
)
def test_a_configuration_that_cannot_be_used_does_not_lead_in_a_circle(
    unstarted: Daemon, tmp_path: Path, text: str
):
    folder = tmp_path / "gpushare"
    folder.mkdir()
    (folder / "config.toml").write_text(text)
    unstarted.machine.environment["XDG_CONFIG_HOME"] = str(tmp_path)
    try:
        assert unstarted.gpushare("config", "validate").returncode == 2
        for command in (("config", "validate"), ("config", "show"), ("ps",), ("daemon",)):
            follow(unstarted, command)
    finally:
        del unstarted.machine.environment["XDG_CONFIG_HOME"]


WRONG = [
    "show nothing", "show deadbeef", "rm nothing", "update held", "update nothing -c 5",
    "suspend nothing", "resume held", "migrate held", "migrate held --to 7", "logs held",
    "logs nothing", "verify nothing", "wait nothing", "exec nothing -- true", "exec held",
    "env nothing", "run", "run --gpu 9 -- true", "run -m 1TiB -- true", "run -m 1KiB -- true",
    "run -m 1MiB -- true", "run --isolation hard -m 8GiB -- true", "run -m 8Gj -- true",
    "run --mechanism vgpu -m 1GiB -- true", "run -m 140GiB --no-wait -- true", "run -- nothing",
    "create -n 9", "create -m 1GiB --name held", "create --near a=b", "create -m 1GiB --at 14:00",
    "create -m 1GiB --tenant nothing", "quota set default", "quota set nothing --memory 1GiB",
    "tenant rm nothing", "tenant set", "apply -f /nothing", "export --revision 99",
    "token revoke nothing", "login", "audit verify --key x", "audit heads", "clean --pid 1",
    "explain GS9999", "config nothing", "simulate nothing -- true", "stop held", "top", "nothing",
    "backup /nothing/x", "restore /nothing", "--context nothing ps", "logout",
]  # fmt: skip


@pytest.mark.parametrize("command", WRONG)
def test_no_hint_leads_in_a_circle(hint_daemon: Daemon, command: str):
    follow(hint_daemon, tuple(command.split()))


@pytest.fixture(scope="module")
def hint_daemon(shared_daemon: Daemon) -> Iterator[Daemon]:
    shared_daemon.gpushare("create", "-m", "1GiB", "--name", "held")
    yield shared_daemon
    shared_daemon.gpushare("rm", "--force", "held")


def test_a_circle_is_noticed(unstarted: Daemon, monkeypatch: pytest.MonkeyPatch):
    answers: dict[tuple[str, ...], str] = {("a",): "hint: gpushare b", ("b",): "hint: gpushare a"}

    def answer(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 1, "", answers[words])

    monkeypatch.setattr(unstarted, "gpushare", answer)
    with pytest.raises(AssertionError, match="leads back"):
        follow(unstarted, ("a",))


def test_every_command_in_a_hint_of_the_source_exists():
    """Hints are texts in the code; a command that was renamed must not live on in them."""
    source = Path(gpushare.__file__).parent
    known = {*VERBS, *ALIASES}
    for file in sorted(source.rglob("*.py")):
        for hint in hints_in(file):
            for word in re.findall(r"(?:^|: |\()gpushare (\w+)", hint):
                assert word in known, f"{file}: {hint}"


def hints_in(file: Path) -> Iterator[str]:
    """The last argument, or `hint`, of each error that the file makes."""
    errors = {error.__name__ for error in catalogue().values()}
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in errors:
            continue
        keyword = [word.value for word in node.keywords if word.arg == "hint"]
        for hint in keyword or node.args[2:3]:
            yield ast.unparse(hint).strip("'\"f")
