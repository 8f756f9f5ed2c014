# SPDX-License-Identifier: Apache-2.0
"""Every type of event: when it happens, what it is about, how serious it is.

A type is dotted and stable: the kind of thing, a dot, what happened to it. `Bus.publish` refuses a
type that is not in this table, and docs/reference/events.md is generated from it. A type that was
renamed keeps its `former` name here for one release: filters of the audit log accept both.
"""

from enum import StrEnum, unique

from .value import Value


@unique
class Severity(StrEnum):
    """How the event is logged."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventType(Value):
    """`share`, `gpu`: whether the event names one."""

    type: str
    when: str
    level: Severity = Severity.INFO
    share: bool = False
    gpu: bool = False
    former: str = ""


def _share(
    name: str, when: str, level: Severity = Severity.INFO, *, former: str = "", gpu: bool = False
) -> EventType:
    old = f"share.{former}" if former else ""
    return EventType(type=f"share.{name}", when=when, level=level, share=True, gpu=gpu, former=old)


def _anomaly(kind: str, when: str, *, share: bool = False, gpu: bool = False) -> EventType:
    level = Severity.WARNING
    return EventType(type=f"anomaly.{kind}", when=when, level=level, share=share, gpu=gpu)


_LIFE = (
    _share("queued", "A share was requested and waits for room"),
    _share("reserved", "A share was requested for a later time, and its place is reserved"),
    _share("granted", "The share has its place"),
    _share("running", "Its first program runs"),
    _share("exited", "Its program has ended: see the message for the exit code"),
    _share("empty", "Its last program has ended; the share still exists", former="idle"),
    _share("released", "The share has ended"),
    _share("scrubbed", "Its GPU memory was filled with zeros and read back", gpu=True),
    _share("scrub_failed", "Its GPU memory could not be proved clear", Severity.WARNING, gpu=True),
    _share("spared", "The share ends, and processes in it are not ended", Severity.WARNING),
    _share("failed", "The share has ended because of a fault", Severity.ERROR),
    _share("damaged", "An operation can be neither finished nor undone", Severity.ERROR),
    _share("repaired", "That operation was finished or undone after all"),
    _share("changed", "Its limits, priority or time were changed"),
    _share("rolled_back", "An interrupted operation was undone", Severity.WARNING, former="undone"),
)
_LIMITS = (
    _share("denied", "Allocations were refused at its memory limit", Severity.WARNING),
    _share("over_limit", "It exceeds its memory limit", Severity.WARNING, former="over", gpu=True),
    _share("escaped", "A limit of it does not hold: see the message", Severity.WARNING, gpu=True),
    _share("escape_ended", "Its limits hold again"),
    _share("escape_stopped", "The policy stopped processes that escaped", Severity.WARNING),
    _share("fault", "A fault or a lost GPU has ended its programs", Severity.ERROR),
    _share("verified", "The probe found nothing weaker than promised"),
    _share("proof_failed", "A proof found its limits changed or escaped", Severity.ERROR),
    _share("verification_untried", "The probe could not try its limits", Severity.WARNING),
    _share("verification_failed", "A promise does not hold", Severity.ERROR, former="broken"),
)
_MOVES = (
    _share("suspended", "Its memory has left the GPU"),
    _share("resumed", "Its memory is back on the GPU"),
    _share("migrated", "Its programs are on another GPU now"),
    _share("turn", "Its memory turn begins: its memory goes to the GPU"),
    _share("waits", "Its memory turn ends: its memory leaves the GPU"),
    _share(
        "suspend_failed",
        "It did not leave the GPU at the end of its memory turn",
        Severity.WARNING,
        former="unmovable",
    ),
    _share("reclaimed.throttle", "Its compute was lowered to what it is guaranteed"),
    _share("reclaimed.suspend", "It was suspended, for another tenant's guarantee"),
    _share("reclaimed.migrate", "It was migrated, for another tenant's guarantee"),
    _share("reclaimed.evict", "It was ended, for another tenant's guarantee", Severity.WARNING),
)
_POLICIES = (
    _share("idle", "It has done no GPU work for as long as the policy allows", former="quiet"),
    _share("active", "It works again after it was idle", former="works"),
    _share("resized", "Its memory limit was adjusted to its use", former="sized"),
    _share(
        "resize_failed",
        "Its memory limit cannot be adjusted while it lives",
        Severity.WARNING,
        former="unsized",
    ),
    EventType(type="policy.changed", when="The policy of the machine was changed"),
    _anomaly("probing", "A user is denied access again and again", share=True),
    _anomaly("out-of-memory", "A program is refused memory and ends, again and again"),
    _anomaly("pattern", "A share's use of the GPU changed suddenly", share=True),
    _anomaly("outside", "A program without a share uses the GPU", gpu=True),
    _anomaly("quota-edge", "Shares come and go at the edge of a quota"),
)
_MACHINE = (
    EventType(type="gpu.lost", when="A GPU cannot be reached", level=Severity.ERROR, gpu=True),
    EventType(type="gpu.recovered", when="It can be reached again", gpu=True, former="gpu.found"),
    EventType(
        type="gpu.xid", when="The driver reports a critical error", level=Severity.ERROR, gpu=True
    ),
    EventType(
        type="gpu.cordoned",
        when="New shares are kept off a GPU; the message has the author and the reason",
        level=Severity.WARNING,
        gpu=True,
    ),
    EventType(type="gpu.uncordoned", when="A cordon of a GPU was lifted", gpu=True),
    EventType(
        type="mps.restarted",
        when="An MPS daemon had ended and was started again",
        level=Severity.WARNING,
        former="mps.mended",
    ),
    EventType(type="leftover.cleaned", when="A leftover of an earlier share was removed"),
    EventType(
        type="state.lost",
        when="The state file has lost changes or rows, and the daemon started without them",
        level=Severity.ERROR,
    ),
    EventType(
        type="state.repaired",
        when="At start a share's record and the machine contradicted each other: see the message",
        level=Severity.WARNING,
        share=True,
    ),
    EventType(type="state.backed_up", when="A backup of the state was made"),
    EventType(
        type="state.restored",
        when="The daemon started with a state that was restored from a backup",
        level=Severity.WARNING,
    ),
    EventType(
        type="daemon.leaving",
        when="Another daemon serves the machine; this one grants nothing new",
        level=Severity.WARNING,
    ),
    EventType(type="config.reloaded", when="The daemon has read its configuration again"),
    EventType(
        type="config.rejected",
        when="The configuration could not be read again; every setting stays as it was",
        level=Severity.ERROR,
    ),
    EventType(type="token.created", when="A token was created"),
    EventType(type="token.revoked", when="Tokens were revoked"),
)
_AUDIT = (
    EventType(
        type="audit.blocked",
        when="The audit log cannot be written; changes are refused",
        level=Severity.ERROR,
    ),
    EventType(type="audit.written", when="The audit log can be written again"),
    EventType(
        type="audit.missing",
        when="The audit log does not end where it was left",
        level=Severity.ERROR,
    ),
    EventType(
        type="audit.damaged",
        when="A record near the end of the audit log was changed",
        level=Severity.ERROR,
    ),
    EventType(
        type="audit.rekeyed",
        when="The key that signed the audit log is gone; another key signs now",
        level=Severity.ERROR,
    ),
    EventType(
        type="audit.recovered",
        when="The last lines of the audit log were incomplete; they were cut off",
        level=Severity.WARNING,
    ),
    EventType(
        type="audit.stuck",
        when="A full file of the audit log could not be closed; it keeps growing",
        level=Severity.WARNING,
    ),
    EventType(type="audit.removed", when="The oldest file of the audit log was deleted"),
    EventType(
        type="audit.forward_failed",
        when="Audit records cannot be forwarded",
        level=Severity.WARNING,
        former="audit.uncopied",
    ),
)

EVENT_TYPES = {row.type: row for row in (*_LIFE, *_LIMITS, *_MOVES, *_POLICIES, *_MACHINE, *_AUDIT)}
_FORMER = {row.former: row.type for row in EVENT_TYPES.values() if row.former}


def names_of(action: str) -> tuple[str, ...]:
    """The action and its other name, where it was renamed.

    `share.idle` was the name of `share.empty`; it means only what it means today.
    """
    if action in EVENT_TYPES:
        former = EVENT_TYPES[action].former
        return (action, former) if former and former not in EVENT_TYPES else (action,)
    return (action, _FORMER[action]) if action in _FORMER else (action,)
