/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share's region: one file, mapped by every process of the share and by the daemon.
 * The daemon writes policy, the guard writes counters and slots; gpushare.guard.region mirrors the layout.
 */
#ifndef GS_REGION_H
#define GS_REGION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GS_REGION_MAGIC 0x4e4f494745525347ull /* "GSREGION" */
#define GS_REGION_VERSION 1u

enum { GS_GPUS = 16, GS_SLOTS = 1024, GS_UUID = 64 };

struct gs_region_gpu {
    char uuid[GS_UUID];
    uint64_t limit;
    uint64_t context;
    uint64_t generation;
    uint64_t policy_reserved[21];
    uint64_t used;
    uint64_t peak;
    uint64_t denied;
    uint64_t allocations;
    uint64_t counters_reserved[28];
};

struct gs_region_slot {
    int32_t pid; /* 0: free */
    uint32_t pid_namespace;
    uint64_t start; /* clock ticks since boot */
    uint64_t charged[GS_GPUS];
    uint64_t reserved[14];
};

struct gs_region {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, gpu_size, slot_size;
    uint32_t gpu_count, slot_count;
    uint32_t slots_high; /* slots from here on were never used */
    uint32_t header_padding;
    uint64_t sequence; /* odd while someone writes */
    uint64_t unlisted; /* allocations and contexts on GPUs that are not in the region */
    uint64_t unhooked; /* entry points handed out whose version the guard does not know */
    union {
        pthread_mutex_t lock;
        unsigned char lock_space[64];
    };
    unsigned char header_reserved[384];
    struct gs_region_gpu gpu[GS_GPUS];
    struct gs_region_slot slot[GS_SLOTS];
};

struct gpushare_grant {
    char uuid[GS_UUID];
    uint64_t limit;
    uint64_t context;
};

/*
 * For the daemon; each returns a negative errno on failure: -EBADMSG for a file that is no region, -ETIMEDOUT when
 * somebody holds its lock.
 */
int gpushare_region_create(const char *path, const struct gpushare_grant *grants, unsigned count);
int gpushare_region_set_limit(const char *path, const char *uuid, uint64_t limit);
int gpushare_region_reap(const char *path);

/* NULL and errno on failure. The mapping outlives the file descriptor, which is closed at once. */
struct gs_region *gs_region_map(const char *path);
void gs_region_unmap(struct gs_region *region);

/* False only when the lock is beyond repair. Taking it from a dead owner recomputes every `used`. */
bool gs_region_lock(struct gs_region *region);
bool gs_region_lock_within(struct gs_region *region, int seconds);
void gs_region_unlock(struct gs_region *region);

/* These four want the lock held. */
int gs_region_join(struct gs_region *region, pid_t pid);
bool gs_region_reserve(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_force(struct gs_region *region, int slot, int gpu, uint64_t bytes);
void gs_region_release(struct gs_region *region, int slot, int gpu, uint64_t bytes);

/* Frees the slots of dead processes; how many. Wants the lock held. */
int gs_region_sweep(struct gs_region *region);

/* An exec keeps pid and start time but not the GPU memory: drops what the old image left. */
void gs_region_forget(struct gs_region *region, pid_t pid);

#endif
