# SPDX-License-Identifier: Apache-2.0
"""What tenants have used, charged as the daemon charges it, in virtual time."""

from collections import defaultdict
from collections.abc import Iterable

from gpushare.daemon.policies.usage import crowd_of, rate, rolled_up
from gpushare.model.gpu import Machine
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Share

_HOUR = 3600


class VirtualUsage:
    """GPU hours count from the beginning: a trace is shorter than a policy's period."""

    def __init__(self, machine: Machine, policy: Policy) -> None:
        self._usable = {gpu.uuid: gpu.usable for gpu in machine.gpus}
        self._policy = policy
        self._decayed: defaultdict[Tenant, float] = defaultdict(float)
        self._seconds: defaultdict[Tenant, float] = defaultdict(float)

    def charge(self, shares: Iterable[Share], seconds: float) -> None:
        """For so long what these shares hold."""
        fading = 0.5 ** (seconds / self._policy.half_life)
        for tenant in self._decayed:
            self._decayed[tenant] *= fading
        present = [share for share in shares if share.suspension is None]
        crowd = crowd_of(present)
        for share in present:
            charged = seconds * rate(share, self._usable, crowd)
            self._decayed[share.tenant] += charged
            self._seconds[share.tenant] += charged

    def decayed(self) -> dict[Tenant, float]:
        return rolled_up(self._policy, self._decayed)

    def hours(self) -> dict[Tenant, float]:
        used = rolled_up(self._policy, self._seconds)
        return {tenant: seconds / _HOUR for tenant, seconds in used.items()}
