# SPDX-License-Identifier: Apache-2.0
"""How long a time slice and a change of contexts last, as the machine's description has it."""

import pytest

from gpushare.model.errors import ConfigError
from support.machine import Machine, simulated


def described(machine: Machine) -> dict[str, str]:
    done = machine.run("sh", "-c", 'gpushare-sim-machine show "$GPUSHARE_SIM_MACHINE"')
    lines = (line.partition("=") for line in done.stdout.splitlines() if "=" in line)
    return {key: value for key, _, value in lines}


def test_a_machine_has_the_slices_of_the_driver(machine: Machine) -> None:
    keys = described(machine)
    assert keys["gpu.0.slice"] == "2048"
    assert keys["gpu.0.change"] == "165"


def test_the_environment_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUSHARE_SIM_SLICE_US", "500")
    monkeypatch.setenv("GPUSHARE_SIM_CHANGE_US", "0")
    with simulated("a10-2") as machine:
        keys = described(machine)
    assert [keys[f"gpu.{i}.slice"] for i in range(2)] == ["500", "500"]
    assert keys["gpu.1.change"] == "0"


@pytest.mark.parametrize("length", ["", "long", "0", "-1", "1.5", "5 ms", "9" * 10, "9" * 5000])
def test_lengths_that_are_none_are_refused(length: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUSHARE_SIM_SLICE_US", length)
    with pytest.raises(ConfigError, match="GPUSHARE_SIM_SLICE_US") as refused, simulated("h200-1"):
        pass
    assert "GPUSHARE_SIM_SLICE_US=500" in refused.value.hint
