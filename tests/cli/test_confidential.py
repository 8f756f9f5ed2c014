# SPDX-License-Identifier: Apache-2.0
"""Confidential computing as NVML reports it, and what gpushare then does not offer."""

import pytest

from support.daemon import Daemon

confidential = pytest.mark.parametrize("machine", ["h200-cc"], indirect=True)


def test_without_it_the_state_is_off(shared_daemon: Daemon) -> None:
    assert [gpu["confidential"] for gpu in shared_daemon.json("gpus")["items"]] == ["off"]


@confidential
def test_the_state_is_shown_and_mps_is_not_offered(daemon: Daemon) -> None:
    (gpu,) = daemon.json("gpus")["items"]
    assert gpu["confidential"] == "on"
    assert "CONFIDENTIAL" in daemon.gpushare("gpus", "-o", "wide").stdout
    (mps,) = (it for it in gpu["mechanisms"] if it["mechanism"] == "mps")
    assert (mps["available"], "confidential computing" in mps["reason"]) == (False, True)


@confidential
def test_shares_are_made_without_mps_and_mps_is_refused(daemon: Daemon) -> None:
    refused = daemon.gpushare("create", "-m", "1GiB", "--mechanism", "mps")
    assert refused.returncode != 0
    assert "confidential computing is on" in refused.stderr

    assert daemon.gpushare("create", "-m", "1GiB", "--name", "taken").returncode == 0
    share = daemon.share("taken")
    assert share is not None
    assert "mps" not in share["mechanism"]
