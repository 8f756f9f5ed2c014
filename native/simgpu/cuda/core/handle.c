/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open-addressing hash table. A freed entry points to `sim`, so that a search goes on past it.
 */
#include "cuda/core/handle.h"

static struct entry {
    void *handle; /* NULL: never used; &sim: freed */
    gs_kind kind;
} *table;
static size_t capacity, used;

static size_t hash(const void *handle)
{
    return ((uintptr_t)handle >> 4) * 0x9e3779b97f4a7c15ull >> 20;
}

static struct entry *find(const void *handle)
{
    for (size_t i = hash(handle), n = 0; n < capacity; i++, n++) {
        struct entry *entry = &table[i & (capacity - 1)];
        if (entry->handle == handle)
            return entry;
        if (!entry->handle)
            return NULL;
    }
    return NULL;
}

static void insert(void *handle, gs_kind kind)
{
    size_t i = hash(handle);
    while (table[i & (capacity - 1)].handle)
        i++;
    table[i & (capacity - 1)] = (struct entry){handle, kind};
    used++;
}

static void grow(void)
{
    struct entry *old = table;
    size_t count = capacity;
    capacity = capacity ? capacity * 2 : 256;
    table = calloc(capacity, sizeof *table);
    used = 0;
    for (size_t i = 0; i < count; i++)
        if (old[i].handle && old[i].handle != &sim)
            insert(old[i].handle, old[i].kind);
    free(old);
}

void *gs_handle_new(gs_kind kind, size_t size)
{
    if (used * 2 >= capacity)
        grow();
    void *handle = calloc(1, size);
    if (handle)
        insert(handle, kind);
    return handle;
}

bool gs_handle_is(const void *handle, gs_kind kind)
{
    struct entry *entry = handle ? find(handle) : NULL;
    return entry && entry->kind == kind;
}

void gs_handle_free(void *handle)
{
    struct entry *entry = find(handle);
    if (!entry)
        return;
    entry->handle = &sim;
    entry->kind = KIND_NONE;
    free(handle);
}
