# SPDX-License-Identifier: Apache-2.0
"""A session on a lent GPU: parts that end, fail or take too long, and what is packed of them."""

import sys
import tarfile
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu.session import Part, Session, rows

ENDS = Part("ends", ("timeit", "-n", "1", "pass"), 1, 60)
FAILS = Part("fails", ("timeit", "--no-such-option"), 1, 60)
GOES_ON = Part("goes-on", ("http.server", "--bind", "127.0.0.1", "0"), 1, 2)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "out").mkdir()
    return Session(tmp_path / "some", tmp_path / "out" / "a.tar.gz", time.monotonic() + 300, [])


def packed(session: Session) -> set[str]:
    with tarfile.open(session.archive) as found:
        return {Path(name).name for name in found.getnames()}


def test_each_part_has_an_outcome_and_the_archive_has_all_so_far(session: Session) -> None:
    session.run(ENDS, 1)
    assert packed(session) == {"some", "1-ends.log"}
    session.run(FAILS, 2)
    assert packed(session) == {"some", "1-ends.log", "2-fails.log"}
    assert [outcome for _, outcome, _ in session.outcomes] == ["done", "exit code 2"]


def test_a_part_that_takes_too_long_is_stopped_and_others_follow(session: Session) -> None:
    session.run(GOES_ON, 1)
    session.run(ENDS, 2)
    assert [outcome for _, outcome, _ in session.outcomes] == ["stopped after 2 s", "done"]


def test_no_part_begins_for_which_no_time_is_left(session: Session) -> None:
    session.deadline = time.monotonic() + 0.5
    session.run(ENDS, 1)
    assert session.outcomes[0][1] == "no time left"


def test_the_table_in_the_end_has_rows_that_were_not_measured(tmp_path: Path) -> None:
    (tmp_path / "1-colocation").mkdir()
    (tmp_path / "1-colocation" / "colocation.json").write_text(
        '{"benchmark": "colocation", "gpu": {"uuid": "GPU-1"}, "result": {"rows": [{"lc": "bert", '
        '"be": "gpt", "configuration": "xsched+4/2", "missing": "not built"}]}}'
    )
    assert rows(tmp_path)[1] == "  bert+gpt xsched+4/2: not built"
