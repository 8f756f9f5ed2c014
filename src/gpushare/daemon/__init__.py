# SPDX-License-Identifier: Apache-2.0
"""The daemon: keeps shares, acts on the machine, and serves the API."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpushare.config.settings import Settings
from gpushare.model.operations.lifetime import UntilIdle
from gpushare.model.units import Bytes
from gpushare.model.view import GpuView

if TYPE_CHECKING:
    from gpushare.config.sources import Config

__all__ = ["look", "prepare", "serve"]


def serve(
    settings: Settings,
    reread: Callable[[], "Config"] | None = None,
    *,
    accept_loss: bool = False,
    until_idle: UntilIdle | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; shares and their programs continue without it.

    `reread`: reads the configuration again; None: it has no files. `accept_loss`: start although
    the state file has lost changes or rows. `until_idle`: end when idle too, as a daemon that a
    command has started.

    Raises ModuleNotFoundError where the extra `daemon` is not installed.
    """
    from .app import serve as run  # noqa: PLC0415 (needs the extra)

    run(settings, reread=reread, accept_loss=accept_loss, until_idle=until_idle)


def prepare(settings: Settings) -> None:
    """Do what needs rights that a daemon in a sandbox of systemd does not have.

    Loads the driver, and mounts the memory for suspended shares where all programs see it. Raises
    DeniedError, DriverMismatchError.
    """
    from gpushare.daemon.host_wiring import prepare as run  # noqa: PLC0415 (start-up time)

    run(settings)


def look(runtime_dir: Path) -> tuple[GpuView, ...]:
    """The GPUs as the driver reports them, without a daemon; raises HardwareError."""
    from gpushare.daemon.present.views import gpu_view  # noqa: PLC0415 (start-up time)
    from gpushare.hardware.host import Host  # noqa: PLC0415 (start-up time)
    from gpushare.mechanisms import load  # noqa: PLC0415 (start-up time)

    host = Host.open(runtime_dir)
    mechanisms = load(host, runtime_dir, context=lambda _: Bytes(0))
    machine = host.machine(capabilities=mechanisms.capabilities)
    return tuple(gpu_view(gpu, machine, ()) for gpu in machine.gpus)
