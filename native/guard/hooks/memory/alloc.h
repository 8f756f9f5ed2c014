/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_ALLOC_H
#define GS_ALLOC_H

#include "charge/ledger.h"
#include "hooks/setup/context.h"

/* Records what a claim became. */
void gs_keep(const struct gs_place *place, enum gs_space space, uint64_t key, uint64_t bytes);

/* The same of memory that cannot be moved for a reason of its own. */
void gs_keep_unmovable(const struct gs_place *place, enum gs_space space, uint64_t key,
                       uint64_t bytes, uint32_t unmovable);

/* Gives back what a pointer or array cost. */
void gs_release(const struct gs_entry *entry);

/* a * b, or the largest number there is. */
static inline uint64_t gs_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Taken out before the call: right after it another thread may be given the same address. */
#define GS_FREEING(space, key, call)                     \
    do {                                                 \
        struct gs_entry entry, old;                      \
        bool known = gs_ledger_take(space, key, &entry); \
        CUresult result = call;                          \
        if (known && result == CUDA_SUCCESS)             \
            gs_release(&entry);                          \
        else if (known)                                  \
            gs_ledger_put(&entry, &old);                 \
        return result;                                   \
    } while (0)

#endif
