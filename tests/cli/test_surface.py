# SPDX-License-Identifier: Apache-2.0
"""What commands print on a terminal of 80 columns, with colours and in zones."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from datetime import UTC, datetime, timedelta

import pytest

from gpushare.cli._format.fitting import Fit, aligned, grid
from gpushare.cli._format.texts import Styled, shortened, width, wrapped
from gpushare.session.local_time import LocalZone
from gpushare.session.times import parse_time
from support.daemon import GPUSHARE, Daemon

LONG = "a-share-with-a-name-that-is-as-long-as-names-are-allowed-to-be"
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LISTINGS = [
    (),
    ("ps",),
    ("ps", "-a"),
    ("gpus",),
    ("gpus", "--topology"),
    ("gpus", "--capabilities"),
    ("show", LONG),
    ("show", LONG, "--decision"),
    ("verify", LONG),
    ("audit", "ls"),
    ("audit", "verify"),
    ("token", "ls"),
    ("tenant", "ls"),
    ("tenant", "show", "team-with-a-long-name"),
    ("quota", "ls"),
    ("export", "--history"),
    ("clean",),
    ("config", "show"),
    ("config", "show", "--origin"),
    ("config", "path"),
    ("explain",),
    ("version",),
    ("simulate", "--list"),
]


def on_terminal(daemon: Daemon, *words: str, columns: int = 80, **env: str) -> str:
    """What the command prints on a terminal as wide."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in daemon.environment.items() if k not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [*GPUSHARE, *words],
        env=environment | {"TERM": "xterm"} | env,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=subprocess.DEVNULL,
    )
    os.close(its)
    text = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # EIO: the other side is closed
            break
        text += read
        if not read:
            break
    os.close(ours)
    process.wait(60)
    return text.decode().replace("\r\n", "\n")


def widest(text: str) -> int:
    return max(width(_STYLE.sub("", line)) for line in text.splitlines())


@pytest.fixture(scope="module")
def full(shared_daemon: Daemon) -> Daemon:
    """A daemon with long values everywhere."""
    long = "x" * 60
    shared_daemon.gpushare("tenant", "set", "team-with-a-long-name", "--memory", "400GiB")
    shared_daemon.gpushare("token", "create", "--note", f"note {long}")
    made = ("create", "-m", "8GiB", "-c", "40", "--label", f"a={long}")
    assert shared_daemon.gpushare(*made, "--name", LONG).returncode == 0
    shared_daemon.gpushare(*made, "--name", f"{LONG}-2")
    shared_daemon.gpushare("rm", f"{LONG}-2")
    shared_daemon.gpushare("rm", long)  # an audit record with a long object
    return shared_daemon


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_no_listing_is_wider_than_the_terminal(full: Daemon, words, columns):
    shown = on_terminal(full, *words, columns=columns)

    assert shown.strip()
    assert widest(shown) <= columns, shown


def test_a_narrow_listing_says_that_texts_are_shortened(full: Daemon):
    shown = on_terminal(full, "ps")
    assert "a-share-with" in shown
    assert "…" in shown
    assert "granted" in shown


def test_wide_output_and_pipes_are_complete(full: Daemon):
    assert LONG in on_terminal(full, "ps", "-o", "wide")
    assert LONG in full.gpushare("ps", env={"COLUMNS": "40"}).stdout


def test_less_important_columns_are_dropped_first():
    rows = [["NAME", "WHY", "SIZE"], ["a" * 30, "because", "12 GiB"]]
    fits = [Fit(least=6), Fit(drop=1), Fit()]

    assert grid(rows, fits, 30).splitlines()[1] == f"{'a' * 12}…  because  12 GiB"
    assert grid(rows, fits, 20).splitlines() == ["NAME          SIZE", "aaaaaaaaaaa…  12 GiB"]
    assert grid(rows, fits, None) == aligned(rows)


@pytest.mark.parametrize(
    ("text", "columns", "short"),
    [("abcdef", 6, "abcdef"), ("abcdef", 4, "abc…"), ("训练训练", 5, "训练…"), ("ab", 1, "…")],
)
def test_texts_are_shortened_to_columns(text, columns, short):
    assert shortened(text, columns) == short
    assert width(short) <= columns


def test_a_shortened_text_keeps_its_colour():
    assert shortened(Styled("\x1b[31mabcdef\x1b[0m"), 4) == "\x1b[31mabc…\x1b[0m"


@pytest.mark.parametrize(
    "text", ["one two three four", "/a/path/longer/than/a/line", "训练 训练训练"]
)
def test_wrapped_texts_fit_and_lose_nothing(text):
    lines = wrapped(text, 8, indent="  ")
    assert all(width(line) <= 8 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


_PIPE = [
    (("--color", "always", "ps"), {}, True),
    (("ps", "--color", "always"), {"NO_COLOR": "1"}, True),
    (("--color", "always", "show", LONG), {}, True),
    (("ps",), {"NO_COLOR": ""}, False),
    (("ps",), {"NO_COLOR": "", "CLICOLOR_FORCE": "1"}, True),
    (("ps",), {"NO_COLOR": "", "CLICOLOR_FORCE": "0"}, False),
    (("ps",), {"NO_COLOR": "", "FORCE_COLOR": "1"}, True),
    (("ps",), {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    (("--color", "never", "ps"), {"NO_COLOR": "", "CLICOLOR_FORCE": "1"}, False),
    (("--color", "auto", "ps"), {"NO_COLOR": "", "CLICOLOR_FORCE": "1"}, True),
    (("--color", "always", "ps", "-o", "json"), {}, False),
]


@pytest.mark.parametrize(("words", "env", "coloured"), _PIPE)
def test_colours_in_a_pipe_follow_the_option_and_the_variables(full: Daemon, words, env, coloured):
    assert ("\x1b[" in full.gpushare(*words, env=env).stdout) is coloured


@pytest.mark.parametrize(
    ("words", "env", "coloured"),
    [
        (("ps",), {}, True),
        (("--color", "never", "ps"), {}, False),
        (("ps",), {"NO_COLOR": "1"}, False),
        (("ps",), {"CLICOLOR": "0"}, False),
        (("ps",), {"TERM": "dumb"}, False),
    ],
)
def test_colours_on_a_terminal_follow_the_option_and_the_variables(
    full: Daemon, words, env, coloured
):
    assert ("\x1b[" in on_terminal(full, *words, **env)) is coloured


def test_errors_have_the_colours_that_are_asked_for(full: Daemon):
    assert "\x1b[" in full.gpushare("--color", "always", "show", "no-such-share").stderr
    assert "\x1b[" not in full.gpushare("show", "no-such-share").stderr


def test_a_program_gets_the_environment_of_the_user(full: Daemon):
    words = ("run", "--color", "always", "-m", "1GiB", "--", "env")
    shown = full.gpushare(*words, env={"NO_COLOR": "1"}).stdout.splitlines()
    assert "NO_COLOR=1" in shown
    assert not any(line.startswith("FORCE_COLOR") for line in shown)


SHANGHAI = {"TZ": "Asia/Shanghai"}


def _created(text: str) -> datetime:
    found = re.search(r"^created +(\S+ \S+)$", text, re.MULTILINE)
    assert found, text
    return datetime.fromisoformat(found.group(1))


def test_people_see_local_times_with_their_offset_or_utc(full: Daemon):
    local = full.gpushare("show", LONG, env=SHANGHAI).stdout
    utc = full.gpushare("show", LONG, "--utc", env=SHANGHAI).stdout

    assert _created(local).utcoffset() == timedelta(hours=8)
    assert _created(utc).utcoffset() == timedelta(0)
    assert _created(local) == _created(utc)
    before = full.gpushare("--utc", "show", LONG, env=SHANGHAI).stdout
    assert _created(before).tzinfo == UTC


def test_json_has_utc_in_every_zone(full: Daemon):
    shown = full.gpushare("show", LONG, "-o", "json", env=SHANGHAI).stdout
    created = json.loads(shown)["created"]
    assert created.endswith(("Z", "+00:00"))
    assert datetime.fromisoformat(created).replace(microsecond=0) == _created(
        full.gpushare("show", LONG, env=SHANGHAI).stdout
    )


@pytest.mark.parametrize(
    "words", [("audit", "ls"), ("export", "--history"), ("token", "ls", "-o", "wide")]
)
def test_listings_have_local_times(full: Daemon, words):
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.search(pattern + r"\+08:00", full.gpushare(*words, env=SHANGHAI).stdout)
    assert re.search(pattern + "Z", full.gpushare(*words, "--utc", env=SHANGHAI).stdout)


def test_audit_reads_local_times_and_those_that_it_shows(full: Daemon):
    share = full.json("show", LONG)["id"]
    found = full.gpushare("audit", "ls", "--object", share, env=SHANGHAI).stdout
    first = found.splitlines()[1].strip()
    at = re.search(r"\S+ \S+\+08:00", first)
    assert at
    shown = full.gpushare("audit", "ls", "--since", at.group(), "--object", share, env=SHANGHAI)
    assert at.group() in shown.stdout
    later = datetime.now(UTC) + timedelta(hours=1)
    utc = f"{later:%Y-%m-%dT%H:%M}"  # 8 hours ago in Shanghai
    assert first.split()[0] in full.gpushare("audit", "ls", "--since", utc, env=SHANGHAI).stdout
    assert full.json("audit", "ls", "--since", utc + "Z")["items"] == []


def test_a_reservation_begins_at_a_local_time(full: Daemon):
    at = datetime.now(UTC) + timedelta(days=2)
    local = at + timedelta(hours=8)
    name = "booked-in-shanghai"
    words = ("create", "-m", "1GiB", "--ttl", "1h", "--name", name)
    assert not full.gpushare(
        *words, "--at", f"{local:%Y-%m-%dT%H:%M}", "--no-wait", env=SHANGHAI
    ).returncode

    begins = datetime.fromisoformat(full.json("show", name)["begins"])
    assert begins == at.replace(second=0, microsecond=0)
    assert f"{local:%Y-%m-%d %H:%M}+08:00" in full.gpushare("show", name, env=SHANGHAI).stdout
    full.gpushare("rm", name)
    past = full.gpushare(*words, "--at", "2026-01-01T08:00", env=SHANGHAI)
    assert "2026-01-01 08:00+08:00 is over" in past.stderr


def test_a_local_time_has_the_offset_of_its_day(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    import time  # noqa: PLC0415 (tzset for this test only)

    time.tzset()
    try:
        now = datetime(2026, 1, 15, 12, tzinfo=LocalZone())
        summer = parse_time("2026-07-15T12:00", now)
        assert now.utcoffset() == timedelta(hours=1)
        assert summer.utcoffset() == timedelta(hours=2)
        assert summer.astimezone(UTC) == datetime(2026, 7, 15, 10, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
