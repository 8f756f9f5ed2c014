# SPDX-License-Identifier: Apache-2.0
"""`gpushare version`: of client, daemon and driver."""

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
    found = Versions(client=__version__, daemon=_daemon())
    output.item(found, found.client, lambda: _words(found))


def _daemon() -> VersionView | None:
    try:
        return client().version()
    except DaemonError:
        return None


def _words(found: Versions) -> str:
    if found.daemon is None:
        return f"client  {found.client}\ndaemon  none answers"
    lines = (
        f"client  {found.client}",
        f"daemon  {found.daemon.version}, pid {found.daemon.pid}",
        f"driver  {found.daemon.driver or 'none'}",
    )
    return "\n".join(lines)
