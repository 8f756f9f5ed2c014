# SPDX-License-Identifier: Apache-2.0
"""`gpushare cordon`, `drain` and `uncordon`: a GPU is taken out of service and put back."""

import signal
import sys
from typing import Any

import pytest

from support.daemon import Daemon

SLEEPS = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
two_gpus = pytest.mark.parametrize("machine", ["a10-2"], indirect=True)


def gpu(daemon: Daemon, index: int) -> dict[str, Any]:
    found: dict[str, Any] = daemon.json("gpus")["items"][index]
    return found


def placed(daemon: Daemon, *options: str) -> int:
    """The index of the GPU that a new share gets."""
    name = f"s{len(daemon.shares())}"
    done = daemon.gpushare("create", "-m", "1GiB", "--name", name, "--no-wait", *options)
    assert done.returncode == 0, done.stderr
    share = daemon.share(name)
    assert share is not None
    uuids = [item["uuid"] for item in daemon.json("gpus")["items"]]
    return uuids.index(share["gpus"][0])


@two_gpus
@pytest.mark.parametrize("word", ["0", "uuid"])
def test_a_cordoned_gpu_gets_no_new_share_and_keeps_those_it_has(daemon: Daemon, word: str) -> None:
    assert placed(daemon, "--gpu", "0") == 0
    target = gpu(daemon, 0)["uuid"] if word == "uuid" else word

    done = daemon.gpushare("cordon", target, "--reason", "new fan")

    assert (done.returncode, done.stdout.strip()) == (0, target)
    assert [placed(daemon) for _ in range(3)] == [1, 1, 1]
    (cordon,) = gpu(daemon, 0)["cordons"]
    assert (cordon["reason"], cordon["automatic"]) == ("new fan", False)
    assert [share["state"] for share in daemon.shares()] == ["granted"] * 4


@two_gpus
def test_those_who_wait_are_told_who_cordoned_and_why(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "0", "--reason", "new fan")
    by = gpu(daemon, 0)["cordons"][0]["by"]

    refused = daemon.gpushare("create", "-m", "1GiB", "--gpu", "0", "--no-wait")

    assert refused.returncode == 75
    assert f"GPU 0, which is cordoned by {by}: new fan" in refused.stderr
    with daemon.spawn("run", "--name", "waits", "--gpu", "0", "-m", "1GiB", "--", "true") as waits:
        queued = daemon.until_state("waits", "queued")
        assert "cordoned" in queued["queue"]["waits_for"]
        assert daemon.gpushare("uncordon", "0").returncode == 0
        assert waits.wait(60) == 0


def test_gpus_ps_status_and_metrics_show_it(daemon: Daemon) -> None:
    daemon.gpushare("create", "-m", "1GiB", "--name", "there")
    daemon.gpushare("cordon", "node", "--reason", "move")

    listed = daemon.gpushare("gpus")
    assert "cordoned" in listed.stdout
    assert "with the whole machine" in listed.stderr
    assert "GPU 0 takes no new shares: it is cordoned" in daemon.gpushare("ps").stderr
    assert "(cordoned)" in daemon.gpushare().stdout
    daemon.gpushare("uncordon", "node")
    assert "cordoned" not in daemon.gpushare("gpus").stdout


@two_gpus
def test_a_cordon_survives_a_kill_of_the_daemon(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "1", "--reason", "test")
    before = gpu(daemon, 1)["cordons"]
    daemon.kill()
    daemon.start()

    assert gpu(daemon, 1)["cordons"] == before
    assert [placed(daemon) for _ in range(2)] == [0, 0]


@two_gpus
def test_the_cordon_of_the_machine_and_of_a_gpu_are_lifted_on_their_own(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "0", "--reason", "fan")
    daemon.gpushare("cordon", "node", "--reason", "move")

    still = daemon.gpushare("uncordon", "0")
    assert still.returncode == 3
    assert "whole machine" in still.stderr
    daemon.gpushare("cordon", "0", "--reason", "fan")
    assert daemon.gpushare("uncordon", "node").returncode == 3
    assert placed(daemon) == 1
    assert daemon.gpushare("undrain", "0").returncode == 0
    assert daemon.gpushare("create", "-m", "1GiB", "--gpu", "0", "--no-wait").returncode == 0


def test_what_is_not_cordoned_or_not_there(daemon: Daemon) -> None:
    lifted = daemon.gpushare("uncordon", "0")
    assert (lifted.returncode, "was not cordoned" in lifted.stderr) == (0, True)
    for verb in ("cordon", "drain", "uncordon"):
        wrong = daemon.gpushare(verb, "7")
        assert (wrong.returncode, "no GPU '7'" in wrong.stderr) == (4, True)


def test_the_audit_log_has_who_and_why(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "0", "--reason", "new fan")
    daemon.gpushare("uncordon", "0")

    calls = daemon.json("audit", "ls", "--action", "/v1/cordons")["items"]
    assert [(it["action"], it["object"]) for it in calls] == [
        ("PUT /v1/cordons/{ref}", "0"),
        ("DELETE /v1/cordons/{ref}", "0"),
    ]
    assert calls[0]["detail"]["reason"] == "new fan"
    events = daemon.json("audit", "ls", "--action", "cordoned")["items"]
    assert [it["action"] for it in events] == ["gpu.cordoned", "gpu.uncordoned"]
    assert "new fan" in events[0]["detail"]["message"]


def test_drain_waits_for_shares_to_end(daemon: Daemon) -> None:
    with daemon.spawn("run", "-m", "1GiB", "--name", "works", "--", *SLEEPS) as program:
        daemon.until_state("works", "running")
        with daemon.spawn("drain", "0") as drain:
            assert drain.stderr is not None
            said = ""
            while "waits for 1 share: works" not in said:
                said = drain.stderr.readline()
                assert said
            assert drain.poll() is None
            program.terminate()
            out, err = drain.communicate(timeout=60)
        assert (drain.returncode, out.strip()) == (0, "0")
        assert "is drained" in err
    assert "drained" in daemon.gpushare("gpus").stdout


@pytest.mark.parametrize("how", ["ctrl-c", "timeout"])
def test_who_stops_waiting_leaves_it_cordoned(daemon: Daemon, how: str) -> None:
    daemon.gpushare("create", "-m", "1GiB", "--name", "stays")
    options = ["--timeout", "1s"] if how == "timeout" else []
    with daemon.spawn("drain", "0", *options) as drain:
        assert drain.stderr is not None
        while "waits for" not in drain.stderr.readline():
            pass
        if how == "ctrl-c":
            drain.send_signal(signal.SIGINT)
        _, err = drain.communicate(timeout=60)

    assert drain.returncode == (130 if how == "ctrl-c" else 124)
    assert "stays cordoned" in err
    assert gpu(daemon, 0)["cordons"]
    assert "draining" in daemon.gpushare("gpus").stdout
    assert [share["name"] for share in daemon.shares()] == ["stays"]


def test_without_waiting_nothing_is_ended(daemon: Daemon) -> None:
    daemon.gpushare("create", "-m", "1GiB", "--name", "stays")
    assert daemon.gpushare("drain", "0", "--no-wait").returncode == 0
    assert [share["state"] for share in daemon.shares()] == ["granted"]


def test_force_ends_what_is_there(daemon: Daemon) -> None:
    daemon.gpushare("create", "-m", "1GiB", "--name", "held")
    with daemon.spawn("run", "-m", "1GiB", "--name", "works", "--", *SLEEPS) as program:
        daemon.until_state("works", "running")
        done = daemon.gpushare("drain", "node", "--force")
        assert done.returncode == 0, done.stderr
        assert program.wait(60) != 0
    assert daemon.shares() == []


def test_suspend_takes_programs_off_and_keeps_them_off(daemon: Daemon) -> None:
    with daemon.spawn("run", "-m", "1GiB", "--name", "works", "--", *SLEEPS) as program:
        daemon.until_state("works", "running")
        done = daemon.gpushare("drain", "0", "--suspend")
        assert done.returncode == 0, done.stderr
        daemon.until_state("works", "suspended")
        refused = daemon.gpushare("resume", "--no-wait", "works")
        assert refused.returncode == 75
        assert "cordoned" in refused.stderr
        daemon.gpushare("uncordon", "0")
        assert daemon.gpushare("resume", "works").returncode == 0
        program.terminate()


@two_gpus
def test_migrate_moves_what_can_move_and_says_why_the_rest_stays(daemon: Daemon) -> None:
    daemon.gpushare("cordon", "1")
    words = ("run", "-m", "1GiB", "--mechanism", "timeslice")
    with (
        daemon.spawn(*words, "--name", "moves", "--", *SLEEPS) as moves,
        daemon.spawn(*words, "--name", "pinned", "--gpu", "0", "--", *SLEEPS) as pinned,
    ):
        for name in ("moves", "pinned"):
            daemon.until_state(name, "running")
        shown = daemon.json("show", "pinned")["migratable"]
        daemon.gpushare("uncordon", "1")
        with daemon.spawn("drain", "0", "--migrate") as drain:
            assert drain.stderr is not None
            lines = sorted(drain.stderr.readline() for _ in range(3))
            pinned.terminate()
            drain.communicate(timeout=60)
        there = [share["gpus"] for share in daemon.shares() if share["name"] == "moves"]
        second = gpu(daemon, 1)["uuid"]
        moves.terminate()
        pinned.communicate(timeout=60)

    assert drain.returncode == 0
    assert there == [[second]]
    assert any("moves was moved" in line for line in lines)
    because = "--gpu or CUDA_VISIBLE_DEVICES pins it to GPU 0"
    assert any("pinned was not moved" in line and because in line for line in lines)
    assert shown == {"yes": False, "because": because}
