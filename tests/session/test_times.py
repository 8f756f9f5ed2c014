# SPDX-License-Identifier: Apache-2.0
"""Times as users write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gpushare.model.errors import BadQuantityError
from gpushare.session.times import parse_time

BERLIN = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 24, 15, 30, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("16:00", datetime(2026, 11, 24, 16, tzinfo=BERLIN)),
        ("14:00", datetime(2026, 11, 25, 14, tzinfo=BERLIN)),
        (" +90m ", datetime(2026, 11, 24, 17, tzinfo=BERLIN)),
        ("2026-12-01T08:00", datetime(2026, 12, 1, 8, tzinfo=BERLIN)),
        ("2026-12-01 08:00Z", datetime(2026, 12, 1, 8, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=BERLIN)),
    ],
)
def test_a_time_is_read(text, found) -> None:
    assert parse_time(text, NOW) == found


@pytest.mark.parametrize("text", ["", "soon", "+", "+0h", "25:00", "2026-13-01", "+99999999999d"])
def test_what_is_no_time_is_refused_with_examples(text) -> None:
    with pytest.raises(BadQuantityError) as caught:
        parse_time(text, NOW)
    assert "14:00" in caught.value.hint
