/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/ledger.h"

#include <pthread.h>

#include "base/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gs_map map;

bool gs_ledger_put(const struct gs_entry *entry, struct gs_entry *old)
{
    pthread_mutex_lock(&lock);
    struct gs_entry *before = gs_map_find(&map, entry->space, entry->key);
    bool existed = before != NULL;
    if (existed)
        *old = *before;
    bool kept = gs_map_put(&map, entry);
    pthread_mutex_unlock(&lock);
    if (!kept)
        gs_log("out of memory for the ledger; an allocation stays charged until the process ends");
    return existed;
}

bool gs_ledger_find(enum gs_space space, uint64_t key, struct gs_entry *copy)
{
    pthread_mutex_lock(&lock);
    const struct gs_entry *entry = gs_map_find(&map, space, key);
    if (entry)
        *copy = *entry;
    pthread_mutex_unlock(&lock);
    return entry != NULL;
}

bool gs_ledger_take(enum gs_space space, uint64_t key, struct gs_entry *taken)
{
    pthread_mutex_lock(&lock);
    struct gs_entry *entry = gs_map_find(&map, space, key);
    if (entry) {
        *taken = *entry;
        gs_map_remove(&map, entry);
    }
    pthread_mutex_unlock(&lock);
    return entry != NULL;
}

void gs_ledger_sweep(bool (*matches)(const struct gs_entry *, const void *), const void *by,
                     void (*release)(const struct gs_entry *))
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < map.room;) {
        struct gs_entry *entry = &map.entries[i];
        if (entry->space == GS_NOTHING || !matches(entry, by)) {
            i++;
            continue;
        }
        release(entry);
        gs_map_remove(&map, entry);
    }
    pthread_mutex_unlock(&lock);
}

void gs_ledger_search(bool (*visit)(const struct gs_entry *, void *), void *argument)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < map.room; i++)
        if (map.entries[i].space != GS_NOTHING && visit(&map.entries[i], argument))
            break;
    pthread_mutex_unlock(&lock);
}

void gs_ledger_forget(void)
{
    /* Another thread may have held the lock at the fork: neither lock nor memory is usable. */
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    map = (struct gs_map){0};
}
