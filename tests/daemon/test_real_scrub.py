# SPDX-License-Identifier: Apache-2.0
"""What a share leaves on a GPU whose driver does not clear memory, and how the daemon scrubs it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.daemon import Daemon, until
from support.machine import NATIVE

MIB = 1 << 20
WRITES = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(8 << 20)) == 0
assert cuda.cuMemcpyHtoD_v2(at, b"secret!!" * (1 << 20), ctypes.c_size_t(8 << 20)) == 0
"""
UNCLEARED = 'RegistryDwords: "RmDisableScrubOnFree=1"\n'


def started(daemon: Daemon, scrub: str, params: str = "") -> Daemon:
    """A daemon with this setting, on a machine that leaves old content in memory."""
    assert daemon.machine.image is not None
    daemon.machine.fault("residue=1")
    if params:
        daemon.machine.image.with_name("params").write_text(params)
    daemon.machine.environment["GPUSHARE_SCRUB"] = scrub
    daemon.start()
    return daemon


def use_and_end(daemon: Daemon) -> None:
    done = daemon.gpushare("run", "-m", "640MiB", "--", sys.executable, "-c", WRITES)
    assert done.returncode == 0, done.stderr
    daemon.until_empty()


def left(daemon: Daemon) -> int:
    """Bytes of old content that the next program would find."""
    probe = NATIVE / "probe" / "gpushare-probe"
    done = daemon.machine.run(probe, "--scrub", "--look-only", f"--bytes={16 * MIB}")
    assert done.returncode == 0, done.stderr
    dirty: int = json.loads(done.stdout)["devices"][0]["dirty"]
    return dirty


def told(daemon: Daemon, event: str) -> list[str]:
    items = daemon.json("audit", "ls", "--action", event)["items"]
    return [item["detail"]["message"] for item in items]


@pytest.mark.parametrize(("scrub", "params"), [("never", UNCLEARED), ("auto", "")])
def test_without_a_scrub_the_next_program_finds_it(
    unstarted: Daemon, scrub: str, params: str
) -> None:
    daemon = started(unstarted, scrub, params)
    use_and_end(daemon)
    assert left(daemon) == 8 * MIB
    assert told(daemon, "share.scrub") == []


@pytest.mark.parametrize(("scrub", "params"), [("always", ""), ("auto", UNCLEARED)])
def test_a_scrub_leaves_nothing_and_says_what_it_proved(
    unstarted: Daemon, scrub: str, params: str
) -> None:
    daemon = started(unstarted, scrub, params)
    use_and_end(daemon)
    (message,) = until(lambda: told(daemon, "share.scrubbed"), "the event")
    assert "140 MiB of GPU memory were filled with zeros and read back" in message
    assert "8 MiB of it held old content" in message
    assert left(daemon) == 0


def test_a_share_that_no_program_used_is_not_scrubbed(unstarted: Daemon) -> None:
    daemon = started(unstarted, "always")
    daemon.gpushare("create", "-m", "640MiB", "--name", "unused")
    daemon.gpushare("rm", "unused")
    assert told(daemon, "share.scrub") == []


def test_a_scrub_that_fails_ends_the_share_and_is_reported(unstarted: Daemon) -> None:
    daemon = started(unstarted, "always")
    with daemon.spawn("run", "-m", "640MiB", "--name", "works", "--", "sleep", "600") as program:
        daemon.until_state("works", "running")
        # No context can be made any more.
        daemon.machine.fault("gpu=0", "lost=1")
        program.terminate()
    until(lambda: not daemon.shares(), "the share to end")
    assert "may not be clear" in until(lambda: told(daemon, "share.scrub_failed"), "the event")[0]


@contextmanager
def held(daemon: Daemon) -> Iterator[None]:
    """A share whose end has begun, and whose scrub does not end before the block does."""
    native, go = daemon.folder / "native", daemon.folder / "go"
    (native / "probe").mkdir(parents=True)
    for name in ("guard", "simgpu"):
        (native / name).symlink_to(NATIVE / name)
    probe = native / "probe" / "gpushare-probe"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done"
    real = NATIVE / "probe" / "gpushare-probe"
    probe.write_text(f'#!/bin/sh\ncase "$*" in *--scrub*) {wait};; esac\nexec {real} "$@"\n')
    probe.chmod(0o755)
    daemon.machine.environment["GPUSHARE_NATIVE"] = str(native)
    started(daemon, "always")
    try:
        done = daemon.gpushare(
            "run", "-m", "640MiB", "--name", "works", "--", sys.executable, "-c", WRITES
        )
        assert done.returncode == 0, done.stderr
        until(lambda: region_is_gone(daemon), "the release to begin")
        yield
    finally:
        go.touch()


def region_is_gone(daemon: Daemon) -> bool:
    return not any((daemon.runtime / "regions").iterdir())


def test_a_share_whose_memory_is_scrubbed_is_being_released(unstarted: Daemon) -> None:
    daemon = unstarted
    with held(daemon):
        share: dict[str, Any] | None = daemon.share("works")
        assert share is not None
        assert (share["releasing"], share["fault"], share["suspendable"]) == (True, "", None)
        for command in (("ps",), ("ps", "-o", "wide"), ("show", "works")):
            shown = daemon.gpushare(*command).stdout
            assert "being released" in shown
            assert "cannot be read" not in shown
    daemon.until_empty()
