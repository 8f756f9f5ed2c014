# SPDX-License-Identifier: Apache-2.0
"""Layouts as C sees them and as ctypes does, to be compared."""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

HEADERS = Path(__file__).parents[2] / "native" / "guard"
# A struct's mirror; a pair where its first fields are mirrored as a header of their own.
Mirror = type[ctypes.Structure] | tuple[type[ctypes.Structure], type[ctypes.Structure]]


def has_compiler() -> bool:
    return shutil.which("cc") is not None


def mirrored(structs: Mapping[str, Mirror]) -> dict[str, int]:
    """Sizes and offsets by name."""
    found = {}
    for name, mirror in structs.items():
        whole = mirror[0] if isinstance(mirror, tuple) else mirror
        found[name] = ctypes.sizeof(whole)
        found |= {f"{name}.{m}": _offset(mirror, m) for m in _members(mirror)}
    return found


def in_c(
    folder: Path, header: str, structs: Mapping[str, Mirror], constants: Sequence[str]
) -> dict[str, int]:
    """The same as the compiler says, and constants by the last word of their name."""
    lines = [f'P("{name.rpartition("_")[2].lower()}", {name});' for name in constants]
    for name, mirror in structs.items():
        lines += [f'P("{name}", sizeof(struct {name}));']
        lines += [f'P("{name}.{m}", offsetof(struct {name}, {m}));' for m in _members(mirror)]
    source, program = folder / "layout.c", folder / "layout"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{header}"\n'
        '#define P(name, value) printf("%s %zu\\n", name, (size_t)(value))\n'
        "int main(void) {\n" + "\n".join(lines) + "}\n"
    )
    build = ["cc", "-std=gnu17", f"-I{HEADERS}", "-o", str(program), str(source)]
    subprocess.run(build, check=True, timeout=60)
    told = subprocess.run([program], check=True, capture_output=True, text=True, timeout=10).stdout
    return {name: int(value) for name, value in (line.split() for line in told.splitlines())}


def _members(mirror: Mirror) -> list[str]:
    if not isinstance(mirror, tuple):
        return [field for field, *_ in mirror._fields_]
    whole, header = mirror
    inner = [field for field, *_ in header._fields_]
    return inner + [field for field, *_ in whole._fields_ if field != "header"]


def _offset(mirror: Mirror, member: str) -> int:
    if not isinstance(mirror, tuple):
        return getattr(mirror, member).offset
    whole, header = mirror
    inside = {field for field, *_ in header._fields_}
    return getattr(header if member in inside else whole, member).offset
