# SPDX-License-Identifier: Apache-2.0
"""A machine to test on: a simulated one by profile, or the real one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NATIVE = Path(os.environ.get("GPUSHARE_NATIVE", ROOT / "native" / "build"))
_PER_MACHINE = ("GPUSHARE_", "CUDA_", "LD_PRELOAD", "LD_LIBRARY_PATH", "NVIDIA_")


# No test leaves a daemon behind that a command has started; those about it start with AUTO_START.
NO_AUTO_START = {"GPUSHARE_AUTO_START": "false"}
AUTO_START = {"GPUSHARE_AUTO_START": "true"}


def clean_environment() -> dict[str, str]:
    """The environment less everything that would reach a gpushare or a CUDA of the developer."""
    keep = {"GPUSHARE_NATIVE"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in keep or not name.startswith(_PER_MACHINE)
    }
    return kept | NO_AUTO_START


@dataclass(frozen=True)
class Machine:
    """`environment` puts a program on this machine; `image` is None on a real one."""

    profile: str
    environment: Mapping[str, str]
    image: Path | None = None

    def run(
        self, *command: str | Path, env: Mapping[str, str] = {}, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine to its end, output captured."""
        return subprocess.run(
            [str(part) for part in command],
            env={**self.environment, **env},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def python(
        self, source: str, *args: str, env: Mapping[str, str] = {}, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run Python source on this machine."""
        return self.run(sys.executable, "-c", source, *args, env=env, timeout=timeout)

    def start(
        self, *command: str | Path, env: Mapping[str, str] = {}, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a command on this machine; the caller ends it."""
        return subprocess.Popen(
            [str(part) for part in command],
            env={**self.environment, **env},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fault(self, *words: str) -> None:
        """Inject or heal a fault, as `gpushare-sim-machine fault` words it: `gpu=0 xid=31`."""
        assert self.image is not None, "a real machine takes no faults"
        tool = NATIVE / "simgpu" / "gpushare-sim-machine"
        subprocess.run([tool, "fault", self.image, *words], check=True, timeout=120)


@contextmanager
def simulated(profile: str) -> Iterator[Machine]:
    """A fresh simulated machine; its image goes when the block is left."""
    from gpushare.hardware.simulated import machine  # noqa: PLC0415 (tests of pure rooms need no simulator)

    with machine(profile) as made:
        yield Machine(profile, made.environment(clean_environment()), made.image)


def real() -> Machine:
    """The machine the tests run on."""
    return Machine("real", clean_environment())
