# SPDX-License-Identifier: Apache-2.0
"""Commands that users of other tools type are answered with the command to use."""

import json
import shlex
import subprocess
import sys

import pytest

from gpushare.cli._group import ALIASES, VERBS
from gpushare.cli._other_words import WORDS, other_word


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpushare", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "use"),
    [
        (("stop", "train"), "gpushare rm --force SHARE"),
        (("kill", "-9", "train"), "gpushare rm --force SHARE"),
        (("top",), "gpushare ps --watch"),
        (("stats", "--no-stream"), "gpushare ps --watch"),
        (("start", "train"), "gpushare run -m 8GiB -- COMMAND"),
        (("images",), "gpushare run -- COMMAND"),
        (("status",), "gpushare ps"),
        (("delete", "share", "train"), "gpushare rm --force SHARE"),
        (("STOP",), "gpushare rm --force SHARE"),
        (("--color", "never", "pause", "train"), "gpushare suspend SHARE"),
    ],
)
def test_a_word_of_another_tool_is_answered(words, use):
    done = typed(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"hint: {use}" in done.stderr


def test_the_answer_is_json_where_that_was_asked_for():
    done = typed("stop", "train", "--json")
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["hint"] == "gpushare rm --force SHARE"


def test_a_word_that_no_tool_has_gets_the_nearest_command():
    done = typed("crate")
    assert done.returncode == 2
    assert "Did you mean 'create'" in done.stderr
    assert other_word("crate") is None


@pytest.mark.parametrize("use", sorted({answer.use for answer in WORDS.values()}))
def test_every_answer_is_a_command_with_options_that_it_has(use):
    program, *words = shlex.split(use.partition(" -- ")[0])
    assert program == "gpushare"
    if words[0].startswith("--"):
        return
    assert words[0] in VERBS
    listed = typed(words[0], "--help").stdout
    for option in (word for word in words[1:] if word.startswith("-")):
        assert option in listed, option


def test_no_answer_hides_a_command():
    hidden = set(WORDS) & {*ALIASES}
    assert not hidden, "the command of that name runs"


def test_the_package_runs_as_a_module():
    done = typed("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("gpushare ")
