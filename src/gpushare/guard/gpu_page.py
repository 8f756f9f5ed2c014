# SPDX-License-Identifier: Apache-2.0
"""A GPU's board: who may launch work now. Made by the daemon, mapped by every program on the GPU.

Reading maps nothing and takes no lock: the file is writable for every user of the GPU, and the
daemon must not be taken down by what they do to it.
"""

import ctypes
import errno
import os
from collections import Counter
from enum import IntEnum, unique
from pathlib import Path

from gpushare.model.errors import BoardCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.value import Value

from . import layout
from .native import library

FULL_SEAT = 10000  # compute is counted in basis points


@unique
class Rank(IntEnum):
    """Who goes first (enum gs_rank)."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


class SeatPolicy(Value):
    """What the daemon says of a share. Compute in basis points, times in microseconds.

    `quantum_us`: low rank, the most GPU time between two looks at the word. `floor`: low rank,
    what urgent work leaves it at least. `grace_us`: high rank, the longest pause that is bridged;
    0: learned. `slice_us`: how long its programs have the GPU where contexts take turns and a low
    and a high rank meet; 0: as the driver likes.
    """

    share: ShareId
    rank: Rank = Rank.NORMAL
    limit: int = FULL_SEAT
    request: int = 0
    quantum_us: int = 150
    floor: int = 200
    grace_us: int = 0
    slice_us: int = 0


class Seat(Value):
    """One share on the GPU, and what its programs counted; times in nanoseconds.

    `wanted_ns`: time under turns in which it had or wanted work, of which `open_ns` its word was
    open; `overrun_ns`: work that ran on after its turn. `busy_ns`: GPU time as far as measured,
    which it is where work is held back. `launches`: work handed to the GPU, copies too; an older
    guard counts none. `slice_us`: the time slice that holds now; 0: the driver's own. `waiting`:
    threads that wait for the GPU now.
    """

    number: int
    policy: SeatPolicy
    word: int = 0
    turns: int = 0
    wanted_ns: int = 0
    open_ns: int = 0
    overrun_ns: int = 0
    busy_ns: int = 0
    waits: int = 0
    waited_ns: int = 0
    fences: int = 0
    longest_ns: int = 0
    raises: int = 0
    raised_ns: int = 0
    grace_ns: int = 0
    stuck: int = 0
    floors: int = 0
    launches: int = 0
    slice_us: int = 0
    waiting: int = 0


class BoardSnapshot(Value):
    """`seats`: the taken ones. `turns`: compute is given in turns now."""

    uuid: GpuId
    seats: tuple[Seat, ...]
    turns: bool = False
    urgent: int = 0


class Board:
    """A board by its path. Nothing is held open between calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, gpu: GpuId) -> "Board":
        """Make the file, replacing one that is there; raises OSError as open() does."""
        board = cls(path)
        board._check(library().gpushare_gpu_page_create(os.fsencode(path), gpu.encode()))
        return board

    def seat(self, number: int, policy: SeatPolicy | None) -> None:
        """Give the seat to a share, change what is said of it, or (None) free it."""
        said = layout.SeatPolicy() if policy is None else _raw(policy)
        path = os.fsencode(self.path)
        self._check(library().gpushare_gpu_page_set_share(path, number, ctypes.byref(said)))

    def snapshot(self) -> BoardSnapshot:
        """Raises BoardCorruptError for a file that is no board, OSError as open() does."""
        raw = self._read()
        waiting = _waiting(raw)
        seats = (
            _seat(number, seat, waiting[number])
            for number, seat in enumerate(raw.share_slot)
            if seat.policy.share
        )
        return BoardSnapshot(
            uuid=GpuId(raw.header.uuid.decode(errors="replace")),
            seats=tuple(seats),
            turns=bool(raw.header.turns),
            urgent=raw.header.preempt_bits,
        )

    def _check(self, result: int) -> None:
        if result == -errno.EBADMSG:
            raise _corrupt(self.path, "it has not the layout of this version")
        if result < 0:
            raise OSError(-result, os.strerror(-result), str(self.path))

    def _read(self) -> layout.Board:
        # Without O_NONBLOCK a named pipe put in the file's place would hold the reader for ever.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            data = os.pread(fd, ctypes.sizeof(layout.Board), 0)
        finally:
            os.close(fd)
        if len(data) != ctypes.sizeof(layout.Board):
            raise _corrupt(self.path, f"it has {len(data)} bytes")
        raw = layout.Board.from_buffer_copy(data)
        header = raw.header
        if (header.magic, header.version) != (layout.BOARD_MAGIC, layout.BOARD_VERSION):
            raise _corrupt(self.path, "it does not begin as a board does")
        return raw


_OTHERS = {"number", "policy", "waiting"}
_COUNTERS = tuple(name for name in Seat.__struct_fields__ if name not in _OTHERS)
_STORED = {  # what they are called in the file's layout
    "word": "gate",
    "raises": "preemptions",
    "raised_ns": "preempt_ns",
    "stuck": "overrides",
    "floors": "starvation_runs",
    "slice_us": "timeslice_us",
}


def _waiting(raw: layout.Board) -> Counter[int]:
    """By seat; a rider counts until somebody finds it dead."""
    found: Counter[int] = Counter()
    for rider in raw.process_slot[: min(raw.header.process_slots_high, layout.MAX_RIDERS)]:
        if rider.pid > 0:
            found[rider.share_slot] += rider.busy
    return found


def _seat(number: int, raw: layout.Seat, waiting: int) -> Seat:
    said = raw.policy
    policy = SeatPolicy(
        share=ShareId(said.share.decode(errors="replace")),
        rank=Rank(said.rank) if said.rank in list(Rank) else Rank.NORMAL,
        limit=said.limit,
        request=said.request,
        quantum_us=said.quantum_us,
        floor=said.minimum,
        grace_us=said.grace_us,
        slice_us=said.timeslice_us,
    )
    counters = {name: getattr(raw, _STORED.get(name, name)) for name in _COUNTERS}
    return Seat(number=number, policy=policy, waiting=waiting, **counters)


def _raw(policy: SeatPolicy) -> layout.SeatPolicy:
    return layout.SeatPolicy(
        policy.share.encode(),
        policy.rank,
        policy.limit,
        policy.request,
        policy.quantum_us,
        policy.floor,
        policy.grace_us,
        policy.slice_us,
    )


def _corrupt(path: Path, because: str) -> BoardCorruptError:
    return BoardCorruptError(
        f"{path} is no board", because, "end the programs on that GPU and remove the file"
    )
