/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU's board: one file, mapped by every process of every share that uses the GPU. Who may launch work now, and
 * why not, stands here; gpushare.guard.gpu_page mirrors the layout.
 *
 * Invariants:
 * 1. A seat's word is 0 exactly when its programs may run. The GPU itself polls it, so closing it stops work that
 *    was queued long before, and opening it costs no round trip through the host.
 * 2. A bit of a word is set and cleared by one party: bits of GS_SHUT_URGENT by the rider that owns the bit (or, when
 *    that one is dead or silent, by whoever waits), GS_SHUT_TURN by the conductor.
 * 3. The conductor is whoever holds an unexpired lease; everybody may take an expired one.
 */
#ifndef GS_GPU_PAGE_H
#define GS_GPU_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define GS_BOARD_MAGIC 0x4452414f425347ull /* "GSBOARD" */
#define GS_BOARD_VERSION 1u

enum { GS_SEATS = 64, GS_RIDERS = 256, GS_URGENT = 24, GS_SHARE_ID = 16 };
enum { GS_SHUT_URGENT = (1 << GS_URGENT) - 1, GS_SHUT_TURN = 1 << GS_URGENT };
enum { GS_FULL = 10000 }; /* compute is counted in basis points */

enum gs_rank { GS_LOW, GS_NORMAL, GS_HIGH };

/* What the daemon says of a share. */
struct gs_seat_policy {
    char share[GS_SHARE_ID]; /* empty: the seat is free */
    uint32_t rank;           /* enum gs_rank */
    uint32_t limit;          /* the most it gets, in basis points */
    uint32_t request;        /* what it gets whenever it wants it */
    uint32_t quantum_us;     /* low rank: the most GPU time between two looks at the word */
    uint32_t floor;          /* low rank: what urgent work leaves it at least, in basis points */
    uint32_t grace_us;       /* high rank: pauses shorter than this are bridged; 0: learned; 1: none is */
    uint32_t slice_us;       /* where contexts take turns: how long its programs have the GPU; 0: as the driver likes */
    uint32_t reserved[5];
};

/* One share on this GPU. Times are nanoseconds of CLOCK_MONOTONIC or sums of them. */
struct gs_seat {
    struct gs_seat_policy policy;
    uint32_t word; /* 0: open. On a line of its own, for the GPU reads it over the bus */
    uint32_t word_padding[15];
    uint32_t sleepers; /* threads that wait for the word on the host; may be too many, never too few */
    uint32_t sleepers_padding;
    uint64_t opened_at, shut_at; /* by the conductor: when a turn last began and when one last ended */
    uint64_t turns;
    uint64_t floor_window; /* the newest tenth of a second that somebody looks after, see schedule/decide/starvation.c */
    uint64_t turn_reserved[3];
    uint64_t wanted_ns;    /* under turns: time in which its programs had or wanted GPU work */
    uint64_t open_ns;      /* of that, while its word was open */
    uint64_t overrun_ns;   /* GPU time of work that ran on after its turn */
    uint64_t busy_ns;      /* GPU time of its work, as far as it was measured */
    uint64_t waits;        /* launches that waited on the host */
    uint64_t waited_ns;
    uint64_t fences;       /* looks at the word that were put into streams */
    uint64_t longest_ns;   /* the longest single launch */
    uint64_t raises;       /* high rank: how often its work became urgent */
    uint64_t raised_ns;    /* and for how long in all */
    uint64_t grace_ns;     /* the pause that is bridged now */
    uint64_t stuck;        /* times that urgent work was overruled because nothing moved */
    uint64_t floors;       /* low rank: times it ran beside urgent work to not starve */
    uint64_t launches;     /* work handed to the GPU: launches and copies, gated or not */
    uint64_t slice_us;     /* the time slice that was asked of the driver last; 0: its own */
    uint64_t counters_reserved[9];
};

/* One process. Who owns a seat's urgent bit is the rider whose `urgent` is that bit's number plus one. */
struct gs_rider {
    int32_t pid; /* 0: free */
    uint32_t pid_namespace;
    uint64_t start; /* clock ticks since boot */
    uint32_t seat;
    uint32_t urgent;
    uint64_t beat_ns;  /* its newest sign of life */
    uint64_t until_ns; /* high rank: its bits mean nothing from then on */
    uint64_t want_ns;  /* its newest wish to use the GPU */
    uint32_t busy;     /* threads that wait for the GPU or at the gate */
    uint32_t draining; /* it is about to be suspended: let its work end */
    uint64_t reserved[9];
};

struct gs_board {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, seat_size, rider_size;
    uint32_t seat_count, rider_count;
    uint32_t riders_high; /* riders from here on were never used */
    uint32_t padding;
    uint32_t urgent;      /* bits in use by living riders of high rank; low seats are fenced while it is not 0 */
    uint32_t turns;       /* not 0: the conductor gives turns, and all but high seats are fenced */
    uint64_t lease;       /* of the conductor: rider index + 1 in the upper 16 bits, microseconds of its end below */
    uint64_t passes;      /* of the conductor */
    char uuid[64];
    uint64_t header_reserved[16];
    struct gs_seat seat[GS_SEATS];
    struct gs_rider rider[GS_RIDERS];
};

/* For the daemon; each returns a negative errno on failure: -EBADMSG for a file that is no board. */
int gpushare_board_create(const char *path, const char *uuid);
int gpushare_board_seat(const char *path, unsigned seat, const struct gs_seat_policy *policy);

/* NULL and errno on failure. */
struct gs_board *gs_board_map(const char *path);
void gs_board_unmap(struct gs_board *board);

/* The process' rider, made or found; -1 when there is no room. */
int gs_board_join(struct gs_board *board, uint32_t seat);
void gs_board_leave(struct gs_board *board, int rider);

/* It stays, for threads may be counted in it, but what it holds shut is opened. */
void gs_board_hush(struct gs_board *board, int rider);

/* The rider's own bit, taken at the first call; 0 when all are in use: its work is not protected then. */
uint32_t gs_board_urgent_bit(struct gs_board *board, int rider);

/* Frees the riders of dead processes and their bits; how many. */
int gs_board_sweep(struct gs_board *board);

/* Set in every low seat's word, cleared in every seat's. */
void gs_board_shut(struct gs_board *board, uint32_t bits);
void gs_board_open(struct gs_board *board, uint32_t bits);

/* The same for one seat. */
void gs_seat_shut(struct gs_seat *seat, uint32_t bits);
void gs_seat_open(struct gs_seat *seat, uint32_t bits);

/* Waits while any of the bits is set, at most that long. */
void gs_seat_wait(struct gs_seat *seat, uint32_t bits, uint64_t at_most_ns);

/* Words that others write and read meanwhile, where no order matters. */
#define GS_READ(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define GS_WRITE(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)

#endif
