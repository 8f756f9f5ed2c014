# SPDX-License-Identifier: Apache-2.0
"""Names that cannot be one segment of a path mean nothing that exists."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gpushare.client.client import Client
from gpushare.model.errors import (
    NoSuchGpuError,
    NoSuchShareError,
    NoSuchTenantError,
    NoSuchTokenError,
    NotFoundError,
)
from gpushare.model.policy.tenant import TenantSpec
from support.daemon import Daemon

CALLS: dict[type[NotFoundError], list[Callable[[Client, str], object]]] = {
    NoSuchGpuError: [
        lambda client, name: client.operations.cordon(name),
        lambda client, name: client.operations.uncordon(name),
    ],
    NoSuchTenantError: [lambda client, name: client.rules.put_tenant(name, TenantSpec())],
    NoSuchTokenError: [lambda client, name: client.tokens.revoke(name)],
    NoSuchShareError: [
        lambda client, name: client.show(name),
        lambda client, name: client.suspend(name),
        lambda client, name: client.remove(name),
    ],
}


@pytest.mark.parametrize("name", ["", "0/../x/y", "a/b/c", ".."])
def test_a_strange_name_means_nothing(tmp_path: Path, name: str) -> None:
    client = Client(tmp_path / "no.sock")
    for error, calls in CALLS.items():
        for call in calls:
            with pytest.raises(error):
                call(client, name)


@pytest.mark.parametrize("act", ["cordon", "uncordon", "drain"])
@pytest.mark.parametrize("target", ["", "0/../x", "0/", "/"])
def test_commands_say_that_there_is_no_such_gpu(daemon: Daemon, act: str, target: str) -> None:
    done = daemon.gpushare(act, target)

    assert done.returncode == 4
    assert "GS1202" in done.stderr
    assert f"no GPU {target!r}" in done.stderr
    assert "/v1" not in done.stderr
