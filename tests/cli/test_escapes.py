# SPDX-License-Identifier: Apache-2.0
"""Programs that the limit of their share does not hold for, as users of the command line see it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpushare.guard import Region, layout
from support.daemon import Daemon, until
from support.regions import put_gpu

PROGRAM = (sys.executable, str(Path(__file__).parents[1] / "support" / "cuda_program.py"))
NOTHING: tuple[str, ...] = ()


@contextmanager
def program(daemon: Daemon, mib: int, *before: str) -> Iterator[int]:
    """The pid of a program in the share `job` that holds so much; `before`: how it is started."""
    with daemon.spawn("exec", "job", "--", *before, *PROGRAM, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline() or "null") == {"result": 0}
            take(process, mib)
            yield process.pid
        finally:
            process.kill()
            process.communicate()


def take(process: subprocess.Popen[str], mib: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"take {mib}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["held"] >= mib << 20


def region(daemon: Daemon) -> Region:
    return Region(daemon.runtime / "regions" / shown(daemon)["id"])


def shown(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.json("show", "job")
    return found


def escaped(daemon: Daemon) -> dict[str, Any] | None:
    share = shown(daemon)
    return share if share["escape"] and share["escape"]["until"] is None else None


def bare(daemon: Daemon) -> tuple[str, ...]:
    """As `env -i`, with what a program needs to reach the simulated machine."""
    words = (
        f"{k}={v}" for k, v in daemon.machine.environment.items() if not k.startswith("LD_PRE")
    )
    return ("env", "-i", *words)


def unchanged(_: Daemon) -> None:
    pass


def removed(daemon: Daemon) -> None:
    region(daemon).path.unlink()


def of_another_version(daemon: Daemon) -> None:
    with region(daemon).path.open("r+b") as file:
        file.seek(layout.GsRegionHeader.version.offset)
        file.write((1).to_bytes(4, "little"))


def cut(daemon: Daemon) -> None:
    with region(daemon).path.open("r+b") as file:
        file.truncate(4096)


def without_links(daemon: Daemon) -> None:
    shutil.rmtree(daemon.runtime / "preload")


WAYS = {
    "preload-dropped": (("env", "LD_PRELOAD="), 9000, unchanged, "no-guard"),
    "region-dropped": (("env", "-u", "GPUSHARE_REGION"), 9000, unchanged, "no-guard"),
    "small": (("env", "LD_PRELOAD="), 64, unchanged, "no-guard"),
    "region-gone": (NOTHING, 1000, removed, "stale"),
    "other-version": (NOTHING, 1000, of_another_version, "stale"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_escape_is_seen_named_and_over(daemon: Daemon, way: str) -> None:
    before, mib, happen, kind = WAYS[way]
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB", "--ttl", "1h")
    with program(daemon, mib, *before) as pid:
        happen(daemon)
        share = until(lambda: escaped(daemon), "the escape to be seen")
        cause = share["escape"]["causes"][0]
        assert (cause["kind"], cause["pid"]) == (kind, pid)
        assert share["enforcement"]["memory"] == "reported"
        assert share["memory"]["used"] >= mib << 20
        check_commands(daemon, pid)
    if kind == "no-guard":
        share = until(lambda: shown(daemon)["escape"]["until"] and shown(daemon), "its end")
        assert share["enforcement"] == share["promised"]
        assert "last escape" in daemon.gpushare("show", "job").stdout
        assert daemon.gpushare("verify", "job").returncode == 0


def check_commands(daemon: Daemon, pid: int) -> None:
    for command in (("ps",), ("show", "job"), ("gpus",)):
        lines = daemon.gpushare(*command).stdout
        assert str(pid) in lines, command
        assert re.search(r"^(! |escaped)", lines, re.MULTILINE), command
    assert "GiB!" in daemon.gpushare("ps").stdout
    assert re.search(r"^verified +NO", daemon.gpushare("show", "job").stdout, re.MULTILINE)


def test_without_any_environment_a_program_is_seen_too(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    with program(daemon, 9000, *bare(daemon)) as pid:
        share = until(lambda: escaped(daemon), "the escape to be seen")
        kinds = {cause["kind"] for cause in share["escape"]["causes"]}
        assert kinds == {"no-guard", "over-limit"}
        verified = daemon.gpushare("verify", "job")
        assert verified.returncode == 3
        assert f"process {pid} runs without the guard" in verified.stdout


# A second copy of the driver's library, in a namespace where nothing is preloaded (dlmopen(3)).
SECOND_COPY = """
import ctypes, sys
libc = ctypes.CDLL("libc.so.6")
libc.dlmopen.restype = libc.dlsym.restype = ctypes.c_void_p
libc.dlsym.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
driver = libc.dlmopen(ctypes.c_long(-1), b"libcuda.so.1", ctypes.c_int(2))
def call(name, *arguments):
    assert ctypes.CFUNCTYPE(ctypes.c_int)(libc.dlsym(driver, name))(*arguments) == 0
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
call(b"cuInit", 0)
call(b"cuDeviceGet", ctypes.byref(device), 0)
call(b"cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call(b"cuCtxSetCurrent", context)
call(b"cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(9000 << 20))
print("done", flush=True)
sys.stdin.read()
"""


def test_a_second_copy_of_the_driver_in_a_program_is_seen(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    words = ("exec", "job", "--", sys.executable, "-c", SECOND_COPY)
    with daemon.spawn(*words, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        share = until(lambda: escaped(daemon), "the escape to be seen")
        causes = {(cause["kind"], cause["pid"]) for cause in share["escape"]["causes"]}
        assert ("over-limit", None) in causes
        assert share["memory"]["used"] > share["memory"]["limit"]
        process.kill()
        process.communicate()


@pytest.mark.parametrize("act", ["end", "suspend"])
def test_the_policy_acts_on_an_escape(daemon: Daemon, act: str) -> None:
    policy = daemon.folder / "policy.toml"
    policy.write_text(f'apiVersion = "v1"\non_escape = "{act}"\n')
    assert daemon.gpushare("apply", "-f", policy).returncode == 0
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    with program(daemon, 9000, "env", "LD_PRELOAD=") as pid:
        if act == "end":
            until(lambda: daemon.share("job") is None, "the share to end")
            (share,) = daemon.json("ps", "-a")["items"]
            assert "runs without the guard" in share["reason"]
            assert share["escape"]["until"]
        else:
            status = Path(f"/proc/{pid}/status")
            until(lambda: "(stopped)" in status.read_text(), "the process to be stopped")
            assert daemon.share("job") is not None


def test_a_limit_that_a_program_raised_itself_is_seen(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    with daemon.spawn("exec", "job", "--", *PROGRAM, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        put_gpu(region(daemon), limit=2**37)
        take(process, 9000)
        share = until(lambda: escaped(daemon), "the escape to be seen")
        assert [cause["kind"] for cause in share["escape"]["causes"]] == ["over-limit"]
        process.kill()
        process.communicate()


def test_the_limit_is_written_again_before_the_next_program_starts(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    put_gpu(region(daemon), limit=2**37)
    with pytest.raises(AssertionError), program(daemon, 9000):
        pass


def test_numbers_that_no_gpu_reaches_are_bounded_and_marked(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    with program(daemon, 64):
        most = (2**64 - 1).to_bytes(8, "little")
        put_gpu(region(daemon), peak=2**64 - 1, denied=2**64 - 1)
        slot = layout.GsRegion.slot.offset
        with region(daemon).path.open("r+b") as file:
            for field in ("charged", "cached", "movable", "moved"):
                file.seek(slot + getattr(layout.GsRegionSlot, field).offset)
                file.write(most)
        share = until(lambda: escaped(daemon), "the escape to be seen")
        assert share["escape"]["causes"][0]["kind"] == "impossible"
        total = daemon.json("gpus")["items"][0]["memory"]["total"]
        assert share["memory"]["peak"] == total
        assert share["memory"]["used"] <= total
        assert "GiB!" in daemon.gpushare("ps").stdout


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_a_program_on_another_gpu_is_seen(daemon: Daemon) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB", "--gpu", "0")
    with program(daemon, 1000, "env", "LD_PRELOAD=", "CUDA_VISIBLE_DEVICES=1") as pid:
        share = until(lambda: escaped(daemon), "the escape to be seen")
        cause = share["escape"]["causes"][0]
        assert (cause["kind"], cause["pid"]) == ("other-gpu", pid)
        assert share["enforcement"]["devices"] == "reported"


@pytest.mark.parametrize("spoil", [removed, cut, of_another_version, without_links])
def test_a_region_that_no_program_uses_is_made_again_at_the_next_start(
    daemon: Daemon, spoil: Callable[[Daemon], None]
) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    spoil(daemon)
    refused = daemon.machine.run(*GPUSHARE_EXEC, *PROGRAM, env=daemon.environment)
    assert refused.returncode == 0, refused.stderr
    with program(daemon, 64), pytest.raises(AssertionError), program(daemon, 9000):
        pass
    assert region(daemon).snapshot().gpus[0].denied


@pytest.mark.parametrize("spoil", [removed, of_another_version])
@pytest.mark.parametrize("command", ["exec", "env"])
def test_no_program_starts_while_others_use_a_region_that_is_gone(
    daemon: Daemon, spoil: Callable[[Daemon], None], command: str
) -> None:
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    with program(daemon, 64) as pid:
        spoil(daemon)
        words = ("exec", "job", "--", "true") if command == "exec" else ("env", "job")
        refused = daemon.gpushare(*words)
        assert refused.returncode != 0
        assert "GS1507" in refused.stderr
        assert str(pid) in refused.stderr
        assert "gpushare rm --force job" in refused.stderr


def test_all_runtime_files_and_the_socket_may_vanish(daemon: Daemon) -> None:
    """As at a logout, which removes XDG_RUNTIME_DIR."""
    daemon.gpushare("create", "-q", "--name", "job", "-m", "8GiB")
    shutil.rmtree(daemon.runtime)
    daemon.socket.unlink()
    until(daemon.socket.exists, "the daemon to listen again")
    with program(daemon, 64), pytest.raises(AssertionError), program(daemon, 9000):
        pass


GPUSHARE_EXEC = (sys.executable, "-m", "gpushare.cli", "exec", "job", "--")
