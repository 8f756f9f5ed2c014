# SPDX-License-Identifier: Apache-2.0
"""What `docs/how-to/quotas.md` shows is what happens."""

import re
from pathlib import Path

import pytest

from support.daemon import Daemon

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "quotas.md").read_text("utf-8")


@pytest.fixture
def lab(daemon: Daemon, short_path: Path) -> Daemon:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (short_path / "policy.toml").write_text(found[1])
    return daemon


def shown(command: str) -> str:
    """What the page says that the newest such command prints."""
    return re.findall(
        rf"^[#$] {re.escape(command)}\n(.*?)(?=^[#$] |^```)", PAGE, re.DOTALL | re.MULTILINE
    )[-1]


def output_of(daemon: Daemon, command: str) -> str:
    words = [
        str(daemon.folder / word) if word.endswith(".toml") else word
        for word in command.split()[1:]
    ]
    done = daemon.gpushare(*words)
    return done.stdout + "".join(
        line for line in done.stderr.splitlines(True) if not line.startswith("gpushare: tenant")
    )


def test_the_policy_is_applied_as_it_says(lab: Daemon):
    command = "gpushare apply -f policy.toml"
    first = re.search(r"\+ default.*?(?=^# )", PAGE, re.DOTALL | re.MULTILINE)
    assert first is not None
    assert output_of(lab, command) == first[0]
    assert output_of(lab, command) == shown(command)

    too_much = "gpushare quota set students --guaranteed-memory 40GiB"
    assert output_of(lab, too_much) == shown(too_much)


def test_quotas_look_as_it_shows(lab: Daemon):
    output_of(lab, "gpushare apply -f policy.toml")
    for command in re.findall(
        r"^\$ (gpushare create .*--name (?:homework|train))$", PAGE, re.MULTILINE
    ):
        output_of(lab, command)

    assert output_of(lab, "gpushare quota ls") == shown("gpushare quota ls")
    never = "gpushare create -m 80GiB --tenant students"
    assert output_of(lab, never) == shown(never)


def test_every_change_that_it_shows_works_but_the_one_that_does_not(lab: Daemon):
    output_of(lab, "gpushare apply -f policy.toml")
    section = PAGE[PAGE.index("## Change the policy") : PAGE.index("## Keep it in version")]
    for line in re.findall(r"^# (gpushare .*)$", section, re.MULTILINE):
        command, _, remark = line.partition("#")
        answer = output_of(lab, command)
        assert ("error" in answer) == ("error" in remark), answer
