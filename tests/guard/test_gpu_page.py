# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from gpushare.guard import Board, Rank, SeatPolicy, layout
from gpushare.model.errors import BoardCorruptError
from gpushare.model.ids import GpuId, ShareId
from support.layouts import has_compiler, in_c, mirrored

GPU = GpuId("GPU-11111111-2222-3333-4444-555555555555")
ONE = SeatPolicy(share=ShareId("0123456789ab"), rank=Rank.LOW, limit=2500, request=1000)
LAYOUTS = {
    "gs_share_policy": layout.SeatPolicy,
    "gs_share_slot": layout.Seat,
    "gs_process_slot": layout.Rider,
    "gs_gpu_page": (layout.Board, layout.BoardHeader),
}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / GPU, GPU)


@pytest.mark.skipif(not has_compiler(), reason="compares with the C header: needs a C compiler")
def test_mirrors_the_c_header(tmp_path: Path) -> None:
    ours = mirrored(LAYOUTS) | {"magic": layout.BOARD_MAGIC, "version": layout.BOARD_VERSION}
    assert ours == in_c(
        tmp_path, "share/gpu_page.h", LAYOUTS, ("GS_GPU_PAGE_MAGIC", "GS_GPU_PAGE_VERSION")
    )


def test_is_empty_when_it_is_made(board: Board) -> None:
    seen = board.snapshot()
    assert (seen.uuid, seen.seats, seen.turns, seen.urgent) == (GPU, (), False, 0)


def test_leaves_no_draft_behind(board: Board) -> None:
    assert list(board.path.parent.iterdir()) == [board.path]


def test_a_seat_is_given_changed_and_freed(board: Board) -> None:
    board.seat(5, ONE)
    (seat,) = board.snapshot().seats
    assert (seat.number, seat.policy, seat.turns, seat.busy_ns) == (5, ONE, 0, 0)
    changed = SeatPolicy(share=ONE.share, rank=Rank.HIGH, grace_us=80, quantum_us=99, floor=0)
    board.seat(5, changed)
    assert board.snapshot().seats[0].policy == changed
    board.seat(5, None)
    assert board.snapshot().seats == ()


def test_counters_of_a_seat_are_read(board: Board) -> None:
    board.seat(1, ONE)
    with board.path.open("r+b") as file:
        base = layout.Board.share_slot.offset + layout.ctypes.sizeof(layout.Seat)
        file.seek(base + layout.Seat.busy_ns.offset)
        file.write((77).to_bytes(8, "little"))
    assert board.snapshot().seats[0].busy_ns == 77


@pytest.mark.parametrize("number", [64, 1000])
def test_a_seat_that_is_not_there_is_refused(board: Board, number: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        board.seat(number, ONE)


@pytest.mark.parametrize(("offset", "value"), [(0, b"NOTBOARD"), (8, b"\x63")])
def test_refuses_a_foreign_file(board: Board, offset: int, value: bytes) -> None:
    with board.path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    for use in (board.snapshot, lambda: board.seat(0, ONE)):
        with pytest.raises(BoardCorruptError) as refused:
            use()
        assert refused.value.because


def test_refuses_a_short_file(board: Board) -> None:
    os.truncate(board.path, 100)
    with pytest.raises(BoardCorruptError):
        board.snapshot()


def test_a_pipe_in_its_place_does_not_hold_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Illegal seek"):
        Board(tmp_path / "pipe").snapshot()


def test_says_where_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Board.create(tmp_path / "missing" / "board", GPU)
