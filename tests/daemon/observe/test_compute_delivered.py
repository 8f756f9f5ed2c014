# SPDX-License-Identifier: Apache-2.0
"""Compute delivered, from the counters of share slots."""

import pytest

from gpushare.daemon.observe.compute_delivered import ComputeDelivered
from gpushare.guard import SharePolicy, ShareSlot
from support.world.session import ME, live

SECOND = 1_000_000_000


def slot(**counters: int) -> dict[str, ShareSlot]:
    return {"GPU-0": ShareSlot(number=0, policy=SharePolicy(share="s"), **counters)}


def after(*samples: tuple[float, dict[str, ShareSlot]]) -> int | None:
    found = ComputeDelivered()
    for at, share_slots in samples:
        found.add("s", at, share_slots)
    return found.percent("s")


def test_under_turns_it_is_the_open_part_of_what_was_wanted() -> None:
    counters = {"wanted_ns": 4 * SECOND, "open_ns": SECOND - 20, "overrun_ns": 20}
    assert after((0, slot()), (4, slot(**counters))) == 25


def test_else_it_is_the_busy_part_of_the_time() -> None:
    assert after((0, slot()), (4, slot(busy_ns=3 * SECOND))) == 75


@pytest.mark.parametrize(
    "samples",
    [
        (),
        ((0, slot()),),
        ((0, slot()), (0.1, slot(busy_ns=SECOND))),
        ((0, slot()), (4, slot())),
        ((0, {}), (4, {})),
    ],
    ids=["nothing", "one look", "too soon", "no work", "no share slot"],
)
def test_what_was_not_measured_is_not_zero(samples) -> None:
    assert after(*samples) is None


def test_only_the_last_seconds_count() -> None:
    looks = [(float(at), slot(busy_ns=min(at, 10) * SECOND)) for at in range(0, 21, 5)]
    assert after(*looks) is None
    assert after(*looks[:3]) == 100


def test_counters_that_a_tenant_wrote_stay_within_bounds() -> None:
    assert after((0, slot()), (4, slot(busy_ns=99 * SECOND))) == 100
    assert after((0, slot(wanted_ns=9)), (4, slot(wanted_ns=1))) is None


def test_a_share_that_is_gone_is_forgotten() -> None:
    found = ComputeDelivered()
    found.add("s", 0, slot())
    found.add("s", 4, slot(busy_ns=SECOND))
    found.keep(())
    assert found.percent("s") is None


def test_it_is_shown_with_the_counters_behind_it(world, state):
    async def story(daemon):
        world.share_slots = slot()
        share, _ = await daemon.run(8, compute=25)
        await daemon.tick(5)
        world.share_slots = slot(
            wanted_ns=4 * SECOND, open_ns=SECOND, waits=3, longest_ns=SECOND // 100
        )
        await daemon.tick(5)
        shown = await daemon.show(share.id)
        assert (shown.compute.limit, shown.compute.delivered) == (25, 25)
        assert (shown.scheduling.waits, shown.scheduling.throttled) == (3, 3.0)
        assert shown.scheduling.longest_launch == 0.01
        text = (await daemon.service.metrics(ME)).decode()
        labels = f'{{name="train",share="{share.id}"'
        assert f"gpushare_share_compute_delivered_ratio{labels}" in text
        assert f"gpushare_share_gate_throttled_seconds_total{labels}" in text

    live(world, state, story)
