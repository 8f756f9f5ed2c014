# SPDX-License-Identifier: Apache-2.0
"""`gpushare tenant`: users, groups and projects with quotas."""

from collections.abc import Sequence

import click
from msgspec.structs import replace

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.policy import changed, tenant_details, tenant_table
from gpushare.cli._options import output_option
from gpushare.cli._strict import Number
from gpushare.model.errors import UsageError
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import TenantSpec

from ._options import Quota, cleared, names, quota_options, tenant_argument


@click.group()
def tenant() -> None:
    """Manage tenants: users, groups and projects with quotas."""


@tenant.command()
@output_option
def ls(*, output: Output) -> None:
    """List tenants, each below its parent. Non-operators see only their own.

    \b
    gpushare tenant ls
    gpushare tenant ls -o json
    """
    tenants = client().rules.tenants()
    output.items(tenants, tenant_table(tenants))


@tenant.command()
@tenant_argument
@output_option
def show(tenant: str, *, output: Output) -> None:
    """Show the settings of TENANT. The tenant `default` applies to each user in no tenant.

    \b
    gpushare tenant show vision
    """
    view = client().rules.tenant(tenant)
    output.item(view, view.name, lambda: tenant_details(view))


@tenant.command(name="set")
@tenant_argument
@click.option("--parent", metavar="TENANT", help="Parent tenant; none: no parent.")
@click.option(
    "--user",
    "users",
    metavar="NAME",
    multiple=True,
    help="User of the tenant; replaces the list. Can be repeated.",
)
@click.option(
    "--group",
    "groups",
    metavar="NAME",
    multiple=True,
    help="Group of the tenant; replaces the list. Can be repeated.",
)
@click.option("--weight", type=Number(1, 1000), help="Weight among its siblings.")
@quota_options
@output_option
def set_(
    tenant: str,
    parent: str | None,
    users: Sequence[str],
    groups: Sequence[str],
    weight: int | None,
    *,
    quota: Quota,
    output: Output,
) -> None:
    """Create or change TENANT. Omitted options change nothing; `none` removes a value.

    The tenant `default` applies to each user in no tenant.

    \b
    gpushare tenant set vision --parent lab --group vision --weight 2
    gpushare tenant set vision --guaranteed-memory 40GiB --max-shares 10
    gpushare tenant set vision --user none
    """

    def change(spec: TenantSpec) -> TenantSpec:
        above = spec.parent if parent is None else cleared(parent)
        return replace(
            quota(spec),
            parent=None if above is None else Tenant(above),
            users=names(users) if users else spec.users,
            groups=names(groups) if groups else spec.groups,
            weight=weight or spec.weight,
        )

    changed(client().rules.change_tenant(tenant, change, new=True), output, tenant)


@tenant.command()
@click.argument("tenants", metavar="TENANT...", nargs=-1)
@output_option
def rm(tenants: Sequence[str], *, output: Output) -> None:
    """Remove TENANTs. Their shares continue, and count as those of a user in no tenant.

    \b
    gpushare tenant rm vision
    """
    if not tenants:
        raise UsageError("no TENANT given", hint="gpushare tenant ls")
    for name in tenants:
        changed(client().rules.remove_tenant(name), output, name)
