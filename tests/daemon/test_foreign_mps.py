# SPDX-License-Identifier: Apache-2.0
"""An operator's own MPS daemon, in the directory that every program looks into."""

import subprocess

from support.program import training


def test_a_share_that_takes_turns_does_not_join_it(daemon):
    theirs = dict(daemon.environment)
    subprocess.run(["nvidia-cuda-mps-control", "-d"], env=theirs, check=True, timeout=120)
    try:
        with training(daemon, "--name", "mine", "-m", "4GiB"):
            listed = _ask(theirs, "get_server_list")
        outside = daemon.machine.python(_INIT)
        assert outside.returncode == 0, outside.stderr
        assert listed == ""
        assert _ask(theirs, "get_server_list").isdecimal(), "a program outside a share does join"
    finally:
        _ask(theirs, "quit")


_INIT = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
context = ctypes.c_void_p()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
"""


def _ask(env: dict[str, str], command: str) -> str:
    done = subprocess.run(
        ["nvidia-cuda-mps-control"],
        input=command,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.strip()
