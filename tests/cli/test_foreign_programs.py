# SPDX-License-Identifier: Apache-2.0
"""Programs that the guard cannot be loaded into run in a share as they do without it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.daemon import Daemon

SOURCE = '#include <stdio.h>\nint main(void) { puts("runs"); return 3; }\n'


@pytest.fixture
def build(tmp_path: Path):
    """A program that prints a word and ends with 3, from a compiler with options."""

    def compile_(compiler: str, *options: str) -> str:
        if shutil.which(compiler) is None:
            pytest.skip(f"needs {compiler}")
        source, program = tmp_path / "program.c", tmp_path / "program"
        source.write_text(SOURCE)
        words = [compiler, *options, "-o", str(program), str(source)]
        made = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if made.returncode:
            pytest.skip(f"{' '.join(words[:-3])} does not work here: {made.stderr[:80]}")
        return str(program)

    return compile_


KINDS = {
    "musl": (("musl-gcc",), "musl"),
    "static": (("cc", "-static"), "statically"),
    "32 bits": (("cc", "-m32"), "32 bits"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_cannot_be_limited_runs_and_is_named(daemon: Daemon, build, kind: str):
    (compiler, why) = KINDS[kind]
    program = build(*compiler)
    done = daemon.gpushare("run", "-m", "1GiB", "--", program)
    assert (done.returncode, done.stdout) == (3, "runs\n")
    assert f"the guard cannot limit {program}: it is" in done.stderr
    assert why in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_such_a_program_runs_as_the_child_of_another(daemon: Daemon, build, kind: str):
    program = build(*KINDS[kind][0])
    done = daemon.gpushare("run", "-m", "1GiB", "--", "sh", "-c", f"{program}; echo $?")
    assert done.stdout == "runs\n3\n"


@pytest.mark.parametrize("options", ["", "detect_leaks=0"])
def test_a_program_with_address_sanitizer_runs(
    daemon: Daemon, build, monkeypatch: pytest.MonkeyPatch, options: str
):
    program = build("gcc", "-fsanitize=address")
    if options:
        monkeypatch.setitem(daemon.environment, "ASAN_OPTIONS", options)
    done = daemon.gpushare("run", "-m", "1GiB", "--", program)
    assert (done.returncode, done.stdout, done.stderr) == (3, "runs\n", "")
