/* SPDX-License-Identifier: Apache-2.0 */
/* What this process holds and what it was charged for it. Safe from any thread. */
#ifndef GS_LEDGER_H
#define GS_LEDGER_H

#include "base/map.h"

/*
 * Records an entry. A key that is already there means that the driver freed it without telling us
 * (its context went): the old entry is returned in *old and true is the answer.
 */
bool gs_ledger_put(const struct gs_entry *entry, struct gs_entry *old);

bool gs_ledger_find(enum gs_space space, uint64_t key, struct gs_entry *found);
bool gs_ledger_take(enum gs_space space, uint64_t key, struct gs_entry *taken);

/* Removes every entry for which wanted(entry, by) holds and releases it; with the ledger locked. */
void gs_ledger_sweep(bool (*wanted)(const struct gs_entry *, const void *), const void *by,
                     void (*release)(const struct gs_entry *));

/* Runs found() on entries until it says true. */
void gs_ledger_search(bool (*found)(const struct gs_entry *, void *), void *wanted);

/* After a fork: the child has none of it. */
void gs_ledger_forget(void);

#endif
