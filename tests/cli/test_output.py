# SPDX-License-Identifier: Apache-2.0
"""How results look, in every format."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from gpushare.cli._format.fitting import aligned
from gpushare.cli._format.scheduling import scheduling_lines
from gpushare.cli._format.shares import age, memory, share_details, share_table
from gpushare.cli._format.texts import Styled
from gpushare.cli.shares._launch import warn_unenforced
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.scheduling import SchedulingView
from gpushare.model.share import Enforcement, Level, Moved, State, Tier
from gpushare.model.spec import Isolation, MechanismName, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.model.view import (
    ComputeView,
    MemoryView,
    QueueView,
    ShareView,
    SuspendableView,
)
from support.daemon import Daemon

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def view(name, state, used, limit, since, **more) -> ShareView:
    known = {
        "user": "lin",
        "priority": Priority.NORMAL,
        "mechanism": (MechanismName.MPS, MechanismName.GUARD),
        "queue": None,
        "compute": ComputeView(request=None, limit=Percent(40), delivered=Percent(12)),
        **more,
    }
    return ShareView(
        id=ShareId("0123456789ab"),
        name=name,
        tenant=Tenant(known["user"]),
        state=state,
        isolation=Isolation.ANY,
        gpus=() if state is State.QUEUED else (GpuId("GPU-1"),),
        memory=MemoryView(request=None, limit=Bytes(limit), used=used, peak=used),
        enforcement=Enforcement(),
        verified=None,
        pids=(),
        created=NOW - since,
        started=None,
        expires=None,
        reason="",
        simulated=True,
        **known,
    )


def test_the_look_of_ps():
    shares = [
        view("notebook-ab", State.RUNNING, Bytes(61 * GIB // 10), 8 * GIB, timedelta(hours=2)),
        view(
            "eval-2",
            State.QUEUED,
            None,
            16 * GIB,
            timedelta(minutes=3),
            user="wei",
            priority=Priority.LOW,
            mechanism=(),
            compute=ComputeView(request=None, limit=Percent(20), delivered=None),
            queue=QueueView(position=1, waits_for="16 GiB of memory on GPU 0"),
        ),
    ]
    table = share_table((), NOW)
    rows = [[c.title for c in table.columns if not c.wide]]
    rows += [[c.cell(share) for c in table.columns if not c.wide] for share in shares]

    assert aligned(rows).splitlines() == [
        "SHARE        USER  GPU    MEMORY         COMPUTE   PRIORITY  BY         STATE      AGE",
        "notebook-ab  lin   GPU-1  6.1 / 8.0 GiB  12 / 40%  normal    mps+guard  running    2h",
        (
            "eval-2       wei   -      16.0 GiB       20%       low       -          queued #1  3m"
            "   waits for 16 GiB of memory on GPU 0"
        ),
    ]


def test_a_compute_limit_without_enforcement_is_reported(capsys):
    unheld = view(
        "job", State.RUNNING, None, GIB, timedelta(0), mechanism=(MechanismName.TIMESLICE,)
    )
    warn_unenforced(unheld)
    assert "no mechanism enforces the compute limit of 40 %" in capsys.readouterr().err
    warn_unenforced(replace(unheld, enforcement=Enforcement(compute=Level.COOPERATIVE)))
    assert capsys.readouterr().err == ""


def test_scheduling_is_shown_by_priority():
    view = SchedulingView(
        priority=Priority.LOW,
        waits=3,
        waited=0.02,
        longest_launch=0.0015,
        busy=1.0,
        turns=5,
        wanted=2.0,
        throttled=1.5,
        overrun=0.001,
        quantum=0.00015,
        fences=7,
        starvation_runs=2,
        preemptions=9,
        preempt=4.0,
        grace=0.00008,
        overrides=1,
        timeslice=0.00008,
    )
    assert scheduling_lines(view) == [
        "GPU time 1.0 s, longest launch 1.5 ms",
        "waited 3 times, 20 ms in all",
        "5 turns, throttled 1.5 s, wanted the GPU for 2.0 s, overran by 1 ms",
        "timeslice 80 us",
        "yields within 150 us, 7 fences, ran 2 times against starvation",
    ]
    assert scheduling_lines(replace(view, priority=Priority.HIGH))[-1] == (
        "preempted 9 times, 4.0 s in all, grace 80 us, overruled 1 times"
    )
    assert len(scheduling_lines(replace(view, priority=Priority.NORMAL))) == 4
    assert scheduling_lines(None) == []


def test_a_suspended_share_is_shown_with_its_reason_and_times():
    moved = Moved(out_seconds=0.32, in_seconds=0.345, out_bytes=Bytes(16 * GIB))
    share = replace(
        view("job", State.SUSPENDED, Bytes(GIB), GIB, timedelta(0)),
        reason="waits for its turn",
        moved={Tier.MEMORY: moved},
        suspendable=SuspendableView(yes=False, because="it uses managed memory"),
    )
    shown = share_details(share, {})
    assert re.search(r"state +suspended, waits for its turn", shown)
    assert re.search(r"moved +memory: out 0\.32 s \(16 GiB\), back 0\.34 s", shown)
    assert re.search(r"suspendable +no, because it uses managed memory", shown)


def test_an_idle_share_is_shown_with_its_time_and_its_request():
    share = replace(
        view("job", State.RUNNING, Bytes(GIB), GIB, timedelta(0)),
        idle_since=datetime.now(UTC) - timedelta(minutes=42, seconds=5),
        asked=ShareSpec(memory=MemoryAsk(limit=Bytes(8 * GIB)), priority=Priority.HIGH),
    )
    shown = share_details(share, {})
    assert re.search(r"state +running, idle 42m", shown)
    assert re.search(r"requested +8\.0 GiB, priority high", shown)
    assert "requested" not in share_details(replace(share, asked=None, idle_since=None), {})


def test_a_chinese_character_takes_two_columns():
    rows = [["SHARE", "USER"], ["训练", "lin"], ["train", "魏"], ["été", "zoë"]]

    assert aligned(rows).splitlines() == [
        "SHARE  USER",
        "训练   lin",
        "train  魏",
        "été    zoë",
    ]


def test_control_characters_do_not_break_a_table():
    assert aligned([["é\x07", "a"], ["bb", "c"]]).splitlines() == ["é\\x07  a", "bb     c"]


def test_colours_take_no_room():
    plain, coloured = (
        [["STATE", "AGE"], ["ok", "1h"], ["lost", "2h"]],
        Styled("\x1b[31mlost\x1b[0m"),
    )
    found = aligned([*plain[:2], [coloured, "2h"]])
    assert found.replace(coloured, "lost") == aligned(plain)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (-5, "0s")]
)
def test_ages_are_short_and_never_negative(seconds, text):
    assert age(timedelta(seconds=seconds)) == text


def test_memory_that_is_not_known_is_not_zero():
    assert memory(MemoryView(request=None, limit=Bytes(GIB), used=None, peak=None)) == "1.0 GiB"


@pytest.mark.parametrize("verb", ["ps", "gpus"])
def test_every_format_says_the_same(daemon: Daemon, verb):
    daemon.gpushare("create", "-m", "1GiB", "--name", "held")

    found = json.loads(daemon.gpushare(verb, "-o", "json").stdout)
    lines = daemon.gpushare(verb, "-o", "jsonl").stdout.splitlines()
    names = daemon.gpushare(verb, "-q").stdout.split()

    assert found["apiVersion"] == "v1"
    assert yaml.safe_load(daemon.gpushare(verb, "-o", "yaml").stdout).keys() == found.keys()
    assert [json.loads(line).keys() for line in lines] == [item.keys() for item in found["items"]]
    assert names == [item.get("uuid") or item["name"] for item in found["items"]]


def test_json_of_ps_is_the_apis_own(daemon: Daemon):
    daemon.gpushare("create", "-m", "1GiB", "--name", "held")
    item = daemon.json("ps")["items"][0]

    share = msgspec.convert(item, ShareView)

    assert share.name == "held"
    assert share.memory.limit == GIB
    assert share.simulated
    assert item["created"].endswith(("Z", "+00:00"))


def test_no_colour_off_a_terminal_and_when_forced_there_is(daemon: Daemon):
    daemon.gpushare("create", "-m", "1GiB", "--name", "held")
    assert "\x1b" not in daemon.gpushare("show", "held").stdout
    assert "\x1b[" in daemon.gpushare("--color", "always", "ps").stdout


def test_the_first_thing_people_type_is_a_short_status(daemon: Daemon):
    done = daemon.gpushare()

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 10
    assert "simulated" in done.stdout


@pytest.mark.parametrize(
    ("typed", "meant"), [("psx", "ps"), ("verfy", "verify"), ("simulat", "simulate")]
)
def test_a_misspelt_verb_is_guessed(machine, typed, meant):
    done = machine.run(sys.executable, "-m", "gpushare.cli", typed)

    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr


def test_output_that_cannot_be_written_is_an_error(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gpushare.cli", "explain", "GS1602"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "code: GS1903" in done.stderr
    assert "Exception ignored" not in done.stderr
