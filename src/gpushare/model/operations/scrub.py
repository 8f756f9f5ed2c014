# SPDX-License-Identifier: Apache-2.0
"""What a scrub of GPU memory found and proved."""

from gpushare.model.units import Bytes, format_bytes
from gpushare.model.value import Value


class ScrubReport(Value):
    """Bytes. `dirty`: were not zero before; `proved`: were read back as zero after the fill.

    `failure`: why there are no figures.
    """

    allocated: Bytes = Bytes(0)
    dirty: Bytes = Bytes(0)
    filled: Bytes = Bytes(0)
    proved: Bytes = Bytes(0)
    failure: str = ""

    def short_of(self, asked: Bytes) -> str:
        """What is not proved of what was asked for; "" if all of it is."""
        if self.failure:
            return self.failure
        if self.proved < asked:
            return f"only {format_bytes(self.proved)} of {format_bytes(asked)} could be proved"
        return ""
