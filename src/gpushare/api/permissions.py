# SPDX-License-Identifier: Apache-2.0
"""Who may call what: one row for every call there is."""

from dataclasses import dataclass

from gpushare.model.access.role import Role
from gpushare.model.errors import RoleError, UnauthenticatedError
from gpushare.model.share import Caller


@dataclass(frozen=True)
class Need:
    """What a caller must have. `role` None: nothing, not even a name.

    `scope`: what a token must be good for; None: any token is. `own`: it is about what is one's
    own, and about others' for operators only.
    """

    role: Role | None
    scope: str | None = None
    own: bool = False

    def check(self, caller: Caller | None) -> None:
        """Raises UnauthenticatedError, RoleError."""
        if self.role is None:
            return
        if caller is None:
            raise UnauthenticatedError(
                "a remote caller needs a token",
                "none came with the request",
                "gpushare login HOST, or set GPUSHARE_TOKEN",
            )
        if not caller.role.covers(self.role):
            raise RoleError(
                f"a {caller.role} may not do this",
                f"it takes the role {self.role}",
                "gpushare explain GS1305",
            )
        if self.scope and caller.scopes is not None and self.scope not in caller.scopes:
            raise RoleError(
                "this token may not do this",
                f"it lacks the scope {self.scope}",
                f"gpushare token create --scope {self.scope}",
            )


_LOOK, _USE = Role.VIEWER, Role.USER

NEEDS: dict[tuple[str, str], Need] = {
    ("GET", "/v1/shares"): Need(_LOOK, "shares:read"),
    ("GET", "/v1/shares/{ref}"): Need(_LOOK, "shares:read"),
    ("GET", "/v1/shares/{ref}/wait"): Need(_LOOK, "shares:read", own=True),
    ("GET", "/v1/shares/{ref}/decision"): Need(_LOOK, "shares:read", own=True),
    ("POST", "/v1/plan"): Need(_LOOK, "shares:read"),
    ("POST", "/v1/shares"): Need(_USE, "shares:write"),
    ("PATCH", "/v1/shares/{ref}"): Need(_USE, "shares:write", own=True),
    ("DELETE", "/v1/shares/{ref}"): Need(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/enter"): Need(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/verify"): Need(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/suspend"): Need(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/resume"): Need(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/migrate"): Need(_USE, "shares:write", own=True),
    ("GET", "/v1/gpus"): Need(_LOOK, "gpus:read"),
    ("GET", "/v1/tokens"): Need(_LOOK, "tokens:read"),
    ("POST", "/v1/tokens"): Need(_LOOK, "tokens:write"),
    ("DELETE", "/v1/tokens/{ref}"): Need(_LOOK),  # itself; more takes tokens:write
    ("GET", "/v1/policy"): Need(Role.OPERATOR, "policy:read"),
    ("GET", "/v1/policies"): Need(Role.OPERATOR, "policy:read"),
    ("PUT", "/v1/policy"): Need(Role.ADMIN, "policy:write"),
    ("GET", "/v1/tenants"): Need(_LOOK, "quotas:read"),
    ("PUT", "/v1/tenants/{ref}"): Need(Role.ADMIN, "policy:write"),
    ("DELETE", "/v1/tenants/{ref}"): Need(Role.ADMIN, "policy:write"),
    ("GET", "/v1/quotas"): Need(_LOOK, "quotas:read"),
    ("GET", "/v1/login"): Need(None),
    ("POST", "/v1/login"): Need(None),
    ("GET", "/v1/audit"): Need(_LOOK, "audit:read", own=True),
    ("GET", "/v1/audit/verify"): Need(Role.OPERATOR, "audit:read"),
    ("GET", "/v1/audit/heads"): Need(Role.OPERATOR, "audit:read"),
    ("POST", "/v1/audit/heads"): Need(Role.OPERATOR, "audit:write"),
    ("GET", "/v1/leftovers"): Need(Role.OPERATOR, "leftovers:read"),
    ("POST", "/v1/leftovers/clean"): Need(Role.OPERATOR, "leftovers:write"),
    ("GET", "/v1/profiles"): Need(Role.OPERATOR, "profiles:read"),
    ("GET", "/v1/version"): Need(_LOOK),
    ("GET", "/v1/openapi.json"): Need(_LOOK),
    ("GET", "/v1/events"): Need(_LOOK, "events:read"),
    ("GET", "/v1/metrics"): Need(_LOOK, "metrics:read"),
}
_UNKNOWN = Need(Role.ADMIN)
WRITE_TOKENS = "tokens:write"  # by nobody's default: one that leaks must not outlive its end


def need(method: str, path: str) -> Need:
    """A call without a row is for admins alone."""
    return NEEDS.get((method, path), _UNKNOWN)


def scopes(role: Role) -> tuple[str, ...]:
    """All that a role can make use of."""
    found = {row.scope for row in NEEDS.values() if row.role and role.covers(row.role)}
    return tuple(sorted(scope for scope in found if scope))


def default_scopes(role: Role) -> tuple[str, ...]:
    """What a token of the role is good for unless more or less is asked."""
    return tuple(scope for scope in scopes(role) if scope != WRITE_TOKENS)
