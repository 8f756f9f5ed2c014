# SPDX-License-Identifier: Apache-2.0
"""Runs `gpushare` commands without starting Python for each.

A server per test process imports the command line once and forks for each command. The command
has a process, environment, folder and streams of its own, as if it had been started; only
`/proc/PID/environ` and the driver's libraries are the server's. So `run`, `exec` and what looks at
the driver itself are started for real.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

FORKED = frozenset(
    {"apply", "audit", "create", "env", "explain", "export", "gpus", "ls", "migrate", "ps", "quota"}
    | {"resume", "rm", "show", "suspend", "tenant", "token", "update", "wait"}
)
_REAL = ("PYTHON", "LC_", "LANG")  # what Python reads when it starts
_LARGEST = 1 << 20


def forked(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the server can run it as if it had been started."""
    changed = {name for name, value in environment.items() if os.environ.get(name) != value}
    return (
        command[:1] != []
        and command[0] in FORKED
        and not any(name.startswith(_REAL) for name in changed)
    )


def run(
    command: Sequence[str], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """One gpushare command to its end; raises TimeoutExpired."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _code(command, environment, (out, err), timeout)
        return subprocess.CompletedProcess(["gpushare", *command], code, _text(out), _text(err))


def _text(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode()


def _code(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[BinaryIO, BinaryIO],
    timeout: float,
) -> int:
    request = {"argv": [*command], "env": {**environment}, "cwd": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(_server())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
        numbers = [stream.fileno() for stream in streams]
        socket.send_fds(connection, [json.dumps(request).encode()], numbers)
        pid = int(connection.recv(32))
        connection.settimeout(timeout)
        try:
            return int(connection.recv(32))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, timeout) from None


@functools.cache
def _server() -> str:
    """The name of the server's socket; the server ends with this process."""
    name = f"\0gpushare-tests-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(name)
        listener.listen(64)
        number = listener.fileno()
        words = [sys.executable, __file__, str(number)]
        process = subprocess.Popen(
            words,
            pass_fds=[number],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    atexit.register(_end, process)
    return name


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


class Server:
    """Forks for each connection, and says the pid and, when it has ended, the exit code."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, None)  # ends with who started us

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        message, streams, _, _ = socket.recv_fds(connection, _LARGEST, 2)
        pid = os.fork()
        if pid == 0:
            _become(json.loads(message), streams, close=[connection, self._listener])
        for number in streams:
            os.close(number)
        connection.send(str(pid).encode())
        watched = os.pidfd_open(pid)
        ended = functools.partial(self._ended, connection, pid, watched)
        self._selector.register(watched, selectors.EVENT_READ, ended)

    def _ended(self, connection: socket.socket, pid: int, watched: int) -> None:
        self._selector.unregister(watched)
        os.close(watched)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):  # the test no longer waits
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        connection.close()


def _become(request: Mapping[str, Any], streams: Sequence[int], close: Sequence[Any]) -> None:
    """Be the command, and end."""
    code = 1
    try:
        for each in close:
            each.close()
        null = os.open(os.devnull, os.O_RDONLY)
        for target, number in enumerate((null, *streams)):
            os.dup2(number, target)
            os.close(number)
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        os.chdir(request["cwd"])
        sys.argv = ["gpushare", *request["argv"]]
        code = _main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _main() -> int:
    from gpushare.cli import main  # noqa: PLC0415 (the tests' side needs none of it)

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _load() -> None:
    for package in ("gpushare.cli", "gpushare.client"):
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


if __name__ == "__main__":
    _load()
    Server(socket.socket(fileno=int(sys.argv[1]))).serve()
