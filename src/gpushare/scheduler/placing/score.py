# SPDX-License-Identifier: Apache-2.0
"""Which of the GPUs that fit a share gets, and why those: by links, neighbours, then the policy."""

from collections.abc import Mapping, Sequence

from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Placement
from gpushare.model.value import Value
from gpushare.scheduler.capacity.room import Room, knows
from gpushare.scheduler.request.interference import NOISE, Encounter, Interference, harm
from gpushare.scheduler.request.mechanisms import whole_memory
from gpushare.scheduler.request.state import Snapshot
from gpushare.scheduler.request.topology import Links, best

from .fit import Candidate

Encounters = Mapping[GpuId, Sequence[Encounter]]


class Choice(Value):
    """The GPUs that were chosen, in the order of their names or indices, and sentences about it."""

    rooms: tuple[Room, ...]
    why: tuple[str, ...] = ()


def best_choice(state: Snapshot, candidate: Candidate, fits: Sequence[Room]) -> Choice:
    """Of at least as many GPUs as the share needs."""
    interference = Interference(state.profiles)
    encounters = {
        room.gpu.uuid: interference.encounters(candidate.request, room.shares) for room in fits
    }
    chosen = _best(state, candidate, fits, encounters)
    # The choice without knowledge of neighbours, to name the GPUs that were avoided because of it.
    usual = _best(state, candidate, fits, {}) if any(encounters.values()) else chosen
    avoided = [room for room in usual if room not in chosen and encounters[room.gpu.uuid]]
    harmed = [_avoided(candidate, room, encounters[room.gpu.uuid]) for room in avoided]
    return Choice(rooms=chosen, why=(*_reason(state, candidate, fits, chosen), *harmed))


def _best(
    state: Snapshot, candidate: Candidate, fits: Sequence[Room], encounters: Encounters
) -> tuple[Room, ...]:
    links = Links(state.machine)
    losses = {room.gpu.uuid: harm(encounters.get(room.gpu.uuid, ())) for room in fits}
    least = min(losses.values())
    whole = [room.gpu for room in fits if not room.shares]

    def rank(room: Room) -> tuple[float, ...]:
        loss = losses[room.gpu.uuid]
        # A small share does not break up empty GPUs with good links, which shares of several GPUs
        # need.
        broken = 0 if room.shares else links.joined(room.gpu, whole)
        # Smaller differences are noise (ADR 0026) and must not override the policy's placement.
        harmed = loss if loss >= least + NOISE else 0.0
        return harmed, *_placed(state, candidate, room), broken, room.gpu.index

    ranked = sorted(fits, key=rank)
    places = best(links, [room.gpu for room in ranked], candidate.spec.gpus)
    # Programs number the GPUs in this order, so that of `--gpu 2 --gpu 1` is kept.
    order = {gpu.uuid: place for place, gpu in enumerate(candidate.gpus)}
    return tuple(sorted((ranked[place] for place in places), key=lambda r: order[r.gpu.uuid]))


def _placed(state: Snapshot, candidate: Candidate, room: Room) -> tuple[int, int, int]:
    """Pack: fill GPUs that are in use already, so that others stay whole. Spread: the other way.

    A request without a size means a GPU; it gets a MIG instance only when nothing else is free.
    """
    piece = whole_memory(candidate.spec) and room.gpu.parent is not None
    free = room.free(turns=candidate.spec.turns)
    if state.policy.placement is Placement.SPREAD:
        return piece, len(room.shares), -free
    return piece, free, 0


def _reason(
    state: Snapshot, candidate: Candidate, fits: Sequence[Room], chosen: Sequence[Room]
) -> list[str]:
    """Why those; nothing where there was no choice."""
    many = len(chosen) > 1
    names = f"GPU{'s' * many} {', '.join(str(room.gpu.index) for room in chosen)}"
    if len(candidate.gpus) == len(chosen):
        return [_joined(state, names, chosen)] if many else []
    if len(fits) == len(chosen):
        return [f"{names} {'are' if many else 'is'} all that fits now"]
    if many:
        return [_joined(state, names, chosen)]
    if state.policy.placement is Placement.SPREAD:
        return [f"spread: of the GPUs that fit, {names} is the emptiest"]
    return [f"packed: of the GPUs that fit, {names} is the fullest"]


def _joined(state: Snapshot, names: str, chosen: Sequence[Room]) -> str:
    worst = Links(state.machine).worst([room.gpu for room in chosen])
    return f"{names} are joined by {worst} at worst" if worst else f"{names}: links are not known"


def _avoided(candidate: Candidate, room: Room, encounters: Sequence[Encounter]) -> str:
    """The worst that is known of a GPU where the share would have been put otherwise."""
    worst = max(encounters, key=lambda pair: (pair.slowdown, pair.program, pair.beside))
    program, neighbour = worst.program, worst.beside
    if not (room.names_visible or knows(candidate.request, worst.neighbour)):
        mine = candidate.request.program
        if program == mine:
            neighbour = "a program of others"
        else:
            program = "a program of others"
    slower = f"{worst.slowdown:.1f} times slower"
    return f"not {room.label}, where {program} ran {slower} next to {neighbour}"
