# SPDX-License-Identifier: Apache-2.0
"""The reference says what the code does: nothing is missing, nothing is out of date."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from gpushare.api.metrics import MEASURES
from gpushare.api.routes import ROUTES
from gpushare.cli import command
from gpushare.cli._format.error_texts import EXPLANATIONS
from gpushare.config.sources import FIELDS, VARIABLES
from gpushare.model.errors import catalogue
from support.scripts import load_script

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def generator() -> ModuleType:
    return load_script(REFERENCE / "generate.py")


def commands(verb: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, verb
    if isinstance(verb, click.Group):
        context = click.Context(verb)
        for name in verb.list_commands(context):
            found = verb.get_command(context, name)
            assert found is not None, f"{path} {name} has no command"
            yield from commands(found, f"{path} {name}")


def test_the_reference_is_what_the_code_says() -> None:
    assert not generator().stale(), "run: make docs"


@pytest.mark.parametrize(("path", "verb"), list(commands(command, "gpushare")))
def test_every_command_and_option_has_its_place(path: str, verb: click.Command) -> None:
    section = re.search(rf"^Usage: {path} .*?^```$", page("cli.md"), re.DOTALL | re.MULTILINE)

    assert section, f"{path} is not in the reference"
    for parameter in verb.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            for option in parameter.opts:
                assert re.search(rf"{option}\b", section[0]), f"{path} {option}"


@pytest.mark.parametrize(("path", "verb"), list(commands(command, "gpushare")))
def test_every_command_and_option_explains_itself(path: str, verb: click.Command) -> None:
    assert verb.help, f"{path} has no help"
    silent = [p.name for p in verb.params if isinstance(p, click.Option) and not p.help]
    assert not silent, f"options of {path} without help: {silent}"


def test_every_error_has_its_words_and_its_place() -> None:
    assert EXPLANATIONS.keys() == catalogue().keys()
    missing = [code for code in catalogue() if f"## {code}\n" not in page("errors.md")]
    assert not missing


def test_every_setting_and_its_variable_have_their_place() -> None:
    text = page("config.md")
    missing = [n for n in FIELDS if f"`{n}`" not in text or f"`{VARIABLES[n]}`" not in text]
    assert not missing


def test_every_metric_has_its_place() -> None:
    assert not [each.name for each in MEASURES if f"`{each.name}`" not in page("metrics.md")]


def test_every_call_has_its_place() -> None:
    text = page("api.md")
    assert not [r.path for r in ROUTES if f"`{r.method} {r.path}`" not in text]


DOCS = REFERENCE.parent


def linked(index: Path) -> list[Path]:
    targets = re.findall(r"\]\(([^):#\s]+\.md)\)", index.read_text("utf-8"))
    return [(index.parent / target).resolve() for target in targets]


def test_the_index_of_decisions_lists_each_once_in_order() -> None:
    index = (DOCS / "adr/README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.*) \|$", index, re.MULTILINE)
    decisions = sorted((DOCS / "adr").glob("0*.md"))
    assert [path for _, path, _ in rows] == [path.name for path in decisions]
    titles = [path.read_text("utf-8").splitlines()[0] for path in decisions]
    assert [f"# {number}: {title}" for number, _, title in rows] == titles


def test_every_page_is_linked_from_an_index() -> None:
    known = {page for index in DOCS.rglob("README.md") for page in linked(index)}
    lost = set(DOCS.rglob("*.md")) - known - {DOCS / "README.md"}
    assert not lost


def folders(root: Path) -> set[str]:
    """Folders with sources in them, as paths below the root."""
    files = [*root.rglob("*.py"), *root.rglob("*.c")]
    return {path.parent.relative_to(root).as_posix() for path in files} - {"."}


@pytest.mark.parametrize("root", ["src/gpushare", "src/gpushare/daemon", "native/guard"])
def test_the_architecture_page_lists_every_room(root: str) -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    rooms = folders(DOCS.parent / root)
    if root.startswith("src"):
        rooms = {room for room in rooms if "/" not in room and not room.startswith("_")}
    assert not [room for room in rooms if f"`{room}`" not in text]


def test_the_glossary_gives_each_term_one_meaning() -> None:
    text = (DOCS.parent / "GLOSSARY.md").read_text("utf-8").split("## 中文")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|", text, re.MULTILINE)
    terms = [term for row in rows for term in row.replace(" (SM)", "").split(", ")]
    repeated = {term for term in terms if terms.count(term) > 1} - {"term", "state", "---"}
    assert not repeated


SHOWN = re.compile(r"(?:^\s*[$#] |&& |\|\| |\()gpushare ([^|&;<>)\n]*)", re.MULTILINE)


def shown_commands() -> list[tuple[str, str]]:
    """Every `gpushare …` of a code block that a reader would type, up to a pipe or a program."""
    pages = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md"), *DOCS.parent.glob("examples/*/*.md")]
    return sorted(
        {
            (page.relative_to(DOCS.parent).as_posix(), line)
            for page in pages
            if page.parent != REFERENCE
            for block in re.findall(
                r"```(?:console|sh)\n(.*?)```", page.read_text("utf-8"), re.DOTALL
            )
            for line in SHOWN.findall(block)
        }
    )


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_commands_shown_in_the_documentation_exist(page: str, line: str) -> None:
    here, words = command, iter(shlex.split(line, comments=True))
    for word in words:
        if word == "--":
            return
        if word.startswith("-"):
            name = word.split("=")[0]
            options = [option for option in here.params if name in option.opts]
            assert options, f"{page}: gpushare {line} has no {name}"
            if not getattr(options[0], "is_flag", False) and "=" not in word:
                next(words, None)
        elif isinstance(here, click.Group):
            found = here.get_command(click.Context(here), word)
            assert found is not None, f"{page}: there is no gpushare {line}"
            here = found


def isolation_cells() -> list[str]:
    text = (REFERENCE.parent / "explanation" / "threat-model.md").read_text("utf-8")
    section = text.split("### How we know\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [cell.strip() for row in rows for cell in row.strip("|").split("|")[1:]]


def test_each_cell_of_the_isolation_table_is_tested_claimed_or_open() -> None:
    cells = isolation_cells()
    assert len(cells) >= 30
    words = re.compile("tested|claimed|open|as reading|\u2013")
    unknown = [cell for cell in cells if not words.match(cell)]
    assert not unknown


def test_what_the_isolation_table_names_is_there() -> None:
    """Files by their path below the root, tests/ or src/, and tests by their name after `::`."""
    root = Path(__file__).parents[1]
    named = re.findall(r"`([\w/-]+\.(?:py|json))(?:::(\w+))?`", " ".join(isolation_cells()))
    assert len(named) >= 15
    for path, test in named:
        found = [
            base / path for base in (root, root / "tests", root / "src") if (base / path).exists()
        ]
        assert found, path
        assert f"def {test}" in found[0].read_text("utf-8") or not test, (path, test)
