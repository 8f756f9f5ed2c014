# SPDX-License-Identifier: Apache-2.0
"""Every call of `/v1` in one table, from which endpoints and the OpenAPI document are made."""

from . import audit, leftovers, machine, operations, shares, tenants, tokens

ROUTES = (
    *shares.ROUTES,
    *machine.ROUTES,
    *tenants.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *leftovers.ROUTES,
    *operations.ROUTES,
)
