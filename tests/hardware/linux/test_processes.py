# SPDX-License-Identifier: Apache-2.0
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.hardware.linux.census import Census
from gpushare.hardware.linux.processes import ProcProcesses, parse_stat
from gpushare.model.share import ProcessRef
from support.daemon import until

ZEROS = " ".join(["0"] * 30)


def stat_line(pid: int, name: str, state: str, parent: int, started: int) -> str:
    before = " ".join(["0"] * 17)
    return f"{pid} ({name}) {state} {parent} {before} {started} {ZEROS}\n"


def tree(root: Path, *lines: str, uid: int = 1000) -> ProcProcesses:
    for line in lines:
        folder = root / "proc" / line.split()[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(line)
        (folder / "status").write_text(f"Name:\tx\nUid:\t{uid}\t0\t0\t0\n")
    return ProcProcesses(root)


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("name", ["a b", "a) R 1 (b", "((", ")", "x\n(y) Z"])
def test_a_name_cannot_confuse_the_parser(name: str) -> None:
    stat = parse_stat(stat_line(7, name, "S", 3, 99).encode())
    assert (stat.ref, stat.state, stat.parent) == (ProcessRef(pid=7, started=99), "S", 3)


@pytest.mark.parametrize("text", [b"", b"7", b"7 (x) S 1 2", b"x (y) " + b"0 " * 30])
def test_a_broken_stat_line_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stat(text)


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    processes = tree(tmp_path, stat_line(7, "old", "S", 1, 100))
    old = processes.find(7)
    assert old is not None
    assert processes.alive(old)
    tree(tmp_path, stat_line(7, "new", "S", 1, 200))
    assert not processes.alive(old)
    assert processes.uid(old) is None


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    processes = tree(tmp_path, stat_line(7, "x", "Z", 1, 100))
    assert processes.find(7) is None
    assert not processes.alive(ProcessRef(pid=7, started=100))


def test_a_family_is_all_living_descendants(tmp_path: Path) -> None:
    tree(
        tmp_path,
        stat_line(1, "init", "S", 0, 1),
        stat_line(10, "top", "S", 1, 2),
        stat_line(11, "child", "S", 10, 3),
        stat_line(12, "grandchild", "R", 11, 4),
        stat_line(13, "dead", "Z", 10, 5),
        stat_line(20, "stranger", "S", 1, 6),
    )
    found = Census(tmp_path).family([ProcessRef(pid=10, started=2)])
    assert {child.pid for child in found} == {10, 11, 12}
    assert Census(tmp_path).family([ProcessRef(pid=10, started=9)]) == set()


def test_the_uid_is_the_real_one(tmp_path: Path) -> None:
    processes = tree(tmp_path, stat_line(7, "x", "S", 1, 100), uid=1234)
    assert processes.uid(ProcessRef(pid=7, started=100)) == 1234


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    processes = ProcProcesses(tmp_path)
    ghost = ProcessRef(pid=2**22 + 1, started=1)
    assert processes.find(ghost.pid) is None
    assert processes.uid(ghost) is None
    assert processes.open(ghost) is None


def test_a_real_process_from_start_to_end(sleeper: subprocess.Popen[bytes]) -> None:
    processes = ProcProcesses()
    found = processes.find(sleeper.pid)
    assert found is not None
    assert processes.uid(found) == os.getuid()
    me = processes.find(os.getpid())
    assert me is not None
    assert found in Census().family([me])
    descriptor = processes.open(found)
    assert descriptor is not None
    sleeper.kill()
    assert select.select([descriptor], [], [], 10)[0] == [descriptor]
    assert not processes.alive(found), "a zombie is dead"
    os.close(descriptor)


def test_a_pidfd_is_not_opened_for_a_later_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert ProcProcesses().open(ProcessRef(pid=sleeper.pid, started=1)) is None


def test_a_program_may_name_itself_anything() -> None:
    source = "import sys,ctypes; ctypes.CDLL(None).prctl(15, b') Z 1 (', 0, 0, 0); input()"
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE) as process:
        comm = Path(f"/proc/{process.pid}/comm")
        until(lambda: ") Z 1" in comm.read_text(), "the program to name itself")
        found = ProcProcesses().find(process.pid)
        assert found is not None
        assert found.pid == process.pid
        process.communicate(b"\n")


def in_session(line: str, session: int) -> str:
    """The stat line with another session: its sixth field."""
    head, _, rest = line.rpartition(") ")
    fields = rest.split()
    return " ".join([f"{head})", *fields[:3], str(session), *fields[4:]])


def test_descendants_count_since_a_time_and_without_adopted_orphans(tmp_path: Path) -> None:
    tree(
        tmp_path,
        in_session(stat_line(10, "shell", "S", 1, 100), 10),
        in_session(stat_line(11, "earlier", "S", 10, 150), 10),
        in_session(stat_line(12, "below it", "S", 11, 400), 10),
        in_session(stat_line(13, "program", "S", 10, 300), 10),
        in_session(stat_line(14, "own session", "S", 10, 310), 14),
        in_session(stat_line(15, "child of it", "S", 14, 320), 14),
        in_session(stat_line(20, "old leader", "S", 1, 50), 20),
        in_session(stat_line(16, "orphan", "S", 10, 330), 20),
        in_session(stat_line(17, "orphan of a leader that ended", "S", 10, 340), 999),
    )
    found = Census(tmp_path).descendants({ProcessRef(pid=10, started=100): 200})
    assert {process.pid for process in found} == {10, 13, 14, 15}


def test_ancestors_go_up_to_the_first_process(tmp_path: Path) -> None:
    processes = tree(
        tmp_path,
        stat_line(1, "init", "S", 0, 1),
        stat_line(10, "shell", "S", 1, 2),
        stat_line(11, "child", "S", 10, 3),
    )
    assert [process.pid for process in processes.ancestors(11)] == [11, 10, 1]
    assert processes.ancestors(99) == ()


def test_the_clock_of_starts_is_now(sleeper: subprocess.Popen[bytes]) -> None:
    processes = ProcProcesses()
    found = processes.find(sleeper.pid)
    assert found is not None
    assert 0 <= processes.ticks() - found.started < 100_000
