/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GPU page: one file per GPU that every process of every share on that GPU maps. It says which
 * shares may launch work now. `make layout` writes gpushare.guard.layout from it.
 *
 * Model. A share has a share slot with its policy and its gate; a process has a process slot with
 * its heartbeat. A gate of 0 is open. Programs put a fence, a wait for the gate, into their streams
 * after each quantum of work. Two rules close gates: high-priority work preempts low-priority
 * shares, and under compute limits the arbiter gives turns.
 *
 * Invariants:
 * 1. A share's programs may run exactly while its gate is 0. The GPU itself reads the gate, so
 *    closing it stops work that was queued before, and opening it costs no round trip through the
 *    host.
 * 2. Each bit of a gate has one writer: a bit of GS_CLOSED_PREEMPT the process slot that owns it
 *    (or, when that process is dead or silent, a process that waits), GS_CLOSED_TURN the arbiter.
 * 3. The arbiter is the process that holds an unexpired lease; any process may take an expired one.
 * 4. A process slot belongs to the life in it (base/life.h). A process that finds that life ended
 *    takes the slot over by compare-and-swap, and only then clears it.
 * 5. On a page of version 1, which is kept as long as shares are on it, programs of that version and
 *    of this one meet. There a slot is taken by its `pid` first, as that version does, and a slot
 *    with a pid namespace is one of its processes: `life` is the start time, and only a process of
 *    that namespace judges. It frees no slot of ours, because they name no namespace.
 *
 * Owner: the daemon creates the file and writes policies with pwrite(); processes write the rest.
 * Every tenant of the GPU can write the whole page (ADR 17), so the daemon trusts nothing in it.
 * Threads: any; there is no lock, every word that several processes write is atomic.
 * Limits: 64 shares, 256 processes and 24 processes with high-priority work at the same time. Sizes
 * and offsets are part of the ABI; new fields use reserved space.
 */
#ifndef GS_GPU_PAGE_H
#define GS_GPU_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define GS_GPU_PAGE_MAGIC 0x4452414f425347ull /* "GSBOARD" */
#define GS_GPU_PAGE_VERSION 2u
#define GS_GPU_PAGE_FORMER 1u /* invariant 5 */

enum { GS_SHARE_SLOTS = 64, GS_PROCESS_SLOTS = 256, GS_PREEMPT_BITS = 24, GS_SHARE_ID = 16 };
enum { GS_CLOSED_PREEMPT = (1 << GS_PREEMPT_BITS) - 1, GS_CLOSED_TURN = 1 << GS_PREEMPT_BITS };
enum { GS_FULL = 10000 }; /* compute is counted in basis points */

enum gs_rank { GS_LOW, GS_NORMAL, GS_HIGH };

/* The settings of a share, written by the daemon. */
struct gs_share_policy {
    char share[GS_SHARE_ID]; /* empty: the share slot is free */
    uint32_t rank;           /* enum gs_rank */
    uint32_t limit;          /* basis points */
    uint32_t request;        /* basis points; at most the limit */
    uint32_t quantum_us;     /* low rank: the most GPU time between two fences */
    uint32_t minimum;        /* low rank: what high-priority work leaves it, basis points */
    uint32_t grace_us; /* high rank: gates stay closed in shorter pauses; 0: learned */
    uint32_t timeslice_us; /* time-slicing by the driver: the timeslice; 0: the default */
    uint32_t reserved[5];
};

/* One share on this GPU. Times are nanoseconds of CLOCK_MONOTONIC or sums of them. */
struct gs_share_slot {
    struct gs_share_policy policy;
    uint32_t gate; /* 0: open. On its own cache line, as the GPU reads it over the bus */
    uint32_t gate_padding[15];
    uint32_t sleepers; /* threads waiting for the gate; may be too many, never too few */
    uint32_t sleepers_padding;
    uint64_t opened_at, closed_at; /* by the arbiter: begin and end of the last turn */
    uint64_t turns;
    uint64_t starvation_window; /* the newest window that a process checks, see starvation.c */
    uint64_t turn_reserved[3];
    uint64_t wanted_ns; /* under turns: time in which it had or wanted GPU work */
    uint64_t open_ns; /* the part of wanted_ns with an open gate */
    uint64_t overrun_ns; /* GPU time of work that ran on after its turn */
    uint64_t busy_ns; /* GPU time of its work, as far as it was measured */
    uint64_t waits; /* launches that waited on the host */
    uint64_t waited_ns;
    uint64_t fences; /* waits for the gate that were put into streams */
    uint64_t longest_ns; /* the longest single launch */
    uint64_t preemptions; /* high rank: how often its work closed gates */
    uint64_t preempt_ns; /* and for how long in total */
    uint64_t grace_ns; /* the grace in use now */
    uint64_t overrides; /* times its gates were ignored because it was silent or dead */
    uint64_t starvation_runs; /* low rank: times it ran during high-priority work */
    uint64_t launches; /* work handed to the GPU: launches and copies, gated or not */
    uint64_t timeslice_us; /* the timeslice last requested of the driver; 0: none */
    uint64_t counters_reserved[9];
};

/* One process. It owns the bit of the gates whose number is `preempt_bit` - 1. */
struct gs_process_slot {
    int32_t pid; /* 0: not in use; of its own pid namespace; negative: being taken */
    uint32_t pid_namespace; /* 0, but for processes of version 1 */
    uint64_t life; /* of its process, in this file; 0: free */
    uint32_t share_slot;
    uint32_t preempt_bit;
    uint64_t beat_ns; /* heartbeat */
    uint64_t until_ns; /* high rank: its bits expire at this time */
    uint64_t want_ns; /* when it last wanted to use the GPU */
    uint32_t busy; /* threads waiting for the GPU or for the gate */
    uint32_t draining; /* about to be suspended: its queued work may run to its end */
    uint64_t reserved[9];
};

struct gs_gpu_page {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, share_slot_size, process_slot_size;
    uint32_t share_slot_count, process_slot_count;
    uint32_t process_slots_high; /* process slots from here on were never used */
    uint32_t padding;
    uint32_t preempt_bits; /* owned by process slots of high rank; not 0: low ranks have fences */
    uint32_t turns; /* not 0: the arbiter gives turns; all ranks but high have fences */
    uint64_t lease; /* upper 16 bits: process slot of the arbiter + 1; below: end in us */
    uint64_t passes; /* decisions of the arbiter */
    char uuid[64];
    uint64_t header_reserved[16];
    struct gs_share_slot share_slot[GS_SHARE_SLOTS];
    struct gs_process_slot process_slot[GS_PROCESS_SLOTS];
};

/* For the daemon. A negative errno on failure: -EBADMSG for a file that is not a GPU page. */
int gpushare_gpu_page_create(const char *path, const char *uuid);
int gpushare_gpu_page_set_share(const char *path, unsigned slot,
                                const struct gs_share_policy *policy);

/* Maps a GPU page; NULL and errno on failure. */
struct gs_gpu_page *gs_gpu_page_map(const char *path);
void gs_gpu_page_unmap(struct gs_gpu_page *page);

/* Takes a process slot for this process; -1 when all are in use or no life can begin. */
int gs_gpu_page_join(struct gs_gpu_page *page, uint32_t share_slot);
void gs_gpu_page_leave(struct gs_gpu_page *page, int number);

/* Opens what the process holds closed. The slot stays, because threads may be counted in it. */
void gs_gpu_page_retire(struct gs_gpu_page *page, int number);

/*
 * The bit of the process, taken at the first call; 0 when all are in use: it cannot preempt then.
 */
uint32_t gs_gpu_page_preempt_bit(struct gs_gpu_page *page, int number);

/* Frees the process slots and bits of dead processes and returns how many. `life`: the caller's. */
int gs_gpu_page_sweep(struct gs_gpu_page *page, uint64_t life);

/* Closes the gates of all low-rank shares; opens those of all shares. */
void gs_gpu_page_close(struct gs_gpu_page *page, uint32_t bits);
void gs_gpu_page_open(struct gs_gpu_page *page, uint32_t bits);

/* The same for one share slot. */
void gs_share_slot_close(struct gs_share_slot *slot, uint32_t bits);
void gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits);

/* Waits while any of the bits is set, but no longer than `at_most_ns`. */
void gs_share_slot_wait(struct gs_share_slot *slot, uint32_t bits, uint64_t at_most_ns);

/* For words that other threads and processes use too, where no order matters. */
#define GS_READ(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define GS_WRITE(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)

#endif
