# SPDX-License-Identifier: Apache-2.0
"""A simulated NVIDIA machine for everything above the driver's ABI."""

from .child import run_child, signals_held
from .machine import SimulatedMachine, machine
from .profile import MachineProfile, load_profile, profiles

__all__ = [
    "MachineProfile",
    "SimulatedMachine",
    "load_profile",
    "machine",
    "profiles",
    "run_child",
    "signals_held",
]
