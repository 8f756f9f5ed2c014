# SPDX-License-Identifier: Apache-2.0
"""MPS daemons in the protocol that the operator chose."""

import json

import pytest

from support.daemon import Daemon


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
@pytest.mark.parametrize("protocol", ["2", "3"])
def test_a_share_lives_under_either_protocol(machine, short_path, protocol):
    daemon = Daemon(machine, short_path)
    daemon.start("--mps-protocol", protocol)
    record = ("sh", "-c", f"cat {daemon.runtime}/mps/*/daemon")

    done = daemon.gpushare("run", "-m", "4GiB", "-c", "30", "--", *record)

    assert json.loads(done.stdout)["protocol"] == int(protocol), done.stderr
    daemon.until_empty()
    assert daemon.stop() == 0
