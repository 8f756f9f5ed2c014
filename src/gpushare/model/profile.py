# SPDX-License-Identifier: Apache-2.0
"""What past runs say about programs and their neighbours."""

from .value import Value


class Profile(Value):
    """How much work a program has done beside another; `beside` "" is alone.

    `work` is in launches, so it compares a program with itself only; `seconds` is how long both
    wanted the GPU.
    """

    program: str
    beside: str
    seconds: float
    work: float
