# SPDX-License-Identifier: Apache-2.0
"""Programs that the guard cannot be loaded into are known by their files."""

import os
import struct
import sys
from pathlib import Path

import pytest

from gpushare.session.program_file import unguarded

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"


def elf(path: Path, loader: str = "", *, bits: int = 64, headers: int = 1) -> str:
    """A program with this loader, as much of it as the kernel reads first."""
    name = loader.encode() + b"\0"
    head = bytearray(64)
    head[:6] = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1])
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, headers)
    kind = 3 if loader else 1
    segment = struct.pack("<IIQQQQQQ", kind, 4, 64 + 56, 0, 0, len(name), len(name), 1)
    path.write_bytes(bytes(head) + segment + name)
    path.chmod(0o755)
    return str(path)


def test_a_program_for_glibc_is_limited(tmp_path):
    assert unguarded(elf(tmp_path / "program", GLIBC)) == ""
    assert unguarded(sys.executable) == ""


@pytest.mark.parametrize(
    ("loader", "bits", "why"), [(MUSL, 64, "musl"), ("", 64, "statically"), ("", 32, "32 bits")]
)
def test_others_are_named(tmp_path, loader, bits, why):
    assert why in unguarded(elf(tmp_path / "program", loader, bits=bits))


def test_a_script_is_what_its_interpreter_is(tmp_path):
    shell = elf(tmp_path / "busybox", MUSL)
    script, outer = tmp_path / "script", tmp_path / "outer"
    script.write_text(f"#! {shell} -e\necho\n")
    outer.write_text(f"#!{script}\n")
    assert "musl" in unguarded(str(script))
    assert "musl" in unguarded(str(outer))
    script.write_text(f"#!{script}\n")  # itself
    assert unguarded(str(script)) == ""


def test_env_is_what_it_finds(tmp_path, monkeypatch):
    elf(tmp_path / "busybox", MUSL)
    monkeypatch.setenv("PATH", str(tmp_path))
    script = tmp_path / "script"
    for line in ("/usr/bin/env busybox", "/usr/bin/env -S A=1 busybox -e"):
        script.write_text(f"#!{line}\n")
        assert "musl" in unguarded(str(script))
    script.write_text("#!/usr/bin/env missing\n")
    assert unguarded(str(script)) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="a program has all rights of root already")
def test_a_program_with_rights_of_its_own_is_named(tmp_path):
    path = Path(elf(tmp_path / "program", GLIBC))
    path.chmod(0o4755)
    assert "rights" in unguarded(str(path))


@pytest.mark.parametrize(
    "content", [b"", b"#!", b"#!\n", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 90, b"echo\n"]
)
def test_what_is_no_program_says_nothing(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert unguarded(str(path)) == ""
    assert unguarded(str(tmp_path / "missing")) == ""
    os.mkfifo(tmp_path / "pipe")
    assert unguarded(str(tmp_path / "pipe")) == ""
