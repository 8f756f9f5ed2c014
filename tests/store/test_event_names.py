# SPDX-License-Identifier: Apache-2.0
"""What an older gpushare stored is read under the names of today."""

from datetime import UTC, datetime

import msgspec
import pytest

from gpushare.model.event import Event
from gpushare.model.event_types import EVENT_TYPES
from gpushare.model.ids import ShareId
from gpushare.store import Store
from support.older_state import older_state

TEXT = 'a "type":"share.quiet" text'
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def older(tmp_path):
    """Fills the state as a gpushare before the renaming did, and opens it with this one."""

    def fill(*types: str):
        events = [
            Event(seq=seq, at=NOW, type=name, message=TEXT, share=ShareId("a"))
            for seq, name in enumerate(types, 1)
        ]
        bodies = [(msgspec.json.encode(event),) for event in events]
        with older_state(tmp_path, 6) as database:
            database.executemany("INSERT INTO events (body) VALUES (?)", bodies)
        return Store(tmp_path)

    return fill


def test_stored_events_get_the_new_names(older):
    renamed = [row for row in EVENT_TYPES.values() if row.former]
    store = older(*(row.former for row in renamed))
    assert [event.type for event in store.events.since(0)] == [row.type for row in renamed]
    store.close()


def test_everything_else_of_a_stored_event_stays(older):
    store = older("share.granted", "share.quiet")
    first, second = store.events.since(0)
    assert (first.type, second.type) == ("share.granted", "share.idle")
    assert {event.message for event in (first, second)} == {TEXT}
    assert {event.share for event in (first, second)} == {"a"}
    store.close()
