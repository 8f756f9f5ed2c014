# SPDX-License-Identifier: Apache-2.0
"""A command as a child: signals go to it, its exit code comes back."""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence

from gpushare.hardware.linux.signals import forward
from gpushare.model.errors import ProgramNotExecutableError, ProgramNotFoundError

_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_FROM_KERNEL = 0x80  # SI_KERNEL: a terminal's Ctrl-C, which the child has got already


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Keep signals that would end this process pending until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_child(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command` (looked up on the environment's PATH) inside `signals_held`.

    The exit code is the program's own, or 128 + n when signal n ended it. Raises
    ProgramNotFoundError and ProgramNotExecutableError.
    """
    program = _find(command[0], environment.get("PATH", os.defpath))
    try:
        # The child must not inherit the blocked signals of this process.
        pid = os.posix_spawn(program, list(command), environment, setsigmask=())
    except FileNotFoundError as error:
        raise _missing(command[0]) from error
    except OSError as error:
        raise _refused(command[0], error.strerror or str(error)) from error
    return _follow(pid)


def _find(program: str, path: str) -> str:
    if "/" in program:
        return program
    candidates = [os.path.join(folder, program) for folder in path.split(os.pathsep)]  # noqa: PTH118
    files = [name for name in candidates if os.path.isfile(name)]  # noqa: PTH113
    if not files:
        raise _missing(program)
    return next((name for name in files if os.access(name, os.X_OK)), files[0])


def _missing(program: str) -> ProgramNotFoundError:
    return ProgramNotFoundError(f"cannot run {program!r}", "no such program", "check the name")


def _refused(program: str, reason: str) -> ProgramNotExecutableError:
    return ProgramNotExecutableError(f"cannot run {program!r}", reason, f"chmod +x {program}")


def _follow(pid: int) -> int:
    while True:
        received = signal.sigwaitinfo(_FORWARDED | {signal.SIGCHLD})
        if received.si_signo != signal.SIGCHLD:
            if received.si_code != _FROM_KERNEL:
                forward(pid, received.si_signo)
            continue
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
