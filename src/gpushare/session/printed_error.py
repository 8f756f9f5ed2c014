# SPDX-License-Identifier: Apache-2.0
"""Errors as the command line prints them, read back from the output of another gpushare."""

import re

from gpushare.model.errors import ErrorBody, GpushareError, from_body

_ERROR = re.compile(
    r"^error: (?P<what>.*)\n(because: (?P<because>.*)\n)?(hint: (?P<hint>.*)\n)?code: (?P<code>.*)",
    re.MULTILINE,
)


def error_in(text: str) -> GpushareError | None:
    """The first error in the text; None: it has none."""
    if match := _ERROR.search(text):
        return from_body(ErrorBody(**match.groupdict("")))
    return None
