# SPDX-License-Identifier: Apache-2.0
"""The file of a recorded time: JSON lines, first a head, then the shares, then how many there were.

A file is complete in itself: the head has the machine and the policy that was in force at the end
of the time. Times are dates with a time zone. Readers refuse what they do not know: another
version, a field more, a line that is no JSON, a file that ends before its last line.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from gpushare.model.errors import GpushareError, PolicyError, TraceError
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.form import document
from gpushare.model.policy.form import policy as policy_of
from gpushare.model.policy.tenant import Policy
from gpushare.model.spec import MechanismName, ShareSpec
from gpushare.model.value import Value

T = TypeVar("T", bound=Value)


class Head(Value):
    """The first line. `notes`: what happened in that time and is not in the file."""

    begin: datetime
    end: datetime
    machine: Machine
    policy: dict[str, Any]
    trace: Literal[1] = 1
    anonymous: bool = False
    notes: tuple[str, ...] = ()


class Period(Value):
    """A time in which a share was suspended; `end` None: it was not resumed."""

    begin: datetime
    end: datetime | None = None


class RecordedShare(Value):
    """One share. `ended` None: it was there at the end of the time. `evicted`: for a guarantee."""

    id: ShareId
    tenant: Tenant
    uid: int
    spec: ShareSpec
    asked: datetime
    program: str = ""
    granted: datetime | None = None
    gpus: tuple[GpuId, ...] = ()
    mechanisms: tuple[MechanismName, ...] = ()
    ended: datetime | None = None
    away: tuple[Period, ...] = ()
    evicted: bool = False


class Tail(Value):
    """The last line."""

    shares: int


class Trace(Value):
    """A recorded time."""

    head: Head
    shares: tuple[RecordedShare, ...]

    @property
    def policy(self) -> Policy:
        """Raises TraceError."""
        try:
            return policy_of(self.head.policy)
        except PolicyError as error:
            raise _bad(1, str(error)) from error


def written(trace: Trace) -> Iterator[str]:
    """The lines of the file."""
    for value in (trace.head, *trace.shares, Tail(shares=len(trace.shares))):
        yield msgspec.json.encode(value).decode() + "\n"


def head(begin: datetime, end: datetime, machine: Machine, policy: Policy) -> Head:
    """The head of a trace that is about to be written."""
    return Head(begin=begin, end=end, machine=machine, policy=document(policy))


def read(lines: Iterable[str]) -> Trace:
    """Raises TraceError, which names the line."""
    numbered = list(enumerate(lines, 1))
    if not numbered:
        raise TraceError("the trace is empty", "it has no line", _HINT)
    first = _line(*numbered[0], Head)
    if len(numbered) == 1:
        raise _ends_early(1)
    number, last = numbered[-1]
    tail = _tail(number, last)
    shares = tuple(_line(*each, RecordedShare) for each in numbered[1:-1])
    if tail.shares != len(shares):
        raise _bad(number, f"it counts {tail.shares} shares, and the file has {len(shares)}")
    _check(first, shares)
    trace = Trace(head=first, shares=shares)
    _ = trace.policy  # an error in it is shown now
    return trace


def _tail(number: int, text: str) -> Tail:
    try:
        return msgspec.json.decode(text, type=Tail)
    except (msgspec.DecodeError, UnicodeError):
        raise _ends_early(number) from None


def _line(number: int, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad(number, str(error)) from error
    except GpushareError as error:  # a spec that no share can have
        raise _bad(number, str(error)) from error


def _check(first: Head, shares: Iterable[RecordedShare]) -> None:
    if not first.machine.gpus:
        raise _bad(1, "its machine has no GPU")
    known: set[ShareId] = set()
    for number, share in enumerate(shares, 2):
        times = [share.asked, share.granted, share.ended]
        times += [at for period in share.away for at in (period.begin, period.end)]
        there = [at for at in times if at is not None]
        if any(at.tzinfo is None for at in (first.begin, first.end, *there)):
            raise _bad(number, "a time has no time zone")
        if there[:3] != sorted(there[:3]):
            raise _bad(number, "it was granted before it was asked for, or ended before that")
        if share.id in known:
            raise _bad(number, f"share {share.id} is in the file twice")
        known.add(share.id)


_HINT = "record one: gpushare simulate --record FILE"


def _bad(number: int, because: str) -> TraceError:
    return TraceError(f"line {number} of the trace cannot be used", because, _HINT)


def _ends_early(number: int) -> TraceError:
    return TraceError(
        "the trace ends too early", f"line {number} is not its last line, with the count", _HINT
    )


def anonymous(trace: Trace) -> Trace:
    """The same trace without names: of tenants, users, shares, programs, labels and GPUs' UUIDs.

    Numbers replace them in the order in which they appear, the same number for the same name.
    """
    gpus = _Numbers("GPU-")
    people, tenants, programs = _Numbers(""), _Numbers("tenant-"), _Numbers("program-")
    labels, ids = _Numbers("label-"), _Numbers("")

    def share(it: RecordedShare) -> RecordedShare:
        return replace(
            it,
            id=ShareId(f"{int(ids(it.id)):012x}"),
            tenant=Tenant(tenants(it.tenant)),
            uid=int(people(str(it.uid))),
            program=programs(it.program) if it.program else "",
            gpus=tuple(GpuId(gpus(gpu)) for gpu in it.gpus),
            spec=_spec(it.spec, tenants, gpus, labels),
        )

    shown = trace.head.machine
    machine = msgspec.convert(_renamed(msgspec.to_builtins(shown), gpus), Machine)
    hidden = replace(
        trace.head, anonymous=True, machine=machine, policy=_policy(trace.policy, tenants)
    )
    return Trace(head=hidden, shares=tuple(share(it) for it in trace.shares))


class _Numbers:
    """Stand-ins for names."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._known = prefix, dict[str, str]()

    def __call__(self, name: str) -> str:
        return self._known.setdefault(name, f"{self._prefix}{len(self._known) + 1}")


def _spec(
    spec: ShareSpec,
    tenants: Callable[[str], str],
    gpus: Callable[[str], str],
    labels: Callable[[str], str],
) -> ShareSpec:
    def hidden(pairs: dict[str, str]) -> dict[str, str]:
        return {labels(key): labels(value) for key, value in pairs.items()}

    gang = spec.gang and replace(spec.gang, name=labels(spec.gang.name))
    return replace(
        spec,
        name=None,
        tenant=None if spec.tenant is None else Tenant(tenants(spec.tenant)),
        gpu=tuple(gpus(name) if name.startswith("GPU-") else name for name in spec.gpu),
        labels=hidden(spec.labels),
        near=hidden(spec.near),
        apart=hidden(spec.apart),
        gang=gang,
    )


def _renamed(value: Any, gpus: Callable[[str], str]) -> Any:
    """Every text that is the UUID of a GPU, also as a key."""
    if isinstance(value, dict):
        return {_renamed(key, gpus): _renamed(each, gpus) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(each, gpus) for each in value]
    return gpus(value) if isinstance(value, str) and value.startswith("GPU-") else value


def _policy(policy: Policy, tenants: Callable[[str], str]) -> dict[str, Any]:
    def parent(name: Tenant | None) -> Tenant | None:
        return None if name is None else Tenant(tenants(name))

    named = {
        Tenant(tenants(name)): replace(spec, parent=parent(spec.parent), users=(), groups=())
        for name, spec in policy.tenants.items()
    }
    default = replace(policy.default, parent=parent(policy.default.parent))
    return document(replace(policy, tenants=named, default=default))
