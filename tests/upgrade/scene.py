# SPDX-License-Identifier: Apache-2.0
"""What happens to the daemon of an earlier gpushare before its files are kept.

Run by scripts/record_former_state.py with the Python path of that version: nothing here may be
newer than its tests' support.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from support.daemon import Daemon, until
from support.machine import simulated

_MARK = "allocated"
# Uses the driver alone, as every version's simulated machine has it.
PROGRAM = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(2 << 30)) == 0
written = bytes(range(64))
assert cuda.cuMemcpyHtoD_v2(memory, written, ctypes.c_size_t(64)) == 0
print("allocated", flush=True)
for line in sys.stdin:
    if line.startswith("allocate"):
        more = ctypes.c_uint64()
        size = ctypes.c_size_t(int(line.split()[1]))
        print("allocate", cuda.cuMemAlloc_v2(ctypes.byref(more), size), flush=True)
    else:
        read = ctypes.create_string_buffer(64)
        assert cuda.cuMemcpyDtoH_v2(read, memory, ctypes.c_size_t(64)) == 0
        print("kept" if read.raw == written else "lost", flush=True)
"""
GPUSHARE = (sys.executable, "-m", "gpushare.cli")


def begin(daemon, name, *options):
    """`gpushare run` with the program, past its allocation."""
    output = daemon.folder / f"{name}.out"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [*GPUSHARE, "run", "--name", name, *options, "--", sys.executable, "-c", PROGRAM],
            env=daemon.environment,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=sink,
        )
    until(lambda: _MARK in output.read_text() or process.poll() is not None, f"{name} to allocate")
    assert process.poll() is None, output.read_text()
    return process


def attempt(daemon, done, what, *words):
    """A command that this version may not have yet."""
    answer = daemon.gpushare(*words)
    if answer.returncode == 0:
        done.append(what)
    else:
        sys.stderr.write(f"{what}: {answer.stderr[-300:]}\n")


def play(daemon, folder):
    """The scene; what of it took place."""
    done = ["run"]
    programs = [begin(daemon, "busy", "-m", "8GiB")]
    attempt(daemon, done, "held", "create", "--name", "held", "-m", "4GiB", "--ttl", "1000d")
    with contextlib.suppress(AssertionError):
        programs.append(begin(daemon, "away", "-m", "6GiB"))
        attempt(daemon, done, "suspended", "suspend", "away")
    attempt(daemon, done, "token", "token", "create", "--note", "old")
    attempt(daemon, done, "tenant", "tenant", "set", "team", "--user", "root", "--weight", "2")
    full = ("-m", "139GiB", "--queue")
    attempt(daemon, done, "queued", "create", "--name", "waiting", "--ttl", "1000d", *full)
    shown = json.loads(daemon.gpushare("ps", "-o", "json").stdout)
    version = daemon.gpushare("version").stdout.strip()
    daemon.kill()
    # `data` of a host pool is as large as the pool, and empty; a test makes it again.
    left_out = shutil.ignore_patterns("*.sock", "data", "*.out")
    shutil.copytree(daemon.folder, folder / "files", ignore=left_out, symlinks=True)
    return programs, {"done": done, "shares": shown["items"], "version": version}


def main(folder, commit):
    folder.mkdir(parents=True)
    # In memory, where a GPU could map pages: so every file of the runtime directory is in it.
    with (
        simulated("h200-1") as machine,
        tempfile.TemporaryDirectory(prefix="gs-", dir="/dev/shm") as place,
    ):
        daemon = Daemon(machine, Path(place))
        daemon.start()
        programs, manifest = play(daemon, folder)
        manifest |= {"commit": commit, "uid": os.geteuid(), "folder": place}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
        for program in programs:
            program.send_signal(signal.SIGKILL)
            program.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
