/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regions of earlier releases, versions 1 to 3 with a lock: their programs outlive an upgrade of
 * the package. The daemon goes on reading what they are charged and writing their limits; no guard of
 * this version maps them. `make layout` writes gpushare.guard.layout from it.
 *
 * All of them begin as a region does. They count under a lock in the file, which is why a program of
 * this version cannot join: it has none. Fields that a version lacks are 0: `flags` and `suspend`
 * came with version 2, `life` with 3. A slot without a life belongs to the pid, namespace and start
 * time in it.
 *
 * Owner: as with regions; the daemon writes `limit`, `generation`, `flags`, `keep` and `suspend`.
 * Threads: any. Limits: as they were, 16 GPUs and 1024 processes.
 */
#ifndef GS_FORMER_REGION_H
#define GS_FORMER_REGION_H

#include "share/region.h"

#define GS_FORMER_REGION_VERSION 3u /* the newest with a lock; those without have larger slots */

struct gs_former_region_gpu {
    char uuid[GS_UUID];
    uint64_t limit;
    uint64_t context;
    uint64_t generation;
    uint64_t share_slot;
    uint64_t keep;
    uint64_t moves;
    uint64_t policy_reserved[18];
    uint64_t used; /* bytes charged, `cached` included */
    uint64_t peak;
    uint64_t denied;
    uint64_t allocations;
    uint64_t cached;
    uint64_t counters_reserved[27];
};

struct gs_former_region_slot {
    int32_t pid; /* 0: free */
    uint32_t pid_namespace;
    uint64_t start;
    uint64_t charged[GS_GPUS];
    uint32_t phase;
    uint32_t unmovable;
    uint32_t failure;
    uint32_t suspend_seen;
    uint64_t away;
    uint64_t host;
    uint64_t moved;
    uint64_t out_ns, in_ns;
    uint64_t movable;
    uint64_t cached; /* on all GPUs */
    uint64_t life;
    uint64_t reserved[4];
};

struct gs_former_region {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, gpu_size, slot_size;
    uint32_t gpu_count, slot_count;
    uint32_t slots_high;
    uint32_t header_padding;
    uint64_t sequence; /* odd while the lock is held */
    uint64_t unlisted;
    uint64_t unhooked;
    unsigned char lock[64];
    uint32_t flags;
    uint32_t suspend;
    uint32_t pressure;
    uint32_t policy_padding;
    unsigned char header_reserved[368];
    struct gs_former_region_gpu gpu[GS_GPUS];
    struct gs_former_region_slot slot[GS_REGION_SLOTS];
};

#endif
