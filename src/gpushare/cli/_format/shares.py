# SPDX-License-Identifier: Apache-2.0
"""Shares and GPUs as text for people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gpushare.model.gpu import Capability
from gpushare.model.ids import GpuId
from gpushare.model.share import Enforcement, Finding, State, Trial, Verification
from gpushare.model.units import GIB, format_bytes
from gpushare.model.view import GpuView, MemoryView, MigratableView, ShareView, SuspendableView

from . import cordons, escapes, program_end
from .ages import age
from .fitting import aligned, described
from .output import Column, Table
from .scheduling import scheduling_lines
from .texts import colour
from .times import minute, moment, with_local_times

NONE = "-"
_PLAIN_END = "its program ended"  # the reason of a share whose program has simply ended
_STATE_COLOURS = {
    State.RUNNING: "green",
    State.FAILED: "red",
    State.DAMAGED: "red",
    State.QUEUED: "yellow",
    State.SUSPENDED: "cyan",
}


def share_table(gpus: Sequence[GpuView], now: datetime) -> Table[ShareView]:
    """`gpus`: index and model for the UUIDs of a share."""
    labels = {gpu.uuid: gpu_label(gpu) for gpu in gpus}
    return Table(
        share_name,
        Column("SHARE", lambda s: share_name(s) if s.name else NONE, least=12),
        Column("ID", lambda s: s.id, wide=True),
        Column("TENANT", lambda s: s.tenant or NONE, wide=True),
        Column("USER", lambda s: s.user or NONE, least=6, drop=1),
        Column("GPU", lambda s: _gpus(s, labels), least=6),
        Column("MEMORY", lambda s: memory(s.memory) + ("!" if escapes.active(s) else "")),
        Column("COMPUTE", compute, drop=2),
        Column("PRIORITY", lambda s: s.priority, drop=4),
        Column("BY", lambda s: "+".join(s.mechanism) or NONE, drop=3),
        Column("ENFORCED", lambda s: f"memory {s.enforcement.memory}", wide=True),
        Column("VERIFIED", _verified, wide=True),
        Column("PROVED", lambda s: _proved(s, now), wide=True),
        Column("SUSPENDABLE", lambda s: able(s.suspendable), wide=True),
        Column("MIGRATABLE", lambda s: able(s.migratable), wide=True),
        Column("PIDS", lambda s: ",".join(map(str, s.pids)) or NONE, wide=True),
        Column("STATE", _state),
        Column("AGE", lambda s: age(now - s.created)),
        Column("", _note, least=20),
        notes=lambda share: escapes.notes(share, now),
    )


def share_name(share: ShareView) -> str:
    """What the caller writes to mean the share; an earlier daemon says only its name."""
    return share.ref or share.name or share.id


def gpu_table() -> Table[GpuView]:
    return Table(
        lambda gpu: gpu.uuid,
        Column("GPU", lambda g: str(g.index)),
        Column("NAME", lambda g: g.name + (" (simulated)" if g.simulated else ""), least=12),
        Column("UUID", lambda g: g.uuid, wide=True),
        Column("MEMORY", lambda g: f"{gib(g.memory.used)} / {gib(g.memory.total)} GiB"),
        Column("GRANTED", lambda g: f"{gib(g.memory.granted)} GiB", drop=1),
        Column("COMPUTE", lambda g: f"{g.compute.granted}%", drop=2),
        Column("BUSY", lambda g: NONE if g.compute.used is None else f"{g.compute.used}%"),
        Column("HEALTH", _health, least=12),
        Column("MECHANISMS", lambda g: _available(g.mechanisms), least=10, drop=3),
        Column("DRIVER", lambda g: g.driver, wide=True),
        Column("CONFIDENTIAL", lambda g: g.confidential or NONE, wide=True),
        Column("PIDS", lambda g: ",".join(str(p.pid) for p in g.processes) or NONE, wide=True),
        notes=escapes.gpu_notes,
    )


def gpu_label(gpu: GpuView) -> str:
    return f"{gpu.index} {gpu.name.removeprefix('NVIDIA ')}"


def gib(value: int) -> str:
    return f"{value / GIB:.1f}"


def memory(view: MemoryView) -> str:
    """Used and limit in GiB, as far as they are known."""
    if view.limit is None:
        return NONE
    if view.used is None:
        return f"{gib(view.limit)} GiB"
    return f"{gib(view.used)} / {gib(view.limit)} GiB"


def compute(share: ShareView) -> str:
    """Delivered and limit, as far as they are known."""
    limit = share.compute.limit
    if limit is None:
        return NONE
    delivered = share.compute.delivered
    return f"{limit}%" if delivered is None else f"{delivered} / {limit}%"


def wait_reason(share: ShareView) -> str:
    """`waits for 8 GiB of memory on GPU 0 (~10m)`."""
    if share.queue is None:
        return with_local_times(share.reason)
    eta = share.queue.eta
    soon = f" (~{age(eta - datetime.now(UTC))})" if eta else ""
    return with_local_times(f"waits for {share.queue.waits_for or 'its turn'}{soon}")


def share_details(share: ShareView, gpus: Mapping[GpuId, str]) -> str:
    """The details of a share, for `show`."""
    rows = [
        ("share", f"{share_name(share) if share.name else NONE}  ({share.id})"),
        ("state", _state(share) + (", " + _note(share) if _note(share) else "")),
        ("user", share.user or NONE),
        ("tenant", (share.tenant or NONE) + (", borrowed" if share.borrowed else "")),
        *([("begins", minute(share.begins))] if share.begins else []),
        ("gpus", _gpus(share, gpus)),
        ("memory", _memory_line(share.memory)),
        *(("requested", line) for line in _requested(share)),
        ("compute", compute(share)),
        ("priority", share.priority),
        ("isolation", share.isolation),
        ("by", "+".join(share.mechanism) or NONE),
        ("enforcement", levels(share.enforcement)),
        *(("promised", line) for line in _promised(share)),
        *escapes.details(share),
        ("verified", _verified(share)),
        ("proved", _proved(share, datetime.now(UTC))),
        ("suspendable", able(share.suspendable)),
        *(("host memory", line) for line in _unready(share)),
        ("migratable", able(share.migratable)),
        *(("moves", line) for line in _moving(share)),
        *(("moved", line) for line in _moves(share)),
        *(("scheduling", line) for line in scheduling_lines(share.scheduling)),
        ("processes", ", ".join(map(str, share.pids)) or NONE),
        ("created", moment(share.created)),
        *program_end.rows(share),
        *([("expires", moment(share.expires))] if share.expires else []),
        *([("log", share.log)] if share.log else []),
        *(("output", line) for line in program_end.output(share)),
        *(("why", line) for line in share.why),
        *(("not protected", line) for line in share.unprotected),
        *([("simulated", "yes")] if share.simulated else []),
    ]
    return described(rows)


def levels(held: Enforcement) -> str:
    return (
        f"memory {held.memory}, compute {held.compute}, faults {held.fault}, devices {held.devices}"
    )


def verification(result: Verification) -> str:
    """A row per dimension: promised level, measured level, evidence."""
    rows = [("", "DIMENSION", "PROMISED", "DELIVERED", "EVIDENCE")]
    rows += [
        (_mark(f), f.dimension, f.promised, f.delivered or f.trial, f.evidence)
        for f in result.findings
    ]
    return aligned(rows)


def attacks(result: Verification) -> str:
    """A row per way around a limit that was tried."""
    rows = [("DIMENSION", "ATTEMPT", "RESULT", "EVIDENCE")]
    rows += [
        (finding.dimension, attack.name, attack.result, attack.evidence)
        for finding in result.findings
        for attack in finding.attacks
    ]
    return aligned(rows)


def _mark(finding: Finding) -> str:
    if finding.trial is not Trial.TRIED:
        return "-"
    return "ok" if finding.ok else "NO"


def able(ability: SuspendableView | MigratableView | None) -> str:
    """`yes`, or the reason why not; a dash if it is not known."""
    if ability is None:
        return NONE
    return "yes" if ability.yes else f"no, because {ability.because}"


def _memory_line(view: MemoryView) -> str:
    parts = (("cached", view.cached), ("not counted by the guard", view.uncounted))
    of_it = "".join(f", {format_bytes(size)} of it {what}" for what, size in parts if size)
    return f"{memory(view)}{of_it}, peak {_size(view.peak)}"


def _moves(share: ShareView) -> list[str]:
    """The newest suspend and resume of each tier."""
    lines = []
    for tier, moved in share.moved.items():
        ways = (
            ("out", moved.out_seconds, moved.out_bytes),
            ("back", moved.in_seconds, moved.in_bytes),
        )
        parts = [
            f"{way} {seconds:.2f} s" + (f" ({format_bytes(size)})" if size else "")
            for way, seconds, size in ways
            if seconds is not None
        ]
        lines.append(f"{tier}: {', '.join(parts)}")
    return lines


def _unready(share: ShareView) -> list[str]:
    """How much host memory a suspend would have to make ready first."""
    unready = share.suspendable.unready if share.suspendable else None
    return [f"not ready for {format_bytes(unready)}, so a suspend takes longer"] if unready else []


def _moving(share: ShareView) -> list[str]:
    """How far a suspend or resume in progress is."""
    if (move := share.move) is None:
        return []
    return [f"{move.way}, {format_bytes(move.moved)} of {format_bytes(move.total)}"]


def _gpus(share: ShareView, labels: Mapping[GpuId, str]) -> str:
    return ", ".join(labels.get(gpu, gpu) for gpu in share.gpus) or NONE


def _state(share: ShareView) -> str:
    # The position is part of the state: it is what users look for first.
    text = f"queued #{share.queue.position}" if share.queue else str(share.state)
    return colour(text, fg=_STATE_COLOURS.get(share.state))


def reached(share: ShareView) -> str:
    """The state, and how the program ended: `released, exited (1)`."""
    return f"{share.state}, {share.end.text}" if share.end else str(share.state)


def _ended(share: ShareView, now: datetime) -> str:
    """`exited (1) 3m ago`, and why the share ended where that says more."""
    when = f" {age(now - share.ended)} ago" if share.ended else ""
    if share.end is None:
        return share.reason + when
    why = "" if share.reason in {"", _PLAIN_END} else f"{share.reason}, "
    return f"{why}{share.end.text}{when}"


def _note(share: ShareView) -> str:
    if share.state.ended:
        return _ended(share, datetime.now(UTC))
    if share.releasing:
        return "being released"
    if share.queue or share.state in {State.SUSPENDED, State.DAMAGED}:
        return wait_reason(share)
    if share.fault:
        return colour(share.fault, fg="red")
    return f"idle {age(datetime.now(UTC) - share.idle_since)}" if share.idle_since else ""


def _requested(share: ShareView) -> list[str]:
    """The requested sizes, if the policy has changed them."""
    if share.asked is None:
        return []
    memory, parts = share.asked.memory, []
    if memory.limit is not None:
        parts.append(f"{gib(memory.limit)} GiB")
    elif memory.share is not None:
        parts.append(f"{memory.share}% of memory")
    if memory.request is not None:
        parts.append(f"{gib(memory.request)} GiB of it guaranteed")
    return [", ".join([*parts, f"priority {share.asked.priority}"])]


def _promised(share: ShareView) -> list[str]:
    """What would hold if no limit were escaped, if that differs."""
    same = share.promised is None or share.promised == share.enforcement
    return [] if share.promised is None or same else [levels(share.promised)]


def _verified(share: ShareView) -> str:
    if escapes.active(share):
        return "NO: a limit does not hold now"
    if share.verified is None:
        return "not yet"
    if share.verified.ok:
        untried = ", ".join(finding.dimension for finding in share.verified.untried)
        return f"in part: {untried} could not be tried" if untried else "yes"
    return "NO: a promise does not hold" if share.verified.broken else "could not be tried"


def _proved(share: ShareView, now: datetime) -> str:
    """How long ago, and what was found; a dash for a share that was not proved yet."""
    if share.proof is None:
        return NONE
    when = f"{age(now - share.proof.at)} ago"
    return when if share.proof.ok else f"NO {when}: {share.proof.text}"


def _health(gpu: GpuView) -> str:
    if not gpu.health.lost and (cordoned := cordons.brief(gpu)):
        sick = f": {gpu.health.withheld}" if gpu.health.withheld else ""
        return colour(cordoned + sick, fg="red" if sick else "yellow")
    if gpu.health.withheld:
        return colour("lost" if gpu.health.lost else gpu.health.withheld, fg="red")
    problems = [f"Xid {xid}" for xid in gpu.health.xids[-1:]]
    problems += [f"{gpu.health.ecc} ECC errors"] if gpu.health.ecc else []
    problems += [colour(gpu.trouble, fg="red")] if gpu.trouble else []
    return ", ".join(problems) or "ok"


def _available(mechanisms: Sequence[Capability]) -> str:
    return ", ".join(m.mechanism for m in mechanisms if m.available) or NONE


def _size(value: int | None) -> str:
    return NONE if value is None else format_bytes(value)
