# SPDX-License-Identifier: Apache-2.0
"""MPS daemons in the protocol that the operator chose."""

import json

import pytest


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
@pytest.mark.parametrize("protocol", ["2", "3"])
def test_a_share_lives_under_either_protocol(protocol, unstarted):
    unstarted.start("--mps-protocol", protocol)
    record = ("sh", "-c", f"cat {unstarted.runtime}/mps/*/daemon")

    done = unstarted.gpushare("run", "-m", "4GiB", "-c", "30", "--", *record)

    assert json.loads(done.stdout)["protocol"] == int(protocol), done.stderr
    unstarted.until_empty()
    assert unstarted.stop() == 0
