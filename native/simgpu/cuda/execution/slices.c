/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/execution/slices.h"

static bool first_of_party(const gs_race *race, int i, uint64_t at)
{
    for (int j = 0; j < i; j++)
        if (race->rivals[j].party == race->rivals[i].party && race->rivals[j].tail > at)
            return false;
    return true;
}

/* How many other parties have work at a time. */
static uint64_t others(const gs_race *race, uint64_t at)
{
    uint64_t parties = 0;
    for (int i = 0; i < race->count; i++)
        if (race->rivals[i].tail > at && race->rivals[i].party != race->party)
            parties += first_of_party(race, i, at);
    return parties;
}

/* The fraction of its speed that is left next to kernels of the same party. */
static double speed(const gs_race *race, uint64_t at)
{
    uint64_t total = race->demand;
    for (int i = 0; i < race->count; i++)
        if (race->rivals[i].tail > at && race->rivals[i].party == race->party)
            total += race->rivals[i].demand;
    return total > race->sms ? (double)race->sms / (double)total : 1.0;
}

/* The next time after which that may be different. */
static uint64_t next_end(const gs_race *race, uint64_t at)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < race->count; i++)
        if (race->rivals[i].tail > at)
            next = MIN(next, race->rivals[i].tail);
    return next;
}

static uint64_t tail_of(const gs_race *race, int32_t party)
{
    uint64_t tail = 0;
    for (int i = 0; i < race->count; i++)
        if (race->rivals[i].party == party)
            tail = MAX(tail, race->rivals[i].tail);
    return tail;
}

/* What passes between two slices of this party. */
static uint64_t pause_of(const gs_race *race, uint64_t parties)
{
    return parties * (race->slice + race->change) + race->change;
}

/* How long the party that has the GPU keeps it from another that comes. */
static uint64_t rest_of_slice(const gs_race *race, const gs_turn *turn, uint64_t at)
{
    uint64_t tail = tail_of(race, turn->owner);
    uint64_t rest = at < turn->since ? (turn->since - at) % race->slice
                                     : race->slice - (at - turn->since) % race->slice;
    return tail > at ? MIN(rest, tail - at) : 0;
}

/* When the party has the GPU, at first. */
static uint64_t take(const gs_race *race, gs_turn *turn, uint64_t at)
{
    if (turn->owner == race->party)
        return at;
    if (turn->owner) {
        at += rest_of_slice(race, turn, at) + race->change;
        turn->changes++;
    }
    *turn = (gs_turn){race->party, at, turn->slices + 1, turn->changes};
    return at;
}

/* Slices that another kernel of the party has counted are the same ones. */
static void count(gs_turn *turn, uint64_t begin, uint64_t slices, uint64_t apart)
{
    if (begin <= turn->since)
        return;
    slices = MIN(slices, (begin - turn->since + apart - 1) / apart);
    turn->since = begin;
    turn->slices += slices;
    turn->changes += slices;
}

/* How many whole rounds pass before the kernel ends or the others change. */
static uint64_t whole_rounds(const gs_race *race, uint64_t at, double left, uint64_t apart)
{
    double own = (double)race->slice * speed(race, at);
    uint64_t until = next_end(race, at), needed = left > 1 ? (uint64_t)((left - 1) / own) : 0;
    return until > at ? MIN(needed, (until - at) / apart) : 0;
}

uint64_t gs_race_end(const gs_race *race, gs_turn *turn, uint64_t start, uint64_t duration)
{
    double left = (double)duration;
    uint64_t at = take(race, turn, start), since = MIN(at, turn->since);
    for (;;) {
        uint64_t parties = others(race, at);
        uint64_t over = parties ? MAX(at, since + race->slice) : next_end(race, at);
        double own = (double)(over - at) * speed(race, at);
        if (left <= own)
            return at + (uint64_t)(left / speed(race, at));
        left -= own;
        at = over;
        if (!parties || !others(race, at))
            continue;
        uint64_t pause = pause_of(race, others(race, at)), apart = pause + race->slice;
        uint64_t rounds = whole_rounds(race, at, left, apart);
        left -= (double)rounds * (double)race->slice * speed(race, at);
        since = at += rounds * apart + pause;
        count(turn, since, rounds + 1, apart);
    }
}
