# SPDX-License-Identifier: Apache-2.0
"""`gpushare simulate --record` and `--replay`: a short day, recorded from a real daemon."""

import getpass
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, serving, until

LONGER = 2.0  # seconds: than the daemon takes to grant a share, which a replay does not take
POLICY = """
apiVersion = "v1"
min_runtime = 0

[tenant.owner]
users = ["{user}"]
guaranteed = {{ memory = "100GiB" }}

[tenant.guest]
users = ["{user}"]
weight = 2
"""
OPEN = 'apiVersion = "v1"\n[tenant.owner]\n[tenant.guest]\n'


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Daemon, Path]]:
    """Guests fill the GPU, the owner takes its room back, and what waits comes in as room is left.

    Its limits of compute are there to be read back from the log.
    """
    with serving() as daemon:
        yield daemon, day(daemon)


def day(daemon: Daemon) -> Path:
    """The file of it."""
    policy = daemon.folder / "policy.toml"
    policy.write_text(POLICY.format(user=getpass.getuser()))
    assert daemon.gpushare("apply", "-f", policy).returncode == 0

    def create(name: str, tenant: str, *words: str) -> None:
        done = daemon.gpushare("create", "--name", name, "--tenant", tenant, *words)
        assert done.returncode == 0, done.stderr

    create(
        "before", "guest", "-m", "1GiB"
    )  # the first share of a kind is verified, which takes long
    assert daemon.gpushare("rm", "before").returncode == 0
    create("first", "guest", "-m", "60GiB", "-c", "40")
    create("second", "guest", "-m", "60GiB", "-c", "60", "--compute-request", "10")
    create("mine", "owner", "-m", "90GiB", "--no-borrow")
    waiting = daemon.spawn("create", "--name", "tardy", "--tenant", "guest", "-m", "70GiB")
    until(lambda: daemon.share("tardy"), "a share that waits")
    assert daemon.gpushare("rm", "mine").returncode == 0
    daemon.until_state("first", "granted")
    time.sleep(LONGER)
    assert daemon.gpushare("rm", "first").returncode == 0
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    path = daemon.folder / "day.trace"
    done = daemon.gpushare("simulate", "--record", path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_replay_with_the_same_policy_grants_the_same(recorded: tuple[Daemon, Path]) -> None:
    daemon, path = recorded
    found = daemon.json("simulate", "--replay", str(path))
    assert found["recorded"]["shares"] == 5
    assert found["both"] == found["same_place"] == found["recorded"]["placed"] == 5
    for name in ("placed", "waiting", "never", "suspended", "evicted"):
        assert found["replayed"][name] == found["recorded"][name], name
    assert found["recorded"]["suspended"] > 0


def test_another_policy_shows_what_it_would_change(recorded: tuple[Daemon, Path]) -> None:
    daemon, path = recorded
    other = daemon.folder / "open.toml"
    other.write_text(OPEN)
    found = daemon.json("simulate", "--replay", str(path), "--policy", str(other))
    assert found["recorded"]["suspended"] > 0
    assert found["replayed"]["suspended"] == 0
    more = daemon.json("simulate", "--replay", str(path), "--gpus", "4")
    assert more["replayed"]["wait"]["mean"] == 0
    table = daemon.gpushare("simulate", "--replay", path).stdout
    assert "RECORDED" in table
    assert all(len(line) <= 80 for line in table.splitlines())


def test_the_specs_are_those_that_were_asked_for(recorded: tuple[Daemon, Path]) -> None:
    _, path = recorded
    shares = [json.loads(line) for line in path.read_text().splitlines()[1:-1]]
    specs = [share["spec"] for share in shares]
    assert specs[2]["compute"] == {"limit": 60, "request": 10}
    assert specs[3]["borrow"] is False
    assert [share["tenant"] for share in shares] == ["guest", "guest", "guest", "owner", "guest"]


def test_an_anonymous_trace_has_no_names_and_replays_the_same(
    recorded: tuple[Daemon, Path],
) -> None:
    daemon, path = recorded
    hidden = daemon.folder / "hidden.trace"
    done = daemon.gpushare("simulate", "--record", hidden, "--anonymize")
    assert done.returncode == 0, done.stderr
    text = hidden.read_text()
    gpu = daemon.json("gpus")["items"][0]["uuid"]
    names = {share["id"] for share in daemon.json("ps", "-a")["items"]}
    for name in ("owner", "guest", "first", "tardy", gpu, *names):
        assert name not in text, name
    one, two = (daemon.json("simulate", "--replay", str(each)) for each in (path, hidden))
    assert one["replayed"]["placed"] == two["replayed"]["placed"]
    assert two["both"] == two["same_place"]


def cut(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[:lines])


DAMAGES = {
    "an empty file": (lambda text: "", "the trace is empty"),
    "cut between lines": (lambda text: cut(text, 3), "the trace ends too early"),
    "cut in a line": (lambda text: text[: len(text) // 2], "the trace ends too early"),
    "only its head": (lambda text: cut(text, 1), "the trace ends too early"),
    "a line less": (
        lambda text: cut(text, 1) + "".join(text.splitlines(keepends=True)[2:]),
        "it counts 5 shares, and the file has 4",
    ),
    "another version": (lambda text: text.replace('"trace":1', '"trace":2'), "line 1"),
    "no trace": (lambda text: "{}\n{}\n", "line 1"),
    "no text": (lambda text: "\udcff" + text, "it is no text"),
    "a field more": (lambda text: text.replace('"uid":', '"colour":1,"uid":', 1), "line 2"),
    "a spec that cannot be": (lambda text: text.replace('"limit":60,', '"limit":600,', 1), "line"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_trace_is_refused_with_its_line(
    recorded: tuple[Daemon, Path], tmp_path: Path, damage: str
) -> None:
    daemon, path = recorded
    change, reported = DAMAGES[damage]
    damaged = tmp_path / "damaged.trace"
    damaged.write_bytes(change(path.read_text()).encode(errors="surrogateescape"))
    done = daemon.gpushare("simulate", "--replay", damaged)
    assert done.returncode == 2, done.stdout
    assert reported in done.stderr, done.stderr
    assert "GS1106" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("--replay", "no.trace"), "no file no.trace"),
        (("--replay", "a", "--record", "b"), "cannot be given together"),
        (("--gpus", "2", "h200-1"), "--gpus is for --replay"),
        (("--anonymize", "h200-1"), "--anonymize is for --record"),
        (("--replay", "a", "h200-1"), "run no PROFILE"),
    ],
)
def test_options_that_say_nothing_together_are_refused(
    shared_daemon: Daemon, words: tuple[str, ...], reported: str
) -> None:
    done = shared_daemon.gpushare("simulate", *words)
    assert done.returncode != 0
    assert reported in done.stderr
