/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region of a share: one file that every process of the share maps. It holds the limits of the
 * share, what its processes are charged per GPU, and the daemon's order to suspend.
 * `make layout` writes gpushare.guard.layout from it.
 *
 * A GPU is its index in the region, everywhere in the guard. A process has a slot from its first
 * charge on.
 *
 * Invariants:
 * 1. `used` of a GPU is the sum of `charged` over all slots with a pid. Both change under the lock
 *    only.
 * 2. `used` exceeds `limit` only after the limit was lowered or by gs_region_force(), for memory
 *    that already exists.
 * 3. Memory is charged before the driver is called, and released after the driver has freed it.
 * 4. `sequence` is odd while the lock is held: readers without the lock retry.
 * 5. A slot is freed when the life of its process has ended (base/life.h), which a process of any
 *    pid namespace can tell. `pid`, `pid_namespace` and `start` name the process for people; only
 *    where no life could begin, a process of the same namespace judges by them.
 *
 * Owner: the daemon writes `policy` fields (limits, flags, `suspend`, grants) with pwrite() and
 * never maps nor locks; guards write the rest. The user owns the file, so the daemon trusts nothing
 * in it.
 * Threads: any. The lock is robust: after its holder died, the next one recomputes `used`. Words
 * that are read without the lock are atomic.
 * Limits: 16 GPUs, 1024 processes. Sizes and offsets are part of the ABI; new fields use reserved
 * space.
 */
#ifndef GS_REGION_H
#define GS_REGION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GS_REGION_MAGIC 0x4e4f494745525347ull /* "GSREGION" */
#define GS_REGION_VERSION 3u

enum { GS_GPUS = 16, GS_REGION_SLOTS = 1024, GS_UUID = 64 };

enum gs_region_flag {
    GS_REGION_MOVABLE = 1 << 0, /* back allocations with blocks that can leave the GPU */
    GS_REGION_AHEAD = 1 << 1,   /* have host memory ready for them before it is needed */
};

struct gs_region_gpu {
    char uuid[GS_UUID];
    uint64_t limit;
    uint64_t context;
    uint64_t generation;
    uint64_t share_slot; /* on the GPU page, plus one; 0: it has none */
    uint64_t keep; /* bytes that may stay on the GPU while the share is suspended */
    uint64_t moves; /* grows with each migration of the share to the GPU that `uuid` names */
    uint64_t policy_reserved[18];
    uint64_t used; /* bytes charged, `cached` included */
    uint64_t peak;
    uint64_t denied;
    uint64_t allocations;
    uint64_t cached; /* freed by programs, kept to be used again */
    uint64_t counters_reserved[27];
};

/* Whether a process is on the GPU: running, being suspended, suspended, being resumed. */
enum gs_phase { GS_RUNS, GS_LEAVES, GS_AWAY, GS_RETURNS };

/* Why a process' memory cannot be moved; bits. gpushare.guard.region has the messages. */
enum gs_unmovable {
    GS_UNMOVABLE_MANAGED = 1 << 0,
    GS_UNMOVABLE_POOL = 1 << 1,     /* stream-ordered allocation */
    GS_UNMOVABLE_ARRAY = 1 << 2,
    GS_UNMOVABLE_GRAPH = 1 << 3,    /* graphs with memory nodes */
    GS_UNMOVABLE_MAPPED = 1 << 4,   /* cuMemCreate by the program itself */
    GS_UNMOVABLE_EXPORTED = 1 << 5, /* another process has an IPC handle */
    GS_UNMOVABLE_IMPORTED = 1 << 6,
    GS_UNMOVABLE_LEGACY = 1 << 7,   /* not in blocks of the guard */
};

/* Why the newest suspend or resume failed. */
enum gs_failure {
    GS_NO_FAILURE,
    GS_FAILED_UNMOVABLE,
    GS_FAILED_HOST_MEMORY,
    GS_FAILED_GPU_MEMORY,
    GS_FAILED_DRIVER
};

struct gs_region_slot {
    int32_t pid; /* 0: free */
    uint32_t pid_namespace;
    uint64_t start; /* clock ticks since boot */
    uint64_t charged[GS_GPUS];
    uint32_t phase;   /* enum gs_phase */
    uint32_t unmovable;   /* bits of enum gs_unmovable */
    uint32_t failure; /* enum gs_failure */
    uint32_t suspend_seen; /* the newest `suspend` that it has carried out or refused */
    uint64_t away;    /* bytes that are not on the GPU now */
    uint64_t host;    /* bytes of host memory it holds for that, used or not */
    uint64_t moved;   /* bytes copied by the newest suspend or resume */
    uint64_t out_ns, in_ns; /* how long the newest suspend and resume took */
    uint64_t movable; /* bytes in blocks that can be moved */
    uint64_t cached;  /* its part of `cached` of the GPUs */
    uint64_t life;    /* of the process, in this file; 0: none could begin */
    uint64_t reserved[4];
};

struct gs_region {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, gpu_size, slot_size;
    uint32_t gpu_count, slot_count;
    uint32_t slots_high; /* slots from here on were never used */
    uint32_t header_padding;
    uint64_t sequence; /* odd while the lock is held */
    uint64_t unlisted; /* allocations and contexts on GPUs that are not in the region */
    uint64_t unhooked; /* entry points returned whose version the guard does not know */
    union {
        pthread_mutex_t lock;
        unsigned char lock_space[64];
    };
    uint32_t flags;    /* policy: bits of enum gs_region_flag */
    uint32_t suspend;     /* policy: odd: suspend; even: run. Grows by one with every change */
    uint32_t pressure; /* grows when a process needs memory that others cache */
    uint32_t policy_padding;
    unsigned char header_reserved[368];
    struct gs_region_gpu gpu[GS_GPUS];
    struct gs_region_slot slot[GS_REGION_SLOTS];
};

struct gpushare_grant {
    char uuid[GS_UUID];
    uint64_t limit;
    uint64_t context;
    uint64_t share_slot; /* plus one; 0: none */
};

/*
 * For the daemon. Each returns a negative errno on failure: -EBADMSG for a file that is not a
 * region. None takes the region's lock, which a stopped program can hold.
 */
int gpushare_region_create(const char *path, const struct gpushare_grant *grants, unsigned count);
int gpushare_region_set_limit(const char *path, const char *uuid, uint64_t limit);
int gpushare_region_set_flags(const char *path, uint32_t flags);

/* Orders every process of the share off the GPU, all but `keep` bytes on each, or back. */
int gpushare_region_suspend(const char *path, uint64_t keep);
int gpushare_region_resume(const char *path);

/*
 * Makes the index `gpu` mean the GPU of the grant. Charges belong to the index, so they stay as
 * they are. Only while no program of the share can use a GPU.
 */
int gpushare_region_move(const char *path, unsigned gpu, const struct gpushare_grant *grant);

/* Maps a region; NULL and errno on failure. */
struct gs_region *gs_region_map(const char *path);
void gs_region_unmap(struct gs_region *region);

/* False only when the lock cannot be repaired. After a holder died, every `used` is recomputed. */
bool gs_region_lock(struct gs_region *region);
void gs_region_unlock(struct gs_region *region);

/*
 * These four need the lock. gs_region_join() takes a slot for the calling process, whose life in
 * this file is `life`, and returns it; -1 when all are in use.
 */
int gs_region_join(struct gs_region *region, uint64_t life);
bool gs_region_reserve(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_force(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_release(struct gs_region *region, int slot, int gpu, uint64_t bytes);

/* Frees the slots of dead processes and returns how many. Needs the lock. */
int gs_region_sweep(struct gs_region *region);

#endif
