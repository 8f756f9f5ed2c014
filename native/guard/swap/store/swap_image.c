/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/store/swap_image.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "swap/store/host_pool.h"

#define PATIENCE 30000000000ull /* ns in which other processes announce units but free none */

enum { PAUSE_US = 1000 };

struct unit {
    struct gs_host_unit host;
    uint64_t bytes; /* that have not returned to the GPU */
};

static struct unit *units;
static unsigned count, room;
static uint64_t end;
static bool returning;

uint64_t gs_swap_image_end(void)
{
    return end;
}

uint64_t gs_swap_image_held(void)
{
    return count * gs_host_pool_unit();
}

/* A freed unit leaves a gap; bytes may be written there again. */
static bool fill_gap(struct unit *unit)
{
    return unit->host.at || gs_host_pool_take(&unit->host);
}

static bool take(void)
{
    if (count == room) {
        unsigned larger = room ? room * 2 : 64;
        struct unit *moved = realloc(units, larger * sizeof *moved);
        if (!moved)
            return false;
        units = moved;
        room = larger;
    }
    units[count] = (struct unit){0};
    if (!gs_host_pool_take(&units[count].host))
        return false;
    count++;
    return true;
}

void gs_swap_image_reserve(uint64_t bytes)
{
    while (end + bytes > gs_swap_image_held() && take())
        ;
}

bool gs_swap_image_has(uint64_t place)
{
    uint64_t number = place / gs_host_pool_unit();
    return number < count && units[number].host.at;
}

bool gs_swap_image_reserve_registered(void)
{
    bool taken = take();
    if (taken)
        gs_host_pool_register(&units[count - 1].host);
    return taken;
}

static bool wait_for_unit(uint64_t number)
{
    uint32_t given = gs_host_pool_given();
    uint64_t until = gs_now() + PATIENCE;
    while (!(number < count ? fill_gap(&units[number]) : take())) {
        uint32_t now = gs_host_pool_given();
        if (now != given)
            until = gs_now() + PATIENCE;
        else if (!gs_host_pool_someone_returns() || gs_now() > until)
            return false;
        given = now;
        usleep(PAUSE_US);
    }
    return true;
}

unsigned char *gs_swap_image_at(uint64_t place, uint64_t *together)
{
    uint64_t unit = gs_host_pool_unit(), number = place / unit;
    while (!gs_swap_image_has(place))
        if (!wait_for_unit(number))
            return NULL;
    struct unit *at = &units[number];
    gs_host_pool_register(&at->host);
    *together = unit - place % unit;
    return at->host.at + place % unit;
}

/* Adds to, or takes from, the bytes of the units in a range. */
static void count_bytes(uint64_t place, uint64_t bytes, bool gone)
{
    uint64_t unit = gs_host_pool_unit();
    while (bytes) {
        uint64_t here = unit - place % unit < bytes ? unit - place % unit : bytes;
        struct unit *at = &units[place / unit];
        at->bytes += gone ? 0 - here : here;
        if (gone && returning && !at->bytes)
            gs_host_pool_give(&at->host);
        place += here;
        bytes -= here;
    }
}

void gs_swap_image_append(uint64_t bytes)
{
    count_bytes(end, bytes, false);
    end += bytes;
}

void gs_swap_image_returns(bool returns)
{
    returning = returns;
    if (returns)
        gs_host_pool_returns();
}

bool gs_swap_image_is_returning(void)
{
    return returning;
}

void gs_swap_image_returned(uint64_t place, uint64_t bytes)
{
    count_bytes(place, bytes, true);
}

/* Freed units leave gaps. */
static void close_gaps(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++)
        if (units[i].host.at)
            units[kept++] = units[i];
    count = kept;
}

void gs_swap_image_clear(void)
{
    end = 0;
    returning = false;
    close_gaps();
    for (unsigned i = 0; i < count; i++)
        units[i].bytes = 0;
}

void gs_swap_image_shrink(unsigned by)
{
    while (by-- && count)
        gs_host_pool_give(&units[--count].host);
}

void gs_swap_image_unregistered(void)
{
    for (unsigned i = 0; i < count; i++)
        units[i].host.registered = false;
    gs_host_pool_unregistered();
}

void gs_swap_image_forget(void)
{
    units = NULL;
    count = room = 0;
    end = 0;
    returning = false;
    gs_host_pool_forget();
}
