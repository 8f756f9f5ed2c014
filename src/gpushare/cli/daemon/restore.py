# SPDX-License-Identifier: Apache-2.0
"""`gpushare restore`: replaces the daemon's state by a backup, while no daemon runs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import config
from gpushare.cli._options import output_option
from gpushare.model.errors import DeniedError, GpushareError, NotFoundError

if TYPE_CHECKING:
    from gpushare.cli._format.output import Output
    from gpushare.config.settings import Settings
    from gpushare.model.ids import GpuId
    from gpushare.model.state.backup import RestoreReport
    from gpushare.store.backup import Here, Restore

_COUNTED = ("shares", "policies", "tokens", "events")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check FILE and show what would change.")
@click.option("--other-machine", is_flag=True, help="Accept a backup of another machine.")
@output_option
def restore(file: Path, output: "Output", *, dry_run: bool, other_machine: bool) -> None:
    """Replace the state of the daemon by the backup FILE. Stop the daemon first.

    Everything in FILE is checked before anything changes, and compared with the programs that run.
    The earlier state is kept in a folder next to it. Tokens that were revoked since the backup stay
    revoked. The daemon's next start records the restore in the audit log.

    \b
    gpushare restore --dry-run backup.zip
    gpushare daemon stop && gpushare restore backup.zip && gpushare daemon --detach
    """
    settings = config().settings
    plan = _plan(settings, other_machine=other_machine)
    try:
        report = plan.look(file) if dry_run else plan.run(file)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {error.filename or file}") from error
    except OSError as error:
        raise DeniedError(
            f"cannot restore {file}", f"{error.filename or ''}: {error.strerror}", "run it as root"
        ) from error
    output.item(report, report.aside, lambda: "\n".join(_lines(file, report)))


def _plan(settings: "Settings", *, other_machine: bool) -> "Restore":
    from gpushare.store.backup import Restore  # noqa: PLC0415 (start-up time)

    return Restore(
        folder=settings.state_dir,
        audit=settings.audit_file or settings.state_dir / "audit.jsonl",
        here=_here(settings),
        by=f"uid {_operator()}",
        now=datetime.now(UTC),
        other_machine=other_machine,
        runtime=settings.runtime_dir,
    )


def _here(settings: "Settings") -> "Here":
    from gpushare.config.settings import shown  # noqa: PLC0415 (start-up time)
    from gpushare.hardware.linux.machine_id import machine_digest  # noqa: PLC0415
    from gpushare.hardware.linux.processes import ProcProcesses  # noqa: PLC0415
    from gpushare.mechanisms.guard.living_shares import living_shares  # noqa: PLC0415
    from gpushare.store.backup import Here, Living  # noqa: PLC0415

    living = living_shares(settings.runtime_dir, ProcProcesses())
    return Here(
        machine=machine_digest(),
        operator=_operator(),
        gpus=_gpus(settings.runtime_dir),
        living=[Living(share.share, share.pids) for share in living],
        settings=shown(settings),
    )


def _operator() -> int:
    import os  # noqa: PLC0415 (start-up time)

    return os.geteuid()


def _gpus(runtime: Path) -> "tuple[GpuId, ...]":
    """Those of this machine; none where the driver does not answer."""
    from gpushare.hardware.host import Host  # noqa: PLC0415 (start-up time)

    try:
        return tuple(gpu.uuid for gpu in Host.open(runtime).machine().gpus)
    except GpushareError:
        return ()


def _lines(file: Path, report: "RestoreReport") -> Iterator[str]:
    manifest = report.manifest
    counts = ", ".join(f"{manifest.counts.get(name, 0)} {name}" for name in _COUNTED)
    yield f"backup        {file}"
    yield f"made          {manifest.created:%Y-%m-%d %H:%M:%S}Z on {manifest.host}"
    yield f"version       gpushare {manifest.version}, schema {manifest.schema}"
    yield f"contains      {counts}"
    yield from (f"differs       {difference}" for difference in report.differences)
    if report.dry_run:
        yield "nothing was changed (--dry-run)"
    else:
        yield f"earlier state {report.aside}"
        yield "restored; start the daemon: gpushare daemon --detach"
