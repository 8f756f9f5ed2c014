/* SPDX-License-Identifier: Apache-2.0 */
/* The arbiter on a GPU page: which process has the role, and what it writes. */
#include "fakes.h"
#include "schedule/decide/arbiter.h"
#include "share/lease.h"

/* Two processes with a share of their own; each is attached under a number of its own. */
static struct gs_attachment *processes[2];

static void two_processes(void)
{
    fake_reset();
    gs_arbiter_forget();
    for (int i = 0; i < 2; i++) {
        fake_share(i, GS_NORMAL)->policy.limit = 5000;
        processes[i] = fake_process(i, i);
        processes[i]->process->busy = 1;
    }
}

static uint64_t tick(int process)
{
    return gs_arbiter_tick(processes[process], process, fake_now);
}

static void one_process_at_a_time_is_the_arbiter(void)
{
    two_processes();
    tick(0);
    CHECK(fake_page.passes == 1 && fake_page.turns == 1);
    CHECK(tick(1) == fake_now + GS_LEASE_NS / 2);
    fake_now += 30 * MS;
    tick(0); /* renews it */
    fake_now += 30 * MS;
    tick(1);
    CHECK(fake_page.passes == 2);
}

static void an_arbiter_that_stopped_loses_its_lease(void)
{
    two_processes();
    tick(0);
    fake_now += GS_LEASE_NS + 1 * MS;
    tick(1);
    CHECK(fake_page.passes == 2);
    CHECK(tick(0) == fake_now + GS_LEASE_NS / 2); /* it comes back too late */
    CHECK(fake_page.passes == 2);
    fake_now += GS_LEASE_NS / 2;
    tick(1);
    CHECK(fake_page.passes == 3);
}

/* At no moment: the other gate is closed by the time that one opens. */
static void see_it_open(struct gs_share_slot *slot)
{
    const struct gs_share_slot *other = slot == &fake_page.share_slot[0] ? slot + 1 : slot - 1;
    CHECK(other->gate & GS_CLOSED_TURN);
}

static void there_is_one_turn_on_the_page(void)
{
    two_processes();
    fake_on_open = see_it_open;
    for (int i = 0; i < 400; i++) {
        uint64_t next = tick(0);
        CHECK(fake_page.share_slot[0].gate || fake_page.share_slot[1].gate);
        CHECK(!(fake_page.share_slot[0].gate & ~GS_CLOSED_TURN));
        fake_now = next;
    }
    for (int i = 0; i < 2; i++) {
        const struct gs_share_slot *slot = &fake_page.share_slot[i];
        CHECK(slot->turns > 2 && slot->open_ns > 0 && slot->wanted_ns > slot->open_ns);
        CHECK(slot->opened_at > 10000 * MS && slot->closed_at > 10000 * MS);
    }
}

static void gates_open_and_the_lease_is_free_when_turns_end(void)
{
    two_processes();
    for (int i = 0; i < 20; i++)
        fake_now = tick(0);
    processes[0]->process->busy = processes[1]->process->busy = 0;
    uint64_t until = fake_now + 300 * MS;
    for (uint64_t next = 0; fake_now < until && next != UINT64_MAX; fake_now += 1 * MS)
        next = tick(0);
    CHECK(fake_now < until && fake_page.turns == 0 && fake_page.lease == 0);
    CHECK(fake_page.share_slot[0].gate == 0 && fake_page.share_slot[1].gate == 0);
    CHECK(tick(1) == UINT64_MAX);
}

static void shares_without_a_limit_need_no_arbiter(void)
{
    two_processes();
    fake_page.share_slot[0].policy.limit = fake_page.share_slot[1].policy.limit = GS_FULL;
    CHECK(tick(0) == UINT64_MAX && tick(1) == UINT64_MAX && fake_page.lease == 0
          && fake_page.turns == 0);
}

static void a_share_that_takes_no_turns_any_more_is_let_in(void)
{
    two_processes();
    while (!(fake_page.share_slot[1].gate & GS_CLOSED_TURN))
        fake_now = tick(0);
    fake_page.share_slot[1].policy.rank = GS_HIGH;
    fake_page.share_slot[1].policy.limit = GS_FULL;
    tick(0);
    CHECK(fake_page.share_slot[1].gate == 0);
}

int main(void)
{
    one_process_at_a_time_is_the_arbiter();
    an_arbiter_that_stopped_loses_its_lease();
    there_is_one_turn_on_the_page();
    gates_open_and_the_lease_is_free_when_turns_end();
    shares_without_a_limit_need_no_arbiter();
    a_share_that_takes_no_turns_any_more_is_let_in();
    return 0;
}
