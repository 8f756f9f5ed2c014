# SPDX-License-Identifier: Apache-2.0
"""The version of gpushare, which packaging reads too, and the name of its distribution."""

__version__ = "0.1.0"
DISTRIBUTION = "gpushare-suite"  # not `gpushare`: on PyPI that is another project


def install_again(package: str) -> str:
    """The hint where a package that the distribution requires is missing."""
    return f"install {DISTRIBUTION} again: it requires {package}"
