/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of how long kinds of launches take on the GPU, and which launches are to be
 * measured.
 *
 * The first GS_COST_EAGER launches of a kind are measured, then every GS_COST_EVERYth: programs
 * change what a kernel has to do. An estimate moves a quarter of the way to each new measurement.
 *
 * Owner: cost_model.c. Pure: no clock, no driver; the table is an argument.
 * Threads: gs_cost_learn() by one thread at a time; the others by any thread at any time, for an
 * estimate may be old, not torn. Limits: GS_COST_KINDS kinds; where eight neighbours are taken, the
 * newest replaces one of them.
 */
#ifndef GS_COST_TABLE_H
#define GS_COST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GS_COST_KINDS = 4096, GS_COST_PROBES = 8, GS_COST_EVERY = 61, GS_COST_EAGER = 3 };

struct gs_cost {
    uint64_t key; /* 0: free */
    uint32_t ns;
    uint32_t count;    /* measurements */
    uint32_t launches; /* since the newest of them */
};

struct gs_cost_table {
    struct gs_cost kind[GS_COST_KINDS];
};

static inline struct gs_cost *gs_cost_find(struct gs_cost_table *table, uint64_t key)
{
    size_t at = (key * 0x9e3779b97f4a7c15ull) >> 52;
    for (int i = 0; i < GS_COST_PROBES; i++) {
        struct gs_cost *kind = &table->kind[(at + (size_t)i) % GS_COST_KINDS];
        uint64_t here = __atomic_load_n(&kind->key, __ATOMIC_RELAXED);
        if (here == key || here == 0)
            return kind;
    }
    return &table->kind[at];
}

/* ns; 0: not known yet. On the way of every gated launch. */
static inline uint64_t gs_cost_estimate(struct gs_cost_table *table, uint64_t key)
{
    const struct gs_cost *kind = gs_cost_find(table, key);
    return __atomic_load_n(&kind->key, __ATOMIC_RELAXED) == key
               ? __atomic_load_n(&kind->ns, __ATOMIC_RELAXED)
               : 0;
}

/* Whether this launch is to be measured; counts it. */
static inline bool gs_cost_is_due(struct gs_cost_table *table, uint64_t key)
{
    struct gs_cost *kind = gs_cost_find(table, key);
    if (kind->key != key || kind->count < GS_COST_EAGER)
        return true;
    return __atomic_add_fetch(&kind->launches, 1, __ATOMIC_RELAXED) >= GS_COST_EVERY;
}

static inline void gs_cost_learn(struct gs_cost_table *table, uint64_t key, uint64_t ns)
{
    struct gs_cost *kind = gs_cost_find(table, key);
    if (kind->key != key)
        *kind = (struct gs_cost){.key = key};
    uint32_t bounded = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    uint32_t before = kind->ns ? kind->ns : bounded;
    __atomic_store_n(&kind->ns, kind->count ? before - before / 4 + bounded / 4 : bounded,
                     __ATOMIC_RELAXED);
    kind->count++;
    kind->launches = 0;
}

#endif
