# SPDX-License-Identifier: Apache-2.0
"""`gpushare version`: versions of client, daemon and driver."""

import click

from gpushare import __version__
from gpushare.cli._format.output import Output
from gpushare.model.errors import DaemonError
from gpushare.model.value import Value
from gpushare.model.view import VersionView

from ._connect import client
from ._options import output_option


class Versions(Value):
    """`daemon` is None when none answers."""

    client: str
    daemon: VersionView | None = None


@click.command()
@output_option
def version(output: Output) -> None:
    """Print the versions of client, daemon and driver.

    \b
    gpushare version
    gpushare version -o json
    """
    versions = Versions(client=__version__, daemon=_daemon())
    output.item(versions, versions.client, lambda: _format_versions(versions))


def _daemon() -> VersionView | None:
    try:
        return client().version()
    except DaemonError:
        return None


def _format_versions(versions: Versions) -> str:
    if versions.daemon is None:
        return f"client  {versions.client}\ndaemon  none answers"
    lines = (
        f"client  {versions.client}",
        f"daemon  {versions.daemon.version}, pid {versions.daemon.pid}",
        f"driver  {versions.daemon.driver or 'none'}",
    )
    return "\n".join(lines)
