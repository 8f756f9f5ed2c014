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
        gs_log("no memory to record an allocation; it stays charged until the process ends");
    return existed;
}

bool gs_ledger_find(enum gs_space space, uint64_t key, struct gs_entry *found)
{
    pthread_mutex_lock(&lock);
    const struct gs_entry *entry = gs_map_find(&map, space, key);
    if (entry)
        *found = *entry;
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

void gs_ledger_sweep(bool (*wanted)(const struct gs_entry *, const void *), const void *by,
                     void (*release)(const struct gs_entry *))
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < map.room;) {
        struct gs_entry *entry = &map.entries[i];
        if (entry->space == GS_NOTHING || !wanted(entry, by)) {
            i++;
            continue;
        }
        release(entry);
        gs_map_remove(&map, entry);
    }
    pthread_mutex_unlock(&lock);
}

void gs_ledger_search(bool (*found)(const struct gs_entry *, void *), void *wanted)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < map.room; i++)
        if (map.entries[i].space != GS_NOTHING && found(&map.entries[i], wanted))
            break;
    pthread_mutex_unlock(&lock);
}

void gs_ledger_forget(void)
{
    /* Another thread may have been inside at the fork: neither lock nor memory can be trusted. */
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    map = (struct gs_map){0};
}
