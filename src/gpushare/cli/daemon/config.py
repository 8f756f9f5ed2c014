# SPDX-License-Identifier: Apache-2.0
"""`gpushare config`: settings, their origins, and the files they come from."""

from pathlib import Path

import click

from gpushare.cli._connect import config as loaded
from gpushare.cli._format.output import Column, Output, Table
from gpushare.cli._options import output_option
from gpushare.model.value import Value


class Setting(Value):
    """One key and the value in effect."""

    key: str
    value: str
    origin: str


class ConfigFile(Value):
    """A file that is read if it exists; later files take precedence."""

    path: str
    exists: bool


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Show the origin of each value.")
@output_option
def show(*, origin: bool, output: Output) -> None:
    """Print every setting with the value in effect.

    \b
    gpushare config show --origin
    gpushare config show -o json
    """
    configuration = loaded()
    settings = [
        Setting(key=key, value=str(getattr(configuration.settings, key)), origin=where)
        for key, where in configuration.origins.items()
    ]
    output.items(settings, _settings(origin=origin))


@config.command()
def validate() -> None:
    """Check all configuration files and variables. Exit code 2 if one is invalid."""
    configuration = loaded()
    for warning in configuration.warnings:
        click.echo(f"gpushare: warning: {warning}", err=True)
    count = len(configuration.files)
    click.echo(f"gpushare: {count} files and the environment are valid", err=True)


@config.command()
@output_option
def path(*, output: Output) -> None:
    """Print the configuration files in order; later files take precedence."""
    from gpushare.config.sources import paths  # noqa: PLC0415 (start-up time)

    files = [ConfigFile(path=str(each), exists=Path(each).exists()) for each in paths()]
    output.items(files, _files())


def _settings(*, origin: bool) -> Table[Setting]:
    return Table(
        lambda setting: setting.key,
        Column("KEY", lambda setting: setting.key),
        Column("VALUE", lambda setting: setting.value, least=20),
        Column("ORIGIN", lambda setting: setting.origin, wide=not origin, least=16),
    )


def _files() -> Table[ConfigFile]:
    return Table(
        lambda file: file.path,
        Column("FILE", lambda file: file.path, least=20),
        Column("EXISTS", lambda file: "yes" if file.exists else "no"),
    )
