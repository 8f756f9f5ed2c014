# SPDX-License-Identifier: Apache-2.0
"""Permissions: one row for every call of the API.

A row states the minimum role of the caller and the scope that a token needs. Roles are ordered:
viewer < user < operator < admin. Scopes are `noun:verb` and only apply to tokens: local callers are
identified by the Linux kernel and have none. A token's role is at most that of its creator.

`own` marks calls on something that belongs to a user. This table cannot know the owner; the service
checks it, and allows others from the role operator on. The reference page of the API shows the
mark.

- A call without a row needs the role admin, so a forgotten row is not an open door.
- tests/api/test_permissions.py compares the rows with `routes.ROUTES`.
- `tokens:write` is in no default: a leaked token must not be able to create its successor.
"""

from dataclasses import dataclass

from gpushare.model.access.role import Role
from gpushare.model.errors import RoleError, UnauthenticatedError
from gpushare.model.share import Caller


@dataclass(frozen=True)
class Requirement:
    """What a caller needs. `role` None: nothing, not even authentication.

    `scope`: the scope that a token needs; None: any token will do. `own`: the call is for the
    owner, and for operators.
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
                "remote callers need a token",
                "the request has none",
                "gpushare login HOST, or set GPUSHARE_TOKEN",
            )
        if not caller.role.covers(self.role):
            raise RoleError(
                f"the role {caller.role} does not allow this",
                f"it needs the role {self.role}",
                "gpushare explain GS1305",
            )
        if self.scope and caller.scopes is not None and self.scope not in caller.scopes:
            raise RoleError(
                "the token does not allow this",
                f"it lacks the scope {self.scope}",
                f"gpushare token create --scope {self.scope}",
            )


# Short names keep a row on one line.
_LOOK, _USE = Role.VIEWER, Role.USER

REQUIREMENTS: dict[tuple[str, str], Requirement] = {
    ("GET", "/v1/shares"): Requirement(_LOOK, "shares:read"),
    ("GET", "/v1/shares/{ref}"): Requirement(_LOOK, "shares:read"),
    ("GET", "/v1/shares/{ref}/wait"): Requirement(_LOOK, "shares:read", own=True),
    ("GET", "/v1/shares/{ref}/environment"): Requirement(_USE, "shares:read", own=True),
    ("GET", "/v1/shares/{ref}/decision"): Requirement(_LOOK, "shares:read", own=True),
    ("POST", "/v1/plan"): Requirement(_LOOK, "shares:read"),
    ("POST", "/v1/shares"): Requirement(_USE, "shares:write"),
    ("PATCH", "/v1/shares/{ref}"): Requirement(_USE, "shares:write", own=True),
    ("DELETE", "/v1/shares/{ref}"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/enter"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/verify"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/suspend"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/resume"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/migrate"): Requirement(_USE, "shares:write", own=True),
    ("POST", "/v1/shares/{ref}/program-ended"): Requirement(_USE, "shares:write", own=True),
    ("GET", "/v1/gpus"): Requirement(_LOOK, "gpus:read"),
    ("GET", "/v1/tokens"): Requirement(_LOOK, "tokens:read"),
    ("POST", "/v1/tokens"): Requirement(_LOOK, "tokens:write"),
    ("DELETE", "/v1/tokens/{ref}"): Requirement(_LOOK),  # its own; others need tokens:write
    ("GET", "/v1/policy"): Requirement(Role.OPERATOR, "policy:read"),
    ("GET", "/v1/policies"): Requirement(Role.OPERATOR, "policy:read"),
    ("PUT", "/v1/policy"): Requirement(Role.ADMIN, "policy:write"),
    ("GET", "/v1/tenants"): Requirement(_LOOK, "quotas:read"),
    ("PUT", "/v1/tenants/{ref}"): Requirement(Role.ADMIN, "policy:write"),
    ("DELETE", "/v1/tenants/{ref}"): Requirement(Role.ADMIN, "policy:write"),
    ("GET", "/v1/quotas"): Requirement(_LOOK, "quotas:read"),
    ("GET", "/v1/login"): Requirement(None),
    ("POST", "/v1/login"): Requirement(None),
    ("GET", "/v1/audit"): Requirement(_LOOK, "audit:read", own=True),
    ("GET", "/v1/audit/verify"): Requirement(Role.OPERATOR, "audit:read"),
    ("GET", "/v1/audit/heads"): Requirement(Role.OPERATOR, "audit:read"),
    ("POST", "/v1/audit/heads"): Requirement(Role.OPERATOR, "audit:write"),
    ("GET", "/v1/leftovers"): Requirement(Role.OPERATOR, "leftovers:read"),
    ("POST", "/v1/leftovers/clean"): Requirement(Role.OPERATOR, "leftovers:write"),
    ("POST", "/v1/backup"): Requirement(Role.OPERATOR, "backup:write"),
    ("GET", "/v1/cordons"): Requirement(_LOOK, "gpus:read"),
    ("PUT", "/v1/cordons/{ref}"): Requirement(Role.OPERATOR, "gpus:write"),
    ("DELETE", "/v1/cordons/{ref}"): Requirement(Role.OPERATOR, "gpus:write"),
    ("POST", "/v1/reload"): Requirement(Role.OPERATOR, "daemon:write"),
    ("GET", "/v1/profiles"): Requirement(Role.OPERATOR, "profiles:read"),
    ("GET", "/v1/version"): Requirement(_LOOK),
    ("GET", "/v1/openapi.json"): Requirement(_LOOK),
    ("GET", "/v1/events"): Requirement(_LOOK, "events:read"),
    ("GET", "/v1/metrics"): Requirement(_LOOK, "metrics:read"),
}
_ADMINS_ONLY = Requirement(Role.ADMIN)
WRITE_TOKENS = "tokens:write"


def requirement(method: str, path: str) -> Requirement:
    """The row of a call; admins only if there is none."""
    return REQUIREMENTS.get((method, path), _ADMINS_ONLY)


def scopes(role: Role) -> tuple[str, ...]:
    """All scopes that a role can use."""
    useful = {row.scope for row in REQUIREMENTS.values() if row.role and role.covers(row.role)}
    return tuple(sorted(scope for scope in useful if scope))


def default_scopes(role: Role) -> tuple[str, ...]:
    """The scopes of a token of this role, unless the request names others."""
    return tuple(scope for scope in scopes(role) if scope != WRITE_TOKENS)
