# SPDX-License-Identifier: Apache-2.0
"""`python -m gpushare`: the command line, with the interpreter that gpushare is installed in."""

from gpushare.cli import main

if __name__ == "__main__":
    main()
