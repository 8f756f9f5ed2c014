# SPDX-License-Identifier: Apache-2.0
"""How the report of `gpushare-probe --scrub` is read."""

from typing import Any

import msgspec

from gpushare.model.operations.scrub import ScrubReport

_FIGURES = ("allocated", "dirty", "filled", "proved")


def scrub_report(text: bytes, failure: str) -> ScrubReport:
    """The figures of its one GPU, or why there are none."""
    try:
        report = msgspec.json.decode(text or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        return ScrubReport(failure=failure or f"the report cannot be read: {error}")
    devices = [device for device in report.get("devices", ()) if _FIGURES[0] in device]
    if len(devices) != 1:
        return ScrubReport(failure=failure or report.get("error") or "no context on the GPU")
    figures = {name: devices[0].get(name) for name in _FIGURES}
    return msgspec.convert(figures, ScrubReport)
