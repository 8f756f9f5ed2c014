# SPDX-License-Identifier: Apache-2.0
"""A share for the running Python program.

The dynamic loader reads LD_PRELOAD once, when a program starts, and a library that comes later
cannot stand before `dlsym`, through which CUDA is reached. So the program takes its share, sets
its environment, and starts itself again in the same process: same pid, same arguments, same
terminal. The second time it finds itself in the share and goes on.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from gpushare.client.client import Client
from gpushare.model.errors import ConflictError, UnsupportedError
from gpushare.model.units import Seconds
from gpushare.model.view import CreateRequest, ShareView

from .acquire import acquire, enter, environment_of
from .cpu_affinity import bind_to_nearest
from .spec_options import SpecOptions, spec

MARK = "GPUSHARE_SHARE"  # the daemon sets it in every program of a share
_NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of cuda.h


@contextmanager
def share(
    *, wait: bool = True, timeout: int | None = None, **options: Unpack[SpecOptions]
) -> Iterator[ShareView]:
    """Run the rest of this program in a share of a GPU; before CUDA starts.

    What stands before it in the program runs twice: see this module's words. In a program that is
    in a share already (`gpushare run`), that share is used and nothing new is asked for. The share
    goes back when the process ends, for CUDA keeps its memory until then.

    `memory` in bytes or as `8GiB`, `20%`; `compute` in percent; `timeout` in seconds; with `turns`
    others like it use the same GPU memory in between; the rest as `gpushare run --help` has it.
    Raises ConflictError when CUDA runs already, UnsupportedError where a program cannot start again
    (interactive sessions, notebooks), and what `gpushare run` says.
    """
    client = Client()
    if share_id := os.environ.get(MARK):
        yield client.show(share_id)
        return
    _check_early()
    arguments = _restart_arguments()
    program = os.path.basename(sys.argv[0] or "python")  # noqa: PTH119 (may be -c or -m)
    request = CreateRequest(spec=spec(**options), holder=os.getpid(), wait=wait, program=program)
    _restart(client, request, arguments, None if timeout is None else Seconds(timeout))


def _restart(
    client: Client, request: CreateRequest, arguments: list[str], timeout: Seconds | None
) -> None:
    with acquire(client, request, timeout=timeout, on_wait=lambda _: None) as granted:
        entry = enter(client, granted, os.getpid(), os.environ.get("LD_PRELOAD", ""))
        sys.stdout.flush()
        sys.stderr.flush()
        bind_to_nearest(entry)
        os.execve(sys.executable, arguments, environment_of(entry, dict(os.environ)))  # noqa: S606


def _check_early() -> None:
    """Raises ConflictError when a share would come too late for this process."""
    if _cuda_runs():
        raise ConflictError(
            "CUDA runs in this process already",
            "a share must be there before the first use of the GPU",
            "move gpushare.share() to the top of the program",
        )


def _cuda_runs() -> bool:
    """Whether the driver library is loaded and initialised; loads nothing."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return bool(driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int())) != _NOT_INITIALIZED)


def _restart_arguments() -> list[str]:
    """The arguments that start this program once more; UnsupportedError where there are none."""
    # A program read from standard input calls its file <stdin>; it cannot be read twice.
    file = getattr(sys.modules["__main__"], "__file__", None) or "<"
    script = not file.startswith("<") or "-c" in sys.orig_argv
    if hasattr(sys, "ps1") or sys.flags.interactive or "ipykernel" in sys.modules or not script:
        raise UnsupportedError(
            "an interactive session cannot move into a share",
            "what it did so far would be lost",
            "start it in one: gpushare run -m 8GiB -- python, or -- jupyter lab",
        )
    return [sys.executable, *sys.orig_argv[1:]]
