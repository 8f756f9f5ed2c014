# SPDX-License-Identifier: Apache-2.0
"""Which tenant a share belongs to, and whether a policy can hold on this machine."""

import grp
import pwd
import re
from collections.abc import Callable, Collection, Iterator

from gpushare.model.errors import NoSuchTenantError, PolicyError, RoleError
from gpushare.model.gpu import Machine
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.spec import LONGEST_TTL
from gpushare.scheduler.order.tenancy import overcommitted

DEFAULT = Tenant("default")  # stands for users in no tenant, so no tenant may have this name
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")


def tenant_of(
    policy: Policy,
    user: str,
    groups: Collection[str],
    requested: Tenant | None,
    *,
    operator: bool = False,
) -> Tenant:
    """The tenant that a share of this user belongs to.

    The requested one, if the user belongs to it or is an operator; else the usual one.
    Raises NoSuchTenantError, RoleError.
    """
    belongs = tenants_of(policy, user, groups)
    if requested is None or requested in belongs:
        return requested or belongs[0]
    if requested not in policy.tenants:
        raise _no_such(requested)
    if not operator:
        raise RoleError(
            f"you do not belong to tenant {requested}",
            "it lists neither you nor a group of yours",
            "see yours: gpushare quota ls",
        )
    return requested


def tenants_of(policy: Policy, user: str, groups: Collection[str]) -> tuple[Tenant, ...]:
    """Every tenant that a user belongs to, the usual one first.

    By name those that list the user or have the user's name, then those that list one of their
    groups. A user in no tenant counts as a tenant.
    """
    named = sorted(policy.tenants.items())
    by_name = [name for name, spec in named if user in {name, *spec.users}]
    by_group = [name for name, spec in named if not set(spec.groups).isdisjoint(groups)]
    return tuple(dict.fromkeys((*by_name, *by_group))) or (Tenant(user),)


def without(policy: Policy, name: Tenant) -> dict[Tenant, TenantSpec]:
    """The tenants but this one; raises NoSuchTenantError, PolicyError while others are below it."""
    if name not in policy.tenants:
        raise _no_such(name)
    below = [child for child, spec in policy.tenants.items() if spec.parent == name]
    if below or policy.default.parent == name:
        raise PolicyError(
            f"tenant {name} has others below it",
            ", ".join(below) or DEFAULT,
            f"gpushare tenant set {(below or [DEFAULT])[0]} --parent none",
        )
    return {other: spec for other, spec in policy.tenants.items() if other != name}


def check(policy: Policy, before: Policy, machine: Machine) -> None:
    """Raises PolicyError where the policy cannot hold on this machine.

    Guarantees that are too large already, because a GPU is gone, do not block other changes.
    """
    for name in policy.tenants:
        if name == DEFAULT or not _NAME.fullmatch(name):
            raise PolicyError(
                f"cannot name a tenant {name!r}",
                "a name has up to 63 letters, digits, dots, dashes and underscores, and [default] "
                "is for users in no tenant",
            )
    if policy.default.users or policy.default.groups:
        raise PolicyError("default lists users", "it is for those that no tenant lists")
    for name, spec in (*policy.tenants.items(), (DEFAULT, policy.default)):
        _check_amounts(name, spec)
    _check_times(policy)
    excess_before = overcommitted(before, machine)
    if wrong := [
        excess for excess in overcommitted(policy, machine) if excess not in excess_before
    ]:
        raise PolicyError("more is guaranteed than there is", "; ".join(wrong), "gpushare gpus")


def warnings(policy: Policy, before: Policy) -> Iterator[str]:
    """What is allowed but looks like a mistake: new users and groups that this machine lacks.

    Looked up one by one, because a name service need not list them all.
    """
    for name, spec in sorted(policy.tenants.items()):
        old = before.tenants.get(name, TenantSpec())
        for user in spec.users:
            if user not in old.users and not _known(pwd.getpwnam, user):
                yield f"tenant {name}: this machine has no user {user}"
        for group in spec.groups:
            if group not in old.groups and not _known(grp.getgrnam, group):
                yield f"tenant {name}: this machine has no group {group}"


def _check_amounts(name: Tenant, spec: TenantSpec) -> None:
    for what in ("memory", "compute"):
        guaranteed, limit = (getattr(amount, what) for amount in (spec.guaranteed, spec.limit))
        if guaranteed is not None and limit is not None and guaranteed > limit:
            raise PolicyError(f"tenant {name} is guaranteed more {what} than it may have")


def _check_times(policy: Policy) -> None:
    """Longer ones reach back before the earliest date."""
    times = {
        "half_life": policy.half_life,
        "period": policy.period,
        "min_runtime": policy.min_runtime,
        "patience": policy.patience,
        "idle.after": policy.idle.after or 0,
        "sizing.watch": policy.sizing.watch,
    }
    for name, seconds in times.items():
        if seconds > LONGEST_TTL:
            raise PolicyError(f"{name} is longer than ten years")


def _known(look: Callable[[str], object], name: str) -> bool:
    try:
        look(name)
    except (KeyError, ValueError):
        return False
    return True


def _no_such(name: Tenant) -> NoSuchTenantError:
    return NoSuchTenantError(f"no tenant {name!r}", "no policy names it", "gpushare tenant ls")
