/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region of a share: one file that every process of the share maps. It holds the limits of the
 * share, what its processes are charged per GPU, and the daemon's order to suspend.
 * `make layout` writes gpushare.guard.layout from it.
 *
 * A GPU is its index in the region, everywhere in the guard. A process has a slot from its first
 * charge on.
 *
 * Model. There is no lock. A process writes its own slot only, and what the share uses is the sum
 * over the slots. A reservation first writes what it asks for into the own slot and then reads the
 * sum, so of several racing ones the last one sees all others. Wherever a process is stopped or
 * killed, its slot holds what it has and what it asks for.
 *
 * Invariants:
 * 1. The sum of `charged` exceeds `limit` only after the limit was lowered or by gs_region_force(),
 *    for memory that already exists.
 * 2. Memory is charged before the driver is called, and released after the driver has freed it.
 * 3. A reservation is granted if it fits next to what all others have and ask for. It is refused if
 *    it does not fit next to what they have; it waits while others ask, but no longer than
 *    GS_REGION_PATIENCE_NS, because they may be stopped.
 * 4. A slot is taken by compare-and-swap of `life`, and emptied when the life of its process has
 *    ended (base/life.h), which a process of any pid namespace can tell. A process that empties a
 *    slot takes it first; so one at a time empties it, and another one if that dies.
 * 5. `pid`, `pid_namespace` and `start` name the process for people. Only where no life could begin,
 *    `life` is GS_REGION_NO_LIFE with the pid, and a process of the same namespace judges by them.
 *
 * Owner: the daemon writes `policy` fields (limits, flags, `suspend`, grants) with pwrite() and
 * never maps; guards write the rest. The user owns the file, so the daemon trusts nothing in it.
 * Threads: any process at any time; within a process one thread at a time. Words are atomic.
 * Limits: 16 GPUs, 1024 processes. Sizes and offsets are part of the ABI; new fields use reserved
 * space.
 */
#ifndef GS_REGION_H
#define GS_REGION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GS_REGION_MAGIC 0x4e4f494745525347ull /* "GSREGION" */
#define GS_REGION_VERSION 3u
#define GS_REGION_NO_LIFE 0x8000000000000000ull
#define GS_REGION_PATIENCE_NS 100000000ull

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
    uint64_t peak; /* the most bytes charged at a time */
    uint64_t denied;
    uint64_t allocations;
    uint64_t counters_reserved[29];
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
    uint64_t life; /* 0: the slot is free */
    int32_t pid;
    uint32_t pid_namespace;
    uint64_t start;   /* clock ticks since boot */
    uint64_t changes; /* grows with every change of `charged` and `asked` */
    uint64_t asked; /* what `charged` is to become; above it the GPU's index plus one; 0: nothing */
    uint64_t charged[GS_GPUS]; /* bytes, `cached` included */
    uint64_t cached[GS_GPUS]; /* freed by the program, kept to be used again */
    uint32_t phase; /* enum gs_phase */
    uint32_t unmovable; /* bits of enum gs_unmovable */
    uint32_t failure; /* enum gs_failure */
    uint32_t suspend_seen; /* the newest `suspend` that it has carried out or refused */
    uint64_t away; /* bytes that are not on the GPU now */
    uint64_t host; /* bytes of host memory it holds for that, used or not */
    uint64_t moved; /* bytes copied by the newest suspend or resume */
    uint64_t out_ns, in_ns; /* how long the newest suspend and resume took */
    uint64_t movable; /* bytes in blocks that can be moved */
    uint64_t reserved[3];
};

struct gs_region {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, gpu_size, slot_size;
    uint32_t gpu_count, slot_count;
    uint32_t slots_high; /* slots from here on were never used */
    uint32_t header_padding;
    uint64_t unlisted; /* allocations and contexts on GPUs that are not in the region */
    uint64_t unhooked; /* entry points returned whose version the guard does not know */
    uint32_t flags; /* policy: bits of enum gs_region_flag */
    uint32_t suspend; /* policy: odd: suspend; even: run. Grows by one with every change */
    uint32_t pressure; /* grows when a process needs memory that others cache */
    uint32_t policy_padding;
    unsigned char header_reserved[440];
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
 * region.
 */
int gpushare_region_create(const char *path, const struct gpushare_grant *grants, unsigned count);
int gpushare_region_set_limit(const char *path, const char *uuid, uint64_t limit);
/* What it was before a probe: a probe fills the limit, and is no program of the share. */
int gpushare_region_set_peak(const char *path, const char *uuid, uint64_t peak);
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

/* What the share uses of a GPU, and the part that its processes only keep to use again. */
uint64_t gs_region_used(const struct gs_region *region, int gpu);
uint64_t gs_region_cached(const struct gs_region *region, int gpu);

/*
 * Takes a slot for the calling process, whose life in this file is `life`; -1 when all are in use. 0:
 * it has none.
 */
int gs_region_join(struct gs_region *region, uint64_t life);

/* False when it does not fit; slots of dead processes are emptied first. */
bool gs_region_reserve(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_force(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_release(struct gs_region *region, int slot, int gpu, uint64_t bytes);

/* Empties the slots of dead processes for the process with this life, and returns how many. */
int gs_region_sweep(struct gs_region *region, uint64_t life);

#endif
