/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU page: one file for each GPU, mapped by every process of every share that uses the GPU. It says who may launch
 * work now, and why not; gpushare.guard.layout mirrors the layout.
 *
 * Invariants:
 * 1. A share slot's gate is 0 exactly when its programs may run. The GPU itself polls it, so closing it stops work that
 *    was queued long before, and opening it costs no round trip through the host.
 * 2. A bit of a gate is set and cleared by one side only: bits of GS_CLOSED_PREEMPT by the process slot that owns the
 *    bit (or, when that one is dead or silent, by whoever waits), GS_CLOSED_TURN by the arbiter.
 * 3. The arbiter is whoever holds an unexpired lease; everybody may take an expired one.
 */
#ifndef GS_GPU_PAGE_H
#define GS_GPU_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define GS_GPU_PAGE_MAGIC 0x4452414f425347ull /* "GSBOARD" */
#define GS_GPU_PAGE_VERSION 1u

enum { GS_SHARE_SLOTS = 64, GS_PROCESS_SLOTS = 256, GS_PREEMPT_BITS = 24, GS_SHARE_ID = 16 };
enum { GS_CLOSED_PREEMPT = (1 << GS_PREEMPT_BITS) - 1, GS_CLOSED_TURN = 1 << GS_PREEMPT_BITS };
enum { GS_FULL = 10000 }; /* compute is counted in basis points */

enum gs_rank { GS_LOW, GS_NORMAL, GS_HIGH };

/* What the daemon says of a share. */
struct gs_share_policy {
    char share[GS_SHARE_ID]; /* empty: the share slot is free */
    uint32_t rank;           /* enum gs_rank */
    uint32_t limit;          /* the most it gets, in basis points */
    uint32_t request;        /* what it gets whenever it wants it */
    uint32_t quantum_us;     /* low rank: the most GPU time between two looks at the gate */
    uint32_t minimum;        /* low rank: what high-priority work leaves it at least, in basis points */
    uint32_t grace_us;       /* high rank: pauses shorter than this are bridged; 0: learned; 1: none is */
    uint32_t timeslice_us;   /* where contexts take turns: how long its programs have the GPU; 0: as the driver likes */
    uint32_t reserved[5];
};

/* One share on this GPU. Times are nanoseconds of CLOCK_MONOTONIC or sums of them. */
struct gs_share_slot {
    struct gs_share_policy policy;
    uint32_t gate; /* 0: open. On a line of its own, for the GPU reads it over the bus */
    uint32_t gate_padding[15];
    uint32_t sleepers; /* threads that wait for the gate on the host; may be too many, never too few */
    uint32_t sleepers_padding;
    uint64_t opened_at, closed_at; /* by the arbiter: when a turn last began and when one last ended */
    uint64_t turns;
    uint64_t starvation_window; /* the newest tenth of a second that somebody looks after, see starvation.c */
    uint64_t turn_reserved[3];
    uint64_t wanted_ns;       /* under turns: time in which its programs had or wanted GPU work */
    uint64_t open_ns;         /* of that, while its gate was open */
    uint64_t overrun_ns;      /* GPU time of work that ran on after its turn */
    uint64_t busy_ns;         /* GPU time of its work, as far as it was measured */
    uint64_t waits;           /* launches that waited on the host */
    uint64_t waited_ns;
    uint64_t fences;          /* looks at the gate that were put into streams */
    uint64_t longest_ns;      /* the longest single launch */
    uint64_t preemptions;     /* high rank: how often its work became urgent */
    uint64_t preempt_ns;      /* and for how long in all */
    uint64_t grace_ns;        /* the pause that is bridged now */
    uint64_t overrides;       /* times that high-priority work was overruled because nothing moved */
    uint64_t starvation_runs; /* low rank: times it ran next to high-priority work to not starve */
    uint64_t launches;        /* work handed to the GPU: launches and copies, gated or not */
    uint64_t timeslice_us;    /* the timeslice that was asked of the driver last; 0: its own */
    uint64_t counters_reserved[9];
};

/* One process. A bit of a gate belongs to the process slot whose `preempt_bit` is that bit's number plus one. */
struct gs_process_slot {
    int32_t pid; /* 0: free */
    uint32_t pid_namespace;
    uint64_t start; /* clock ticks since boot */
    uint32_t share_slot;
    uint32_t preempt_bit;
    uint64_t beat_ns;  /* its newest sign of life */
    uint64_t until_ns; /* high rank: its bits mean nothing from then on */
    uint64_t want_ns;  /* its newest wish to use the GPU */
    uint32_t busy;     /* threads that wait for the GPU or at the gate */
    uint32_t draining; /* it is about to be suspended: let its work end */
    uint64_t reserved[9];
};

struct gs_gpu_page {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, share_slot_size, process_slot_size;
    uint32_t share_slot_count, process_slot_count;
    uint32_t process_slots_high; /* process slots from here on were never used */
    uint32_t padding;
    uint32_t preempt_bits; /* in use by process slots of high rank; low share slots are fenced while it is not 0 */
    uint32_t turns;        /* not 0: the arbiter gives turns, and all but high share slots are fenced */
    uint64_t lease;        /* of the arbiter: process slot + 1 in the upper 16 bits, microseconds of its end below */
    uint64_t passes;       /* of the arbiter */
    char uuid[64];
    uint64_t header_reserved[16];
    struct gs_share_slot share_slot[GS_SHARE_SLOTS];
    struct gs_process_slot process_slot[GS_PROCESS_SLOTS];
};

/* For the daemon; each returns a negative errno on failure: -EBADMSG for a file that is no GPU page. */
int gpushare_gpu_page_create(const char *path, const char *uuid);
int gpushare_gpu_page_set_share(const char *path, unsigned slot, const struct gs_share_policy *policy);

/* NULL and errno on failure. */
struct gs_gpu_page *gs_gpu_page_map(const char *path);
void gs_gpu_page_unmap(struct gs_gpu_page *page);

/* The number of this process' slot, made or found; -1 when there is no room. */
int gs_gpu_page_join(struct gs_gpu_page *page, uint32_t share_slot);
void gs_gpu_page_leave(struct gs_gpu_page *page, int number);

/* It stays, for threads may be counted in it, but what it holds closed is opened. */
void gs_gpu_page_retire(struct gs_gpu_page *page, int number);

/* The process slot's own bit, taken at the first call; 0 when all are in use: its work is not protected then. */
uint32_t gs_gpu_page_preempt_bit(struct gs_gpu_page *page, int number);

/* Frees the process slots of dead processes and their bits; how many. */
int gs_gpu_page_sweep(struct gs_gpu_page *page);

/* Set in every low share slot's gate, cleared in every share slot's. */
void gs_gpu_page_close(struct gs_gpu_page *page, uint32_t bits);
void gs_gpu_page_open(struct gs_gpu_page *page, uint32_t bits);

/* The same for one share slot. */
void gs_share_slot_close(struct gs_share_slot *slot, uint32_t bits);
void gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits);

/* Waits while any of the bits is set, at most that long. */
void gs_share_slot_wait(struct gs_share_slot *slot, uint32_t bits, uint64_t at_most_ns);

/* Words that others write and read meanwhile, where no order matters. */
#define GS_READ(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define GS_WRITE(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)

#endif
