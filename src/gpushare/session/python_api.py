# SPDX-License-Identifier: Apache-2.0
"""`gpushare.share()`: a share for the running Python program.

The dynamic loader reads LD_PRELOAD only when a program starts, and a library that is loaded later
cannot intercept `dlsym`, through which programs find CUDA. So the program gets its share, sets its
environment, and executes itself again in the same process: same pid, arguments and terminal. The
second time it detects that it is in the share, and continues.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Unpack

from gpushare.client.client import Client
from gpushare.config.sources import load
from gpushare.model.errors import ConflictError, UnsupportedError
from gpushare.model.units import Seconds
from gpushare.model.view import CreateRequest, ShareView

from .acquire import OnWait, acquire, enter, environment_of
from .cpu_affinity import bind_to_nearest
from .gpu_choice import ask_for
from .own_daemon import OwnDaemon
from .spec_options import SpecOptions, spec
from .wait_log import WaitLog, logged_reconnect, warn

MARK = "GPUSHARE_SHARE"  # the daemon sets it in every program of a share
_NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of cuda.h


@contextmanager
def share(
    *,
    wait: bool = True,
    timeout: int | None = None,
    on_wait: OnWait | None = None,
    **options: Unpack[SpecOptions],
) -> Iterator[ShareView]:
    """Run the rest of this program in a share of a GPU. Call it before CUDA starts.

    Code before the call runs twice, because the program executes itself again. A program that is
    in a share already (`gpushare run`) uses that share. The share is released when the process
    ends, because CUDA keeps its memory until then.

    `memory` is bytes, `8GiB` or `20%`; `compute` is percent; `timeout` is seconds. The other
    keywords are those of `gpushare run --help`. While the share is queued, the logger `gpushare`
    warns what it waits for; `on_wait` is called with the share instead, every few seconds.

    Where no daemon runs, one of the caller's own is started, which ends when idle.

    Raises ConflictError if CUDA runs already, UnsupportedError where a program cannot execute
    itself again (interactive sessions, notebooks), and the errors of `gpushare run`.
    """
    if share_id := os.environ.get(MARK):
        yield Client().show(share_id)
        return
    _check_early()
    arguments = _restart_arguments()
    own = OwnDaemon(load(), warn)
    client = own.client()
    options["gpu"] = ask_for(client, os.environ, map(str, options.get("gpu", ())))
    options.setdefault("gpus", max(1, len(tuple(options["gpu"]))))
    program = os.path.basename(sys.argv[0] or "python")  # noqa: PTH119 (may be -c or -m)
    request = CreateRequest(spec=spec(**options), holder=os.getpid(), wait=wait, program=program)
    get = partial(acquire, timeout=None if timeout is None else Seconds(timeout))
    begin = partial(get, client, request, on_wait=on_wait or WaitLog())
    _restart(own, begin, arguments)


def _restart(
    own: OwnDaemon,
    get: Callable[..., AbstractContextManager[ShareView]],
    arguments: list[str],
) -> None:
    again = logged_reconnect(load().settings.reconnect_timeout, own.again)
    with get(reconnect=again) as granted:
        entry = enter(own.client(), granted, os.getpid(), os.environ.get("LD_PRELOAD", ""), again)
        # execve discards what Python has buffered.
        sys.stdout.flush()
        sys.stderr.flush()
        bind_to_nearest(entry)
        os.execve(sys.executable, arguments, environment_of(entry, dict(os.environ)))  # noqa: S606


def _check_early() -> None:
    """Raises ConflictError if CUDA runs in this process."""
    if _cuda_runs():
        raise ConflictError(
            "CUDA runs in this process already",
            "the share must exist before the first use of the GPU",
            "move gpushare.share() to the top of the program",
        )


def _cuda_runs() -> bool:
    """Whether the driver library is loaded and initialised. Does not load it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return bool(driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int())) != _NOT_INITIALIZED)


def _restart_arguments() -> list[str]:
    """The arguments that start this program again. Raises UnsupportedError if it cannot."""
    # A program from standard input has the file name <stdin>; it cannot be read twice.
    file = getattr(sys.modules["__main__"], "__file__", None) or "<"
    script = not file.startswith("<") or "-c" in sys.orig_argv
    if hasattr(sys, "ps1") or sys.flags.interactive or "ipykernel" in sys.modules or not script:
        raise UnsupportedError(
            "an interactive session cannot move into a share",
            "its state would be lost",
            "start it in a share: gpushare run -m 8GiB -- python, or -- jupyter lab",
        )
    return [sys.executable, *sys.orig_argv[1:]]
