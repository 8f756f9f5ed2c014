/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what this process holds and what each of it is charged.
 * Owner: the hooks. Threads: any; one lock, held during callbacks.
 * Limits: in memory of the process, so it is lost at its end; the region's sums outlive it.
 */
#ifndef GS_LEDGER_H
#define GS_LEDGER_H

#include "base/map.h"

/*
 * Records an entry. If the key exists, the driver freed it without a call that is interposed (with
 * its context): then *old is the replaced entry and the result is true.
 */
bool gs_ledger_put(const struct gs_entry *entry, struct gs_entry *old);

bool gs_ledger_find(enum gs_space space, uint64_t key, struct gs_entry *copy);
bool gs_ledger_take(enum gs_space space, uint64_t key, struct gs_entry *taken);

/* Removes and releases every entry that matches(entry, by). The callbacks run under the lock. */
void gs_ledger_sweep(bool (*matches)(const struct gs_entry *, const void *), const void *by,
                     void (*release)(const struct gs_entry *));

/* Runs visit() on entries until it returns true. */
void gs_ledger_search(bool (*visit)(const struct gs_entry *, void *), void *argument);

/* In the child of a fork, which holds nothing of it. */
void gs_ledger_forget(void);

#endif
