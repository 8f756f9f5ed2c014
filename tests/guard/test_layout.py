# SPDX-License-Identifier: Apache-2.0
"""layout.py is what the C headers declare, and what a C compiler makes of them."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from gpushare.guard import layout
from support.scripts import load_script

ROOT = Path(__file__).parents[2]
HEADERS = ROOT / "native" / "guard"
NAMES = ("former_region", "gpu_page", "swap_pool")  # the first includes that of this version
# A header's class and the whole's: in C they are one struct.
STRUCTS = {
    name: kind
    for name, kind in vars(layout).items()
    if isinstance(kind, type) and issubclass(kind, ctypes.Structure)
}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_script(ROOT / "scripts" / "generate_layout.py")


def test_is_what_the_headers_declare(generator: ModuleType) -> None:
    assert generator.generate(generator.HEADERS) == Path(layout.__file__).read_text("utf-8")


def test_a_field_that_differs_is_named(generator: ModuleType, tmp_path: Path) -> None:
    paths = []
    for path in generator.HEADERS:
        text = path.read_text("utf-8")
        text = text.replace("uint64_t fences;", "uint64_t fences; uint64_t refusals;")
        text = text.replace("GS_SHARE_SLOTS = 64", "GS_SHARE_SLOTS = 32")
        paths.append(tmp_path / path.name)
        paths[-1].write_text(text.replace("GS_RUNS, GS_LEAVES", "GS_LEAVES, GS_RUNS"))
    new = generator.generate(tuple(paths))
    found = list(generator.differences(new, Path(layout.__file__).read_text("utf-8")))
    assert 'GsShareSlot: only the header has ("refusals", ctypes.c_uint64)' in found
    assert "GsShareSlotNumbers: only the header has refusals: int = 0" in found
    assert "constants: only layout.py has SHARE_SLOTS = 64" in found
    assert "Phase: only the header has RUNS = 1" in found


@pytest.mark.skipif(shutil.which("cc") is None, reason="compares with a C compiler: needs one")
def test_is_what_the_compiler_says(tmp_path: Path) -> None:
    lines = [f'P("{name}", {expression});' for name, (expression, _) in facts().items()]
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    includes = "".join(f'#include "share/{n}.h"\n' for n in NAMES)
    source.write_text(
        f"#include <stddef.h>\n#include <stdio.h>\n{includes}"
        '#define P(name, value) printf("%s %zu\\n", name, (size_t)(value))\n'
        "int main(void) {\n" + "\n".join(lines) + "}\n"
    )
    build = ["cc", "-std=gnu17", f"-I{HEADERS}", "-o", str(program), str(source)]
    subprocess.run(build, check=True, timeout=60)
    ran = subprocess.run([program], check=True, capture_output=True, text=True, timeout=120)
    compiled = {name: int(value) for name, value in map(str.split, ran.stdout.splitlines())}
    assert compiled == {name: value for name, (_, value) in facts().items()}


def facts() -> dict[str, tuple[str, int]]:
    """What C calls each size, offset and constant, and its value here."""
    constants = {n: (f"GS_{n}", v) for n, v in vars(layout).items() if isinstance(v, int)}
    return constants | {fact[0]: fact[1:] for kind in STRUCTS.values() for fact in offsets(kind)}


def offsets(kind: type[ctypes.Structure]) -> Iterator[tuple[str, str, int]]:
    title = kind.__name__
    name = snake(title.removesuffix("Header"))
    if not title.endswith("Header"):
        yield title, f"sizeof(struct {name})", ctypes.sizeof(kind)
    for field, *_ in kind._fields_:
        if field != "header":
            offset = f"offsetof(struct {name}, {field})"
            yield f"{title}.{field}", offset, getattr(kind, field).offset


def snake(title: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in title)[1:]


def test_needs_the_standard_library_only() -> None:
    ran = [sys.executable, "-I", "-S", layout.__file__]
    subprocess.run(ran, check=True, timeout=120)
