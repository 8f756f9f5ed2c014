# SPDX-License-Identifier: Apache-2.0
"""The daemon to ask for a new share; starts one of the caller's own where none runs (ADR 0050).

`gpushare run`, `gpushare create` and `gpushare.share()` need a daemon, so they start one that ends
when idle. Not where the caller names a daemon, where the setting `auto_start` is false, or where a
daemon serves the machine: one that is down is for its administrator to start, and a second one
would grant the same memory again. A machine of `gpushare simulate` has a daemon of its own.

Of several commands that find none at the same time one starts it: the one that has the lock on
`start.lock` in the state directory. The others wait until it listens. The daemon is started by
`gpushare daemon --detach`, a process that ends: a daemon that were a child of this process would be
a child of the program that this process becomes.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gpushare.client.client import Client
from gpushare.config.address import Remote
from gpushare.config.announced import holder_of, listens
from gpushare.config.sources import Config
from gpushare.hardware.simulated.presence import machine_folder
from gpushare.model.errors import (
    DaemonError,
    DaemonRunningError,
    DaemonUnreachableError,
    DeniedError,
)
from gpushare.model.operations.lifetime import Lifetime

from .printed_error import error_in

_LOCK = "start.lock"
_COMMAND = ("-P", "-m", "gpushare.cli", "daemon", "--detach", "--until-idle")
_TRIES = 3
_TURN_SECONDS = 150.0  # for another command that starts it, or a daemon that ends
_PAUSE_SECONDS = 0.05
_OF_PROGRAMS = ("LD_PRELOAD", "GPUSHARE_REGION", "GPUSHARE_SHARE", "GPUSHARE_NUMBERS")


class OwnDaemon:
    """`say` is called with a line for the user when a daemon is started or left.

    `context`: the one that the caller names.
    """

    def __init__(
        self, config: Config, say: Callable[[str], None], context: str | None = None
    ) -> None:
        self._config, self._say, self._context = config, say, context
        self._lifetime = Lifetime.UNTIL_STOPPED
        self._client: Client | None = None

    def client(self) -> Client:
        """A client of the daemon that gives new shares, the same each time.

        Raises what prevented its start, as the daemon printed it, DaemonError, DeniedError,
        ConfigError, SocketDeniedError.
        """
        if self._client is None:
            self._client = self._find()
        return self._client

    def again(self) -> None:
        """Start another one where a daemon that a command started has gone away."""
        if self._lifetime is Lifetime.UNTIL_IDLE and not self._listens():
            self._start_one()

    def _find(self) -> Client:
        where = self._config.reachable(self._context)
        if not self._may_start(where):
            return Client(where)
        if not self._listens():
            self._start_one()
        client = Client(self._config.reachable_socket())
        # Also a first request, so that an idle daemon does not end before the next one.
        self._lifetime = client.version().lifetime
        return self._of_machine() or client

    def _may_start(self, where: Path | Remote) -> bool:
        if isinstance(where, Remote) or not self._config.settings.auto_start:
            return False
        named = self._config.named(self._context) is not None
        return not named or _simulated(where, self._config.env)

    def _listens(self) -> bool:
        return listens(self._config.reachable_socket())

    def _of_machine(self) -> Client | None:
        """The machine's daemon, where the caller's own is one that makes room for it."""
        machine = self._config.machine.socket
        replaced = self._lifetime is not Lifetime.UNTIL_STOPPED and self._in_place_of_machines()
        if not replaced or not machine.exists() or not listens(machine):
            return None
        self._say("a daemon serves the machine now; your own ends with its last share")
        return Client(machine)

    def _in_place_of_machines(self) -> bool:
        return self._config.named(self._context) is None

    def _start_one(self) -> None:
        if self._in_place_of_machines():
            self._require_own_place()
        error: DaemonRunningError | None = None
        for _ in range(_TRIES):
            with self._turn() as mine:
                if not mine:
                    return
                try:
                    self._start()
                except DaemonRunningError as running:
                    # A person started one just now; the next turn waits until it listens.
                    error = running
                else:
                    return
        if error:
            raise error

    def _require_own_place(self) -> None:
        """Raises DaemonUnreachableError if another daemon is to serve the caller."""
        where, machine = self._config.reachable_socket(), self._config.machine
        if where == machine.socket or machine.unit:
            because = (
                "the daemon of the whole machine is down, and a command starts none in its place"
            )
            hint = "start it, as root: systemctl start gpushare, or gpushare daemon --detach"
        elif unit := machine.own_unit:
            because = f"{unit} starts yours, and a command starts none in its place"
            hint = "start it: systemctl --user start gpushare"
        else:
            return
        raise DaemonUnreachableError(f"no daemon answers on {where}", because, hint)

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """True: this process is to start the daemon; False: one listens by now."""
        state = self._config.settings.state_dir
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(state / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DeniedError(
                f"cannot write {state}", str(error), "set GPUSHARE_STATE_DIR to a folder of yours"
            ) from error
        try:
            yield self._wait_for_turn(lock)
        finally:
            os.close(lock)

    def _wait_for_turn(self, lock: int) -> bool:
        deadline, mine, absent = time.monotonic() + _TURN_SECONDS, False, None
        while not self._listens():
            mine = mine or _locked(lock)
            # A daemon that ends has its state until the end.
            holder = holder_of(self._config.settings.state_dir)
            if mine and holder is None:
                return not self._listens()
            # Seen twice: between the look at the lock and that at the process it may have ended.
            if holder and holder == absent:
                raise self._elsewhere(holder)
            absent = holder if holder and not Path(f"/proc/{holder}").exists() else None
            if time.monotonic() > deadline:
                raise self._stuck(holder)
            time.sleep(_PAUSE_SECONDS)
        return False

    def _elsewhere(self, holder: int) -> DaemonRunningError:
        """A home directory that several machines or containers have in common."""
        return DaemonRunningError(
            f"a daemon of another machine or container uses {self._config.settings.state_dir}",
            f"there is no process {holder} here",
            "export GPUSHARE_STATE_DIR with a folder of this machine",
        )

    def _stuck(self, holder: int | None) -> DaemonError:
        state = self._config.settings.state_dir
        if holder is None:
            return DaemonError(
                "no daemon runs, and it is not started",
                f"another gpushare has the lock {state / _LOCK} and does not finish",
                "start one: gpushare daemon --detach",
            )
        return DaemonUnreachableError(
            f"the daemon {holder} does not listen",
            f"it uses {state}",
            "end it (shares continue): gpushare daemon stop",
        )

    def _start(self) -> None:
        """Raises the error that the daemon printed."""
        process = subprocess.Popen(
            [sys.executable, *_COMMAND],
            env=_environment(self._config.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # The Ctrl-C of the terminal is passed on below, once.
            start_new_session=True,
        )
        try:
            text = process.communicate()[1].decode(errors="replace")
        except BaseException:
            # It ends the daemon that it has started.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        if process.returncode != 0:
            raise error_in(text) or DaemonError("the daemon did not start", text.strip())
        self._say("started your own daemon, which ends when idle (see gpushare daemon status)")


def _simulated(where: Path, env: Mapping[str, str]) -> bool:
    """Whether the daemon there is that of the simulated machine that this process runs on."""
    folder = machine_folder(env)
    return folder is not None and folder in where.parents


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's without what is for its program: the daemon sees all GPUs, and probes them."""
    return {name: value for name, value in env.items() if not _of_program(name)}


def _of_program(name: str) -> bool:
    cuda = name.startswith("CUDA_") and not name.startswith("CUDA_MPS_")
    return cuda or name in _OF_PROGRAMS
