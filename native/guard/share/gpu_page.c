/* SPDX-License-Identifier: Apache-2.0 */
#include "share/gpu_page.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

static_assert(offsetof(struct gs_board, seat) == 256, "the header is 256 bytes");
static_assert(sizeof(struct gs_seat) == 384, "a seat is 384 bytes");
static_assert(offsetof(struct gs_seat, word) % 64 == 0, "the word begins a cache line");
static_assert(sizeof(struct gs_rider) == 128, "a rider is 128 bytes");

static bool mine(const struct gs_rider *rider, int32_t pid, uint32_t namespace, uint64_t start)
{
    return GS_READ(rider->pid) == pid && rider->pid_namespace == namespace && rider->start == start;
}

/* The pid is set last and cleared first: whoever sees it sees the rest. */
static void fill(struct gs_rider *rider, int32_t pid, uint32_t namespace, uint64_t start)
{
    rider->pid_namespace = namespace;
    rider->start = start;
    GS_WRITE(rider->urgent, 0);
    GS_WRITE(rider->busy, 0);
    GS_WRITE(rider->draining, 0);
    __atomic_store_n(&rider->until_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&rider->beat_ns, gs_now(), __ATOMIC_RELAXED);
    __atomic_store_n(&rider->pid, pid, __ATOMIC_RELEASE);
}

static int claim(struct gs_board *board)
{
    for (uint32_t i = 0; i < GS_RIDERS; i++) {
        int32_t free = 0;
        if (!__atomic_compare_exchange_n(&board->rider[i].pid, &free, -1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        uint32_t high = __atomic_load_n(&board->riders_high, __ATOMIC_RELAXED);
        while (high <= i && !__atomic_compare_exchange_n(&board->riders_high, &high, i + 1, false, __ATOMIC_ACQ_REL,
                                                         __ATOMIC_RELAXED))
            ;
        return (int)i;
    }
    return -1;
}

/* An exec keeps pid and start time: what the old program left raised is opened. */
static void drop_bits(struct gs_board *board, struct gs_rider *rider)
{
    uint32_t number = GS_READ(rider->urgent);
    if (!number)
        return;
    GS_WRITE(rider->urgent, 0);
    __atomic_store_n(&rider->until_ns, 0, __ATOMIC_SEQ_CST);
    gs_board_open(board, 1u << (number - 1));
    __atomic_and_fetch(&board->urgent, ~(1u << (number - 1)), __ATOMIC_SEQ_CST);
}

static int find_or_claim(struct gs_board *board, int32_t pid, uint32_t namespace, uint64_t start)
{
    for (uint32_t i = 0; i < board->riders_high && i < GS_RIDERS; i++)
        if (mine(&board->rider[i], pid, namespace, start)) {
            drop_bits(board, &board->rider[i]);
            return (int)i;
        }
    int free = claim(board);
    return free < 0 && gs_board_sweep(board) ? claim(board) : free;
}

int gs_board_join(struct gs_board *board, uint32_t seat)
{
    int kept_errno = errno;
    int32_t pid = getpid();
    uint32_t namespace = gs_process_namespace();
    uint64_t start = gs_process_start(pid);
    int place = find_or_claim(board, pid, namespace, start);
    if (place >= 0) {
        board->rider[place].seat = seat;
        fill(&board->rider[place], pid, namespace, start);
    }
    errno = kept_errno;
    return place;
}

uint32_t gs_board_urgent_bit(struct gs_board *board, int place)
{
    struct gs_rider *rider = &board->rider[place];
    uint32_t used = __atomic_load_n(&board->urgent, __ATOMIC_SEQ_CST);
    while (!GS_READ(rider->urgent) && (~used & GS_SHUT_URGENT)) {
        uint32_t bit = ~used & GS_SHUT_URGENT & -(~used & GS_SHUT_URGENT);
        if (__atomic_compare_exchange_n(&board->urgent, &used, used | bit, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            GS_WRITE(rider->urgent, (uint32_t)__builtin_ctz(bit) + 1);
    }
    uint32_t number = GS_READ(rider->urgent);
    return number ? 1u << (number - 1) : 0;
}

void gs_board_leave(struct gs_board *board, int place)
{
    drop_bits(board, &board->rider[place]);
    __atomic_store_n(&board->rider[place].pid, 0, __ATOMIC_RELEASE);
}

void gs_board_hush(struct gs_board *board, int place)
{
    drop_bits(board, &board->rider[place]);
}

int gs_board_sweep(struct gs_board *board)
{
    int kept_errno = errno, swept = 0;
    uint32_t namespace = gs_process_namespace();
    for (uint32_t i = 0; i < board->riders_high && i < GS_RIDERS; i++) {
        struct gs_rider *rider = &board->rider[i];
        int32_t pid = __atomic_load_n(&rider->pid, __ATOMIC_ACQUIRE);
        /* A pid means nothing outside its namespace; such a rider is not ours to judge. */
        if (pid <= 0 || rider->pid_namespace != namespace || gs_process_alive(pid, rider->start))
            continue;
        gs_board_leave(board, (int)i);
        swept++;
    }
    errno = kept_errno;
    return swept;
}

static bool taken(const struct gs_seat *seat)
{
    return seat->policy.share[0] != '\0';
}

void gs_seat_shut(struct gs_seat *seat, uint32_t bits)
{
    __atomic_or_fetch(&seat->word, bits, __ATOMIC_SEQ_CST);
}

void gs_seat_open(struct gs_seat *seat, uint32_t bits)
{
    uint32_t before = __atomic_fetch_and(&seat->word, ~bits, __ATOMIC_SEQ_CST);
    if ((before & bits) && __atomic_load_n(&seat->sleepers, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &seat->word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void gs_board_shut(struct gs_board *board, uint32_t bits)
{
    for (int i = 0; i < GS_SEATS; i++)
        if (taken(&board->seat[i]) && board->seat[i].policy.rank == GS_LOW)
            gs_seat_shut(&board->seat[i], bits);
}

void gs_board_open(struct gs_board *board, uint32_t bits)
{
    for (int i = 0; i < GS_SEATS; i++)
        if (__atomic_load_n(&board->seat[i].word, __ATOMIC_RELAXED) & bits)
            gs_seat_open(&board->seat[i], bits);
}

void gs_seat_wait(struct gs_seat *seat, uint32_t bits, uint64_t at_most_ns)
{
    int kept_errno = errno;
    uint64_t until = gs_now() + at_most_ns, now;
    __atomic_add_fetch(&seat->sleepers, 1, __ATOMIC_SEQ_CST);
    uint32_t word;
    while (((word = __atomic_load_n(&seat->word, __ATOMIC_SEQ_CST)) & bits) && (now = gs_now()) < until) {
        struct timespec left = {(time_t)((until - now) / 1000000000u), (long)((until - now) % 1000000000u)};
        syscall(SYS_futex, &seat->word, FUTEX_WAIT, word, &left, NULL, 0);
    }
    __atomic_sub_fetch(&seat->sleepers, 1, __ATOMIC_SEQ_CST);
    errno = kept_errno;
}
