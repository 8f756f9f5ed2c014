# SPDX-License-Identifier: Apache-2.0
"""`python -m gpushare.daemon --socket … --state-dir … --runtime-dir …`: no configuration files."""

import argparse
from pathlib import Path

from gpushare.config.settings import Settings

from . import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gpushare.daemon")
    for name in ("socket", "state-dir", "runtime-dir"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--reconcile-interval", type=float, default=5.0)
    serve(Settings(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
