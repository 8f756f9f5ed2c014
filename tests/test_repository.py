# SPDX-License-Identifier: Apache-2.0
"""What holds for the whole repository."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[1]
PROSE = ROOT / "scripts/check_prose.py"
SOURCE = {".py", ".c", ".h", ".def", ".mk", ".sh", ".toml", ".yaml", ".sql", ".service"}
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LONGEST_FILE = 400
MOST_FILES = 20  # in a folder of src or native
LONGEST_FUNCTION = 60


@cache
def tracked() -> tuple[Path, ...]:
    """Every file git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of files")
    names = (name for name in listed.stdout.split("\0") if name)
    return tuple(path for name in names if (path := ROOT / name).is_file())


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix in SOURCE]


def named(paths: list[str]) -> str:
    return "\n".join(["", *paths])


def test_every_source_file_names_its_licence() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in sources()
        if LICENCE not in "".join(path.read_text("utf-8").splitlines(keepends=True)[:3])
    ]
    assert not missing, named(missing)


def test_no_room_is_crowded() -> None:
    rooms = Counter(
        str(path.parent.relative_to(ROOT))
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in {"src", "native"}
        and "tests" not in path.parts
        and path.suffix in {".py", ".c", ".h"}
    )
    crowded = [f"{room}: {files} files" for room, files in rooms.items() if files > MOST_FILES]
    assert not crowded, named(crowded)


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, set[str]] = {}
    for path in sources():
        if path.suffix == ".py" and path.is_relative_to(ROOT / "src"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, set()).add(str(path.relative_to(ROOT)))
    shared = [
        f"{name}: {', '.join(sorted(where))}"
        for name, where in places.items()
        if where - {min(where)}
    ]
    assert not shared, named(shared)


OPENING = re.compile(r"/\*[^\n]*\*/\n/\*(.*?)\*/", re.DOTALL)
STATED = re.compile(r"\w.*\bOwner: \S.*\bThreads: \S.*\bLimits: \S", re.DOTALL)


def test_every_c_header_states_purpose_owner_threads_and_limits() -> None:
    rooms = [f"native/{room}/" for room in ("guard", "include", "probe", "simgpu")]
    headers = [
        path
        for path in tracked()
        if path.suffix == ".h" and path.relative_to(ROOT).as_posix().startswith(tuple(rooms))
    ]
    missing = [
        str(path.relative_to(ROOT))
        for path in headers
        if not (opening := OPENING.match(path.read_text("utf-8"))) or not STATED.search(opening[1])
    ]
    assert headers
    assert not missing, named(missing)


def test_no_source_file_is_longer_than_a_person_reads_at_once() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in sources()
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE
    ]
    assert not long, named(long)


def python_functions() -> Iterator[tuple[str, int]]:
    for path in sources():
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield where, node.end_lineno - node.lineno + 1


def c_functions() -> Iterator[tuple[str, int]]:
    """Functions of C files: a brace alone in the first column opens or closes one, by our style."""
    for path in sources():
        if path.suffix != ".c":
            continue
        begun = 0
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if re.match(r"[A-Za-z].*\) \{$|\{$", line):
                begun = number
            elif line.startswith("}") and begun:
                yield f"{path.relative_to(ROOT)}:{begun}", number - begun + 1
                begun = 0


@pytest.mark.parametrize("functions", [python_functions, c_functions])
def test_no_function_is_longer_than_a_page(functions) -> None:
    long = [f"{where}: {lines} lines" for where, lines in functions() if lines > LONGEST_FUNCTION]
    assert not long, named(long)


def modules_of_tests() -> Iterator[tuple[str, ast.Module]]:
    for path in sources():
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests"):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def always_true(claim: ast.expr) -> bool:
    """Whether its value cannot be false, whatever the code under test does."""
    if isinstance(claim, ast.GeneratorExp | ast.Lambda | ast.JoinedStr):
        return True
    if isinstance(claim, ast.List | ast.Tuple | ast.Set):
        return bool(claim.elts)
    if isinstance(claim, ast.Dict):
        return bool(claim.keys)
    if isinstance(claim, ast.ListComp | ast.SetComp | ast.DictComp):
        return not any(part.ifs for part in claim.generators)
    return isinstance(claim, ast.Constant) and bool(claim.value)


def test_every_assertion_can_fail() -> None:
    empty = [
        f"{where}:{node.lineno}"
        for where, module in modules_of_tests()
        for node in ast.walk(module)
        if (isinstance(node, ast.Assert) and always_true(node.test))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare))
    ]
    assert not empty, named(empty)


CLOCKS = {"datetime.now", "datetime.utcnow", "time.time", "time.monotonic", "date.today"}


def at_collection(module: ast.Module) -> Iterator[ast.expr]:
    """What is computed when pytest imports the module: not what is in functions."""
    pending: list[ast.AST] = [module]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [*node.decorator_list, node.args]
        elif not isinstance(node, ast.Lambda):
            pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            yield node.func


def test_no_test_keeps_the_time_of_its_collection() -> None:
    kept = [
        f"{where}:{called.lineno}"
        for where, module in modules_of_tests()
        for called in at_collection(module)
        if ast.unparse(called) in CLOCKS
    ]
    assert not kept, named(kept)


def test_nothing_is_left_to_do_in_the_code() -> None:
    marker = re.compile(r"\b(TODO|FIXME|XXX)\b")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if marker.search(line)
    ]
    assert not left, named(left)


def prose() -> ModuleType:
    return load_script(PROSE)


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("a.md", "Ask again.\nNot once more.\n", [2]),  # prose: allow
        ("a.md", "Not once\nmore.\n", [1]),
        (
            "a.md",
            "Not `once more`, [here](once%20more.md)\n```\nonce more\n```\n",  # prose: allow
            [],
        ),
        ("a.md", "Not once more. <!-- prose: allow -->\n", []),
        ("a.py", 'once_more = more  # once\n# more\n"""Once more."""\n', [1, 3]),  # prose: allow
        ("a.py", "if once: more = once - 1\n", []),
        ("a.c", '/* not once\n * more */ int once; more("once more");\n', [1, 2]),  # prose: allow
    ],
)
def test_prose_is_checked_where_a_person_reads_it(path, text, found) -> None:
    checker = prose()
    rules = checker.rules_of({"once more": "'again'"}, r"\b")  # prose: allow
    assert [hit.line for hit in checker.hits(path, text, rules)] == found


def verbs() -> list[str]:
    from gpushare.cli import command  # noqa: PLC0415 (the other checks need no package)

    return sorted(name for name, verb in command.commands.items() if not verb.hidden)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_every_verb_is_shown_in_the_readme_or_the_tutorial() -> None:
    shown = text("README.md") + "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "docs/tutorial").glob("*.md"))
    )
    missing = [verb for verb in verbs() if not re.search(rf"gpushare\s+{verb}\b", shown)]
    assert not missing, named(missing)


def headings(markdown: str) -> list[int]:
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return [len(marks) for marks in re.findall(r"^(#+) ", prose, flags=re.MULTILINE)]


def commands(markdown: str) -> list[str]:
    """Lines of code blocks that a reader would type."""
    blocks = re.findall(
        r"^```(?:console|sh|bash|python)\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE
    )
    return [line for block in blocks for line in block.splitlines()]


def links(markdown: str) -> list[str]:
    return re.findall(r"\]\(([^)#\s]+)", markdown)


CHINESE = [path for path in tracked() if path.name.endswith(".zh-CN.md")]


@pytest.mark.parametrize("page", CHINESE, ids=lambda path: path.name)
def test_a_chinese_page_has_the_sections_commands_and_links_of_the_english_one(page: Path) -> None:
    original = page.with_name(page.name.replace(".zh-CN", ""))
    english, chinese = original.read_text("utf-8"), page.read_text("utf-8")
    assert headings(english) == headings(chinese)
    assert commands(english) == commands(chinese)
    assert f"]({page.name})" in english
    assert same_pages(english) == same_pages(chinese)


def same_pages(markdown: str) -> list[str]:
    """Its links, without regard to the language of the pages."""
    return sorted(link.replace(".zh-CN", "") for link in links(markdown))


def test_every_link_inside_the_documentation_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)} -> {link}"
        for path in tracked()
        if path.suffix == ".md"
        for link in links(path.read_text("utf-8"))
        if "://" not in link and not link.startswith("mailto:")
        if not (path.parent / link).exists()
    ]
    assert not broken, named(broken)


def test_every_example_has_a_readme_and_a_check() -> None:
    examples = [path for path in sorted((ROOT / "examples").iterdir()) if path.is_dir()]
    assert examples
    incomplete = [
        path.name
        for path in examples
        if not (path / "README.md").exists() or not (path / "check").exists()
    ]
    assert not incomplete, named(incomplete)


def test_every_make_target_helps() -> None:
    makefile = text("Makefile")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(phony.split()) - {"native", "one-word-path"} == described


def test_commands_of_the_readme_are_make_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    used = set(re.findall(r"^(?:\$ )?make ([a-z-]+)", "\n".join(commands(text("README.md")))))
    assert used <= targets


def test_changelog_fragments_are_named_by_what_they_are() -> None:
    kinds = ("added", "changed", "fixed", "removed")
    wrong = [
        path.name
        for path in (ROOT / "changelog.d").iterdir()
        if not re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(kinds)})\.md", path.name)
    ]
    assert not wrong, named(wrong)
