# SPDX-License-Identifier: Apache-2.0
"""The ladders of the native trees hold, and scripts/check_includes.py sees when they do not."""

from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts/check_includes.py"
LADDERS = {"tree": (("base",), ("left", "right"), ("hooks/memory",), ("hooks",), (".",))}


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    return load_script(SCRIPT)


def plant(root: Path, **files: str) -> None:
    """Files of the tree, by their path without folder separators: `base__log_c`."""
    for name, includes in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = root / "tree" / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f'#include "{line}"\n' for line in includes.split()))


def test_the_native_trees_keep_their_ladders(checker: ModuleType) -> None:
    assert checker.check(ROOT / "native", checker.LADDERS) == []


def test_includes_of_lower_rooms_and_of_the_own_room_are_allowed(
    checker: ModuleType, tmp_path: Path
) -> None:
    plant(
        tmp_path,
        base__log_h="",
        base__log_c="base/log.h base/map.h",
        base__map_h="",
        left__gate_c="base/log.h",
        hooks__memory__alloc_c="left/gate.h base/map.h",
        left__gate_h="table.def cuda.h",
        init_c="hooks/memory/alloc.h",
        table_def="",
    )
    assert checker.check(tmp_path, LADDERS) == []


@pytest.mark.parametrize(
    ("source", "target", "rooms"),
    [
        ("base/log.c", "left/gate.h", "base may include only rooms below it, not left"),
        ("left/copy.c", "right/image.h", "left may include only rooms below it, not right"),
        ("hooks/memory/alloc.c", "hooks/work.h", "hooks/memory may include only rooms below it"),
        ("base/log.c", "init.h", "base may include only rooms below it, not ."),
    ],
)
def test_an_include_of_a_room_that_is_not_below_is_found(
    checker: ModuleType, tmp_path: Path, source: str, target: str, rooms: str
) -> None:
    plant(tmp_path, left__gate_h="", right__image_h="", hooks__work_h="", init_h="")
    path = tmp_path / "tree" / source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#include <errno.h>\n#  include "{target}"\n')
    (message,) = checker.check(tmp_path, LADDERS)
    assert message.startswith(f"tree/{source}:2: includes {target}: {rooms}")


@pytest.mark.parametrize("line", ['"../left/gate.h"', "<left/gate.h>", '"left/gate.c"'])
def test_no_way_of_writing_an_include_hides_it(
    checker: ModuleType, tmp_path: Path, line: str
) -> None:
    plant(tmp_path, base__log_c="", left__gate_h="", left__gate_c="")
    (tmp_path / "tree/base/log.c").write_text(f"#include {line}\n")
    (message,) = checker.check(tmp_path, LADDERS)
    assert "base may include only rooms below it, not left" in message


def test_a_circle_of_files_is_found_with_its_lines(checker: ModuleType, tmp_path: Path) -> None:
    plant(
        tmp_path,
        base__one_c="base/one.h base/two.h",
        base__one_h="",
        base__two_h="",
        base__two_c="base/two.h three.h",
        base__three_h="base/one.h",
    )
    (message,) = checker.check(tmp_path, LADDERS)
    assert message.splitlines() == [
        "tree: files include each other in a circle:",
        "  tree/base/one.c:2: includes base/two.h",
        "  tree/base/two.c:2: includes base/three.h",
        "  tree/base/three.h:1: includes base/one.h",
    ]


def test_a_folder_that_is_no_room_is_found(checker: ModuleType, tmp_path: Path) -> None:
    plant(tmp_path, attic__old_c="")
    assert checker.check(tmp_path, LADDERS) == [
        "tree/attic/old.c: its folder is no room of the ladder"
    ]


def test_it_ends_with_an_error_when_something_is_wrong(
    checker: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant(tmp_path, base__log_c="left/gate.h", left__gate_h="")
    monkeypatch.setattr(checker, "ROOT", tmp_path)
    monkeypatch.setattr(checker, "LADDERS", LADDERS)
    assert checker.main() == 1
    assert "tree/base/log.c:1" in capsys.readouterr().out
