# SPDX-License-Identifier: Apache-2.0
"""Builds the parts of one daemon. This room is the only place that does.

Each property makes one part and gives it the parts it uses; a part is made when it is first needed,
and once. So what a part depends on is what its property names, and no part reaches through another.
"""

from .services import Parts

__all__ = ["Parts"]
