# SPDX-License-Identifier: Apache-2.0
"""`gpushare quota`: quotas of tenants and their use."""

import click
from msgspec.structs import replace

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.policy import changed, quota_table
from gpushare.cli._options import output_option, watch_option
from gpushare.cli._reconnect import retrying
from gpushare.model.errors import UsageError
from gpushare.model.policy.tenant import Amount, TenantSpec

from ._options import Quota, quota_options, tenant_argument


@click.group()
def quota() -> None:
    """Show and change the quotas of tenants."""


@quota.command()
@watch_option
@output_option
def ls(*, watch: bool, output: Output) -> None:
    """Show guarantees, limits and use of tenants, each below its parent.

    The use of a tenant includes that of its children. GPU HOURS counts the policy's period. USAGE
    is GPU hours that lose half of their weight per half-life; less usage goes first in the queue.
    Non-operators see only their own tenants and the parents of these.

    \b
    gpushare quota ls
    gpushare quota ls -w
    gpushare quota ls -o json | jq '.items[] | {tenant, used, limit}'
    """

    def show() -> None:
        quotas = client().rules.quotas()
        output.items(quotas, quota_table(quotas))

    output.watch(show, again=watch, retry=retrying())


@quota.command(name="set")
@tenant_argument
@quota_options
@output_option
def set_(tenant: str, *, quota: Quota, output: Output) -> None:
    """Change the quota of TENANT. Omitted options change nothing; `none` removes a value.

    The tenant `default` applies to each user in no tenant.

    \b
    gpushare quota set vision --memory 120GiB --max-shares 10
    gpushare quota set vision --guaranteed-memory 40GiB --guaranteed-compute 100
    gpushare quota set default --memory 20GiB --gpu-hours 100
    """
    if not quota:
        raise UsageError("nothing to change", hint=f"gpushare quota set {tenant} --memory 40GiB")
    changed(client().rules.change_tenant(tenant, quota), output, tenant)


@quota.command()
@tenant_argument
@output_option
def rm(tenant: str, *, output: Output) -> None:
    """Remove every limit and guarantee of TENANT. The tenant itself stays.

    \b
    gpushare quota rm vision
    """
    changed(client().rules.change_tenant(tenant, _free), output, tenant)


def _free(spec: TenantSpec) -> TenantSpec:
    return replace(spec, guaranteed=Amount(), limit=Amount(), gpu_hours=None, shares=None)
