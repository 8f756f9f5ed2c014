# SPDX-License-Identifier: Apache-2.0
"""All mechanisms of a machine, and the stack of each share: what the daemon calls.

Model: a share's decision names its stack, one base and layers on it. Every act on a share goes
through the stack, base first, and `release` in reverse: a limit goes before what carries it. Edits
and observations of the stack are merged; where two set the same, the later layer wins.

A share also has a control group of its own where the machine allows one: child processes are found
there, the driver's limits apply to it, and its processes cannot open other GPUs' device nodes.

Invariants:
- The promises given to the scheduler are the ones that act: one table, `promises`.
- An act that fails leaves the share to be repeated or released; nothing is undone here.
- A file that cannot be written is an error of that share, not of the daemon.
- A control group is removed last, and only when no process is in it: such a process may still hold
  GPU memory.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from operator import or_

from msgspec.structs import replace

from gpushare.guard.memo import Memo
from gpushare.hardware.ports import Cgroups, Devices
from gpushare.model.edits import Edits, merge
from gpushare.model.errors import CgroupError, HardwareError, UnsupportedError
from gpushare.model.gpu import Capability, Gpu
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Promise, stack_of
from gpushare.model.share import Decision, ProofCheck, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import Bytes

from .mechanism import Mechanism, Observation, Observe, Rival
from .missing import missing
from .visible_devices import devices, guarded_numbers, machine_numbers, own_numbers, places


def _no_gpus() -> tuple[Gpu, ...]:
    return ()


# How each mechanism observes shares at one moment, by its name.
Looks = dict[MechanismName, Observe]


class Mechanisms:
    """Acts on a share through every mechanism that its decision names.

    `mechanisms`: every mechanism of this gpushare, whether it works on this machine or not. `gpus`:
    those of the machine, asked when a share gets its numbers. `uuids`: name GPUs by UUID always.
    """

    def __init__(
        self,
        mechanisms: Iterable[Mechanism],
        cgroups: Cgroups,
        devices: Devices | None = None,
        *,
        gpus: Callable[[], Iterable[Gpu]] = _no_gpus,
        uuids: bool = False,
    ) -> None:
        self._by_name = {mechanism.promise.mechanism: mechanism for mechanism in mechanisms}
        self._cgroups, self._devices = cgroups, devices
        self._gpus, self._uuids = gpus, uuids
        # What was written last: a rule is written again only when it changes. Acts on several
        # shares run at the same time.
        self._rules = threading.Lock()
        self._peer_gpus: dict[ShareId, frozenset[GpuId]] = {}
        # What is still to do when a share has left its GPUs, before others get them.
        self.released: Callable[[Share], None] = lambda _: None
        # Every pass asks for the stack of every share, and a machine has few different ones.
        self._stacks: dict[tuple[MechanismName, ...], tuple[Promise, ...]] = {}
        self._observed: Memo[ShareId, Observation] = Memo()

    def promises(self) -> tuple[Promise, ...]:
        """The table the scheduler decides by."""
        promises = (mechanism.promise for mechanism in self._by_name.values())
        if self._devices is None:
            return tuple(promises)
        claim = devices(self._devices.reason())
        return tuple(p if p.layer else replace(p, devices=claim) for p in promises)

    def capabilities(self, gpus: Sequence[Gpu]) -> tuple[Capability, ...]:
        """Whether each mechanism works on a machine with these GPUs, and if not, why."""
        working = [gpu for gpu in gpus if not gpu.health.lost]
        none = "" if working else "this machine has no working GPU"
        reasons = {name: none or self._unavailable(name, working) for name in MechanismName}
        return tuple(
            Capability(
                mechanism=name,
                available=not reason,
                reason=reason,
                one_process=self._for_one_process(name),
            )
            for name, reason in reasons.items()
        )

    def _for_one_process(self, name: MechanismName) -> bool:
        """Whether it works in compute mode exclusive-process: alone, or through one server."""
        (promise,) = stack_of(self.promises(), (name,))
        return promise.layer or promise.alone or promise.served

    def _unavailable(self, name: MechanismName, gpus: Sequence[Gpu]) -> str:
        if name in self._by_name:
            return self._by_name[name].unavailable(gpus)
        return missing(name, gpus)

    def stack(self, share: Share) -> tuple[Promise, ...]:
        """The promises of the share's own stack; empty without a decision."""
        names = share.decision.mechanisms if share.decision else ()
        if names not in self._stacks:
            promises = (mechanism.promise for mechanism in self._by_name.values())
            self._stacks[names] = stack_of(promises, names)
        return self._stacks[names]

    def prepare(self, share: Share) -> Edits:
        """Raises HardwareError; what was done until then is undone by `release`."""
        cgroup = None if self._cgroups.reason() else self._cgroups.create(share.id)
        grants = share.decision.grants if share.decision else ()
        # Before any program enters: a process keeps device nodes that it has opened already.
        with self._rules:
            confined = cgroup is not None and self._confine(share, self.peer_gpus(share))
        with _explained(share):
            edits = [mechanism.prepare(share, grants) for mechanism in self._mechanisms(share)]
        return merge(Edits(cgroup=cgroup), *edits, self._numbers(share, grants, confined=confined))

    def peer_gpus(self, share: Share) -> frozenset[GpuId]:
        """The GPUs besides its own whose device nodes the share may open."""
        return self._peer_gpus.get(share.id, frozenset())

    def admit(self, share: Share, gpus: frozenset[GpuId]) -> None:
        """Let the share open the device nodes of these GPUs too, and of no further ones.

        Only under the guard, which keeps programs on the share's own GPUs: without it a number in
        CUDA_VISIBLE_DEVICES counts every GPU that can be opened. Raises CgroupError.
        """
        with self._rules:
            if not self.admits(share, gpus) and self._confine(share, gpus):
                self._peer_gpus[share.id] = gpus

    def admits(self, share: Share, gpus: frozenset[GpuId]) -> bool:
        """Whether `admit` has nothing to do."""
        if self._peer_gpus.get(share.id) == gpus:
            return True
        filters = self._devices is not None and not self._devices.reason()
        guarded = any(promise.preloaded for promise in self.stack(share))
        # Without a filter every GPU can be opened, in every pass: there is nothing to write.
        return not (guarded and filters) or bool(self._cgroups.reason())

    def _numbers(self, share: Share, grants: Sequence[GpuGrant], *, confined: bool) -> Edits:
        """The share's GPUs as numbers, where they are exact; see `visible_devices`."""
        stack = self.stack(share)
        if self._uuids or not grants:
            return Edits()
        if confined:
            return own_numbers(grants)
        if any(promise.preloaded for promise in stack):
            return guarded_numbers(grants, self._places(grants))
        served = any(promise.served for promise in stack)
        return Edits() if served else machine_numbers(self._places(grants))

    def _places(self, grants: Sequence[GpuGrant]) -> tuple[int, ...]:
        try:
            return places(grants, self._gpus())
        # Other names are right without the driver's answer.
        except HardwareError:
            return ()

    def problem(self, share: Share) -> str:
        """Why a program that starts in the share now would not be limited; "" when it would be."""
        grants = share.decision.grants if share.decision else ()
        with _explained(share):
            problems = (mechanism.problem(share, grants) for mechanism in self._mechanisms(share))
            return next((problem for problem in problems if problem), "")

    def restore(self, share: Share) -> None:
        """Write limits again that a program of the share may have changed."""
        grants = share.decision.grants if share.decision else ()
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.restore(share, grants)

    def renew(self, share: Share) -> None:
        """End the problem. Only while no program of the share uses a GPU."""
        grants = share.decision.grants if share.decision else ()
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.renew(share, grants)

    def prove(self, share: Share) -> tuple[ProofCheck, ...]:
        """What every mechanism and the control group find of what the limits depend on."""
        grants = share.decision.grants if share.decision else ()
        with _explained(share):
            checks = [
                check
                for mechanism in self._mechanisms(share)
                for check in mechanism.prove(share, grants)
            ]
        return (*checks, *self._prove_devices(share))

    @contextmanager
    def rival(self, share: Share) -> Iterator[Rival | None]:
        """That of the mechanism which guarantees the share GPU time; None: there is none."""
        with ExitStack() as stack, _explained(share):
            rivals = [stack.enter_context(it.rival(share)) for it in self._mechanisms(share)]
            yield next((rival for rival in rivals if rival), None)

    def _prove_devices(self, share: Share) -> tuple[ProofCheck, ...]:
        if not self._devices or self._devices.reason():
            return ()
        confined = self._devices.in_force(share.id)
        because = "" if confined else "the share's control group has no device filter"
        return (ProofCheck(name="devices", ok=confined, evidence=because),)

    def adjust(self, share: Share) -> None:
        """Apply the grants of the share's present decision to what runs."""
        grants = share.decision.grants if share.decision else ()
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.adjust(share, grants)

    def drain(self, share: Share, pids: Sequence[int]) -> None:
        """End the GPU work of processes that are about to be killed."""
        for mechanism in self._mechanisms(share):
            mechanism.drain(share, pids)

    def release(self, share: Share) -> None:
        """Layers before their base: a limit goes before what carries it.

        Raises CgroupError while a process of the share lives: it may hold GPU memory.
        """
        names = share.decision.mechanisms if share.decision else ()
        with _explained(share):
            for name in reversed(names):
                # A share of another version may name a mechanism that this gpushare lacks; the rest
                # is undone.
                if name in self._by_name:
                    self._by_name[name].release(share)
        self._peer_gpus.pop(share.id, None)
        self._ungroup(share.id)
        self._observed.forget(share.id)
        self.released(share)

    def abandon(self, share: Share) -> tuple[str, ...]:
        """As `release`, but what fails does not keep the rest from being released.

        Returns what was left behind. Raises CgroupError while processes are in the control group.
        """
        names = reversed(share.decision.mechanisms if share.decision else ())
        known = [self._by_name[name] for name in names if name in self._by_name]
        left = [why for each in known if (why := _failure(partial(each.release, share)))]
        self._peer_gpus.pop(share.id, None)
        if pids := () if self._cgroups.reason() else self._cgroups.pids(share.id):
            raise _in_use(share.id, pids)
        self._observed.forget(share.id)
        self.released(share)
        return (*left, *filter(None, [_failure(partial(self._ungroup, share.id))]))

    def _ungroup(self, share: ShareId) -> None:
        if not self._cgroups.reason() and not self._cgroups.remove(share):
            raise _in_use(share, self._cgroups.pids(share))

    def suspend(self, share: Share, keep: Bytes) -> None:
        """Ask the share's programs to leave the GPU; `observe` shows when they have."""
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.suspend(share, keep)

    def resume(self, share: Share) -> None:
        """Ask the share's programs to return; also undoes a suspend that was not finished."""
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.resume(share)

    def move(self, share: Share, to: Decision) -> None:
        """Have the share's limits hold on the GPUs of `to` instead; HardwareError.

        Its programs are off the GPU meanwhile. Undone by the same with the decision it has.
        """
        moved = replace(share, decision=to)
        left = [
            gpu for gpu in (share.decision.gpus if share.decision else ()) if gpu not in to.gpus
        ]
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.move(moved, to.grants, left)
        # The device rule of the control group names GPUs, so it is written again for the new ones.
        self.prepare(moved)

    def put_peak(self, share: Share, peak: Mapping[GpuId, Bytes]) -> None:
        """Let `peak` be the most that the share's programs had; raises HardwareError."""
        with _explained(share):
            for mechanism in self._mechanisms(share):
                mechanism.put_peak(share, peak)

    def observe(self, share: Share, looks: Looks | None = None) -> Observation:
        """What the control group and all mechanisms of the stack see; the same object while that
        does not change.

        `looks`: the same for all shares that are observed at one moment; empty at first.
        Raises UnsupportedError, CgroupError.
        """
        looks = {} if looks is None else looks
        names = share.decision.mechanisms if share.decision else ()
        for name in names:
            if name not in looks:
                looks[name] = self._named(name).observing()
        pids, seen = self._cgroups.pids(share.id), [looks[name](share) for name in names]
        return self._observed.of(
            share.id, (pids, *seen), lambda: reduce(or_, seen, Observation(pids=pids))
        )

    def trouble(self, gpus: Sequence[GpuId]) -> dict[GpuId, str]:
        """What is wrong now with what mechanisms run for GPUs, without waiting for any of it."""
        mechanisms = self._by_name.values()
        found = {gpu: [why for each in mechanisms if (why := each.trouble(gpu))] for gpu in gpus}
        return {gpu: "; ".join(whys) for gpu, whys in found.items() if whys}

    def unready(self, gpus: Iterable[GpuId]) -> dict[GpuId, dict[MechanismName, str]]:
        """Which mechanisms take no new share on which GPU now, and why."""
        by_gpu = {
            gpu: {name: why for name, it in self._by_name.items() if (why := it.unready(gpu))}
            for gpu in gpus
        }
        return {gpu: whys for gpu, whys in by_gpu.items() if whys}

    def mend(self) -> tuple[str, ...]:
        """Restart servers that failed and have no clients; called once per interval."""
        return tuple(done for mechanism in self._by_name.values() for done in mechanism.mend())

    def shares(self) -> set[ShareId]:
        """Those that have a place in what all shares of a GPU have in common."""
        return {share for mechanism in self._by_name.values() for share in mechanism.shares()}

    def forget(self, shares: Collection[ShareId]) -> set[ShareId]:
        """Free the places of shares that no longer exist, where none of their processes lives."""
        mechanisms = self._by_name.values()
        return {share for mechanism in mechanisms for share in mechanism.forget(shares)}

    def _confine(self, share: Share, peer_gpus: Collection[GpuId]) -> bool:
        """Whether the Linux kernel denies the share all other GPUs from now on."""
        if self._devices is None or self._devices.reason():
            return False
        own = share.decision.gpus if share.decision else ()
        self._devices.confine(share.id, {*own, *peer_gpus})
        return True

    def _mechanisms(self, share: Share) -> list[Mechanism]:
        names = share.decision.mechanisms if share.decision else ()
        return [self._named(name) for name in names]

    def _named(self, name: MechanismName) -> Mechanism:
        if name in self._by_name:
            return self._by_name[name]
        raise UnsupportedError(f"no mechanism {name} here", "this gpushare does not have it")


def _failure(act: Callable[[], None]) -> str:
    """What it raises, of whatever type; "" if it ends well."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 (reported)
        return str(error) or type(error).__name__
    return ""


def _in_use(share: ShareId, pids: Collection[int]) -> CgroupError:
    listed = f"processes {', '.join(map(str, pids))} are in it"
    return CgroupError(
        f"the control group of share {share} is still in use",
        listed if pids else "a process in it has not ended completely",
        "end them; the share is released then",
    )


@contextmanager
def _explained(share: Share) -> Iterator[None]:
    """A missing or read-only folder is an error of one share; the daemon tries again."""
    try:
        yield
    except OSError as error:
        raise HardwareError(
            f"the files of share {share.id} cannot be changed",
            str(error),
            "check that the runtime directory is writable: gpushare config show",
        ) from error
