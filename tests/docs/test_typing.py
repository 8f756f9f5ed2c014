# SPDX-License-Identifier: Apache-2.0
"""What types the pages notices what is wrong in them."""

from pathlib import Path

import pytest

from support.typed.compare import alike
from support.typed.pages import Command, File, Omitted, parts
from support.typed.session import complaints

SHOWN = "train  ana   0 H200  6.5 / 8.0 GiB  24 / 25%  running  9s"


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        ("train  ana  0 H200  6.5 / 8.0 GiB  3 / 25%  running  2m", True),  # measured, and an age
        ("train    ana  0 H200  6.5 / 8.0 GiB  25%  running  2m  idle 1m", True),
        ("train  ana   0 H200  6.5 / 8.0 GiB  24 / 50%  running  9s", False),
        ("train  ana   0 H200  6.0 / 8.0 GiB  24 / 25%  running  9s", False),
        ("train  ana   0 H200  6.5 / 8.0 GiB  24 / 25%  granted  9s", False),
        ("train  ana   1 H200  6.5 / 8.0 GiB  24 / 25%  running  9s", False),
        ("", False),
    ],
)
def test_only_what_differs_from_run_to_run_may_differ(printed: str, same: bool) -> None:
    assert alike([SHOWN], printed.splitlines()) is same


def test_dots_stand_for_lines_and_an_ellipsis_for_a_part_of_one() -> None:
    printed = ["state  running", "user  ana", "key  abc", "end"]
    assert alike(["state  running", "...", "key  …", "end"], printed)
    assert alike(["...", "state  running", "user  ana", "key  abc", "end", "..."], printed)
    assert not alike(["state  running", "key  …", "end"], printed)
    assert not alike(["...", "key  …"], printed)


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_a_page_is_read_as_its_reader_does(tmp_path: Path) -> None:
    text = """`policy.toml`:
```toml
shares = 2
```
<!-- not typed: it needs root -->
```console
# halt
```
```console
$ echo one \\
    two
one two
```
```sh
for n in 1 2
do echo $n; done
true
```
"""
    assert list(parts(page(tmp_path, text))) == [
        File("policy.toml", "shares = 2\n"),
        Omitted(7, "it needs root"),
        Command(10, "echo one \\\n    two", ("one two",)),
        Command(15, "for n in 1 2\ndo echo $n; done", None),
        Command(17, "true", None),
    ]


DIALOGUE = """<!-- typed in a clone -->
```console
$ cd examples
$ (sleep 0; echo later) &
[1] 4711
later
$ test -e 01-three-programs && echo there
there
$ no-such-program
bash: no-such-program: command not found
```
"""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("", "", "no-such-program: exit code 127"),
        ("there\n$ no", "here\n$ no", "+there"),
        ("$ cd examples\n", "", "exit code 1"),
        ("later\n$", "later\nand more\n$", "-and more"),
    ],
)
def test_what_is_wrong_in_a_page_is_named(
    short_path: Path, monkeypatch, right: str, wrong: str, complaint: str
) -> None:
    monkeypatch.setattr("support.typed.terminal.HANG_SECONDS", 5)
    path = page(short_path, DIALOGUE.replace(right, wrong, 1))
    assert complaint in "\n".join(complaints(list(parts(path)), short_path))
