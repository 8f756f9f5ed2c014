# SPDX-License-Identifier: Apache-2.0
"""Requests of several users begin in turn; lists that did not change are not sent again."""

import asyncio

from gpushare.api.turns import Turns


def test_many_requests_of_one_user_delay_another_by_one():
    async def story():
        turns, begun = Turns(), []

        async def request(user: str) -> None:
            await turns.take(user)
            begun.append(user)

        busy = [asyncio.create_task(request("busy")) for _ in range(50)]
        other = asyncio.create_task(request("other"))
        await asyncio.gather(*busy, other)
        assert begun.index("other") <= 2
        assert len(begun) == 51

    asyncio.run(story())


def test_a_request_whose_client_has_gone_holds_no_turn():
    async def story():
        turns = Turns()
        await turns.take("first")
        gone = asyncio.create_task(turns.take("gone"))
        waits = asyncio.create_task(turns.take("waits"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(waits, 10)

    asyncio.run(story())


def test_a_list_that_the_caller_has_is_not_sent_again(api):
    first = api.call("GET", "/v1/shares")
    tag = first.headers.get("ETag") or first.headers["etag"]
    again = api.call("GET", "/v1/shares", None, **{"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    api.call("POST", "/v1/shares", {"spec": {"memory": {"limit": 8 << 30}}})
    changed = api.call("GET", "/v1/shares", None, **{"If-None-Match": tag})
    assert changed.status == 200
    assert len(changed.json["items"]) == 1
