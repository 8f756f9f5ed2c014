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
#include "base/life.h"
#include "base/process.h"
#include "base/shared_file.h"

static_assert(offsetof(struct gs_gpu_page, share_slot) == 256, "the header is 256 bytes");
static_assert(sizeof(struct gs_share_slot) == 384, "a share slot is 384 bytes");
static_assert(offsetof(struct gs_share_slot, gate) % 64 == 0, "the gate begins a cache line");
static_assert(sizeof(struct gs_process_slot) == 128, "a process slot is 128 bytes");

/* The pid is set last and cleared first, so a slot with a pid is complete. */
static void fill(struct gs_process_slot *process, uint32_t share_slot)
{
    process->share_slot = share_slot;
    GS_WRITE(process->preempt_bit, 0);
    GS_WRITE(process->busy, 0);
    GS_WRITE(process->draining, 0);
    __atomic_store_n(&process->until_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&process->beat_ns, gs_now(), __ATOMIC_RELAXED);
    __atomic_store_n(&process->pid, getpid(), __ATOMIC_RELEASE);
}

/* Invariant 4. */
static bool take_over(struct gs_process_slot *process, uint64_t from, uint64_t life)
{
    return __atomic_compare_exchange_n(&process->life, &from, life, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static bool former(const struct gs_gpu_page *page)
{
    return page->version == GS_GPU_PAGE_FORMER;
}

/* Invariant 5: processes of version 1 know a free slot by its pid. */
static bool take_free(struct gs_gpu_page *page, struct gs_process_slot *process, uint64_t life)
{
    int32_t none = 0;
    if (!former(page))
        return take_over(process, 0, life);
    if (!__atomic_compare_exchange_n(&process->pid, &none, -1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    GS_WRITE(process->pid_namespace, 0);
    __atomic_store_n(&process->life, life, __ATOMIC_RELEASE);
    return true;
}

static bool ended(const struct gs_gpu_page *page, const struct gs_process_slot *process,
                  uint64_t life, int fd)
{
    uint32_t namespace = former(page) ? GS_READ(process->pid_namespace) : 0;
    int32_t pid = __atomic_load_n(&process->pid, __ATOMIC_ACQUIRE);
    if (!namespace)
        return (!former(page) || pid > 0) && gs_life_ended(fd, life);
    return pid > 0 && namespace == gs_process_namespace() && !gs_process_alive(pid, life);
}

static int claim(struct gs_gpu_page *page, uint64_t life)
{
    for (uint32_t i = 0; i < GS_PROCESS_SLOTS; i++) {
        if (!take_free(page, &page->process_slot[i], life))
            continue;
        uint32_t high = __atomic_load_n(&page->process_slots_high, __ATOMIC_RELAXED);
        while (high <= i
               && !__atomic_compare_exchange_n(&page->process_slots_high, &high, i + 1, false,
                                               __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            ;
        return (int)i;
    }
    return -1;
}

/* Opens what the process holds closed. */
static void drop_bits(struct gs_gpu_page *page, struct gs_process_slot *process)
{
    uint32_t number = GS_READ(process->preempt_bit);
    if (!number)
        return;
    GS_WRITE(process->preempt_bit, 0);
    __atomic_store_n(&process->until_ns, 0, __ATOMIC_SEQ_CST);
    gs_gpu_page_open(page, 1u << (number - 1));
    __atomic_and_fetch(&page->preempt_bits, ~(1u << (number - 1)), __ATOMIC_SEQ_CST);
}

int gs_gpu_page_join(struct gs_gpu_page *page, uint32_t share_slot)
{
    uint64_t life = gs_life_begin(page);
    if (!life)
        return -1;
    /* First, because an earlier program of this process may have left gates closed. */
    gs_gpu_page_sweep(page, life);
    int number = claim(page, life);
    if (number >= 0)
        fill(&page->process_slot[number], share_slot);
    return number;
}

uint32_t gs_gpu_page_preempt_bit(struct gs_gpu_page *page, int number)
{
    struct gs_process_slot *process = &page->process_slot[number];
    uint32_t used = __atomic_load_n(&page->preempt_bits, __ATOMIC_SEQ_CST);
    while (!GS_READ(process->preempt_bit) && (~used & GS_CLOSED_PREEMPT)) {
        uint32_t bit = ~used & GS_CLOSED_PREEMPT & -(~used & GS_CLOSED_PREEMPT);
        if (__atomic_compare_exchange_n(&page->preempt_bits, &used, used | bit, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            GS_WRITE(process->preempt_bit, (uint32_t)__builtin_ctz(bit) + 1);
    }
    uint32_t own = GS_READ(process->preempt_bit);
    return own ? 1u << (own - 1) : 0;
}

void gs_gpu_page_leave(struct gs_gpu_page *page, int number)
{
    struct gs_process_slot *process = &page->process_slot[number];
    drop_bits(page, process);
    if (former(page)) {
        /* What frees the slot comes last: there it is the pid. */
        __atomic_store_n(&process->life, 0, __ATOMIC_RELEASE);
        GS_WRITE(process->pid_namespace, 0);
        __atomic_store_n(&process->pid, 0, __ATOMIC_RELEASE);
        return;
    }
    __atomic_store_n(&process->pid, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&process->life, 0, __ATOMIC_RELEASE);
}

void gs_gpu_page_retire(struct gs_gpu_page *page, int number)
{
    drop_bits(page, &page->process_slot[number]);
}

int gs_gpu_page_sweep(struct gs_gpu_page *page, uint64_t life)
{
    int kept_errno = errno, swept = 0, fd = gs_shared_file_reopen(page);
    for (uint32_t i = 0; i < page->process_slots_high && i < GS_PROCESS_SLOTS; i++) {
        struct gs_process_slot *process = &page->process_slot[i];
        uint64_t theirs = __atomic_load_n(&process->life, __ATOMIC_ACQUIRE);
        if (!theirs || !ended(page, process, theirs, fd) || !take_over(process, theirs, life))
            continue;
        gs_gpu_page_leave(page, (int)i);
        swept++;
    }
    if (fd >= 0)
        close(fd);
    errno = kept_errno;
    return swept;
}

static bool taken(const struct gs_share_slot *slot)
{
    return slot->policy.share[0] != '\0';
}

void gs_share_slot_close(struct gs_share_slot *slot, uint32_t bits)
{
    __atomic_or_fetch(&slot->gate, bits, __ATOMIC_SEQ_CST);
}

void gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits)
{
    uint32_t before = __atomic_fetch_and(&slot->gate, ~bits, __ATOMIC_SEQ_CST);
    if ((before & bits) && __atomic_load_n(&slot->sleepers, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &slot->gate, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void gs_gpu_page_close(struct gs_gpu_page *page, uint32_t bits)
{
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        if (taken(&page->share_slot[i]) && page->share_slot[i].policy.rank == GS_LOW)
            gs_share_slot_close(&page->share_slot[i], bits);
}

void gs_gpu_page_open(struct gs_gpu_page *page, uint32_t bits)
{
    for (int i = 0; i < GS_SHARE_SLOTS; i++)
        if (__atomic_load_n(&page->share_slot[i].gate, __ATOMIC_RELAXED) & bits)
            gs_share_slot_open(&page->share_slot[i], bits);
}

void gs_share_slot_wait(struct gs_share_slot *slot, uint32_t bits, uint64_t at_most_ns)
{
    int kept_errno = errno;
    uint64_t until = gs_now() + at_most_ns, now;
    __atomic_add_fetch(&slot->sleepers, 1, __ATOMIC_SEQ_CST);
    uint32_t gate;
    while (((gate = __atomic_load_n(&slot->gate, __ATOMIC_SEQ_CST)) & bits)
           && (now = gs_now()) < until) {
        struct timespec left = {(time_t)((until - now) / 1000000000u),
                                (long)((until - now) % 1000000000u)};
        syscall(SYS_futex, &slot->gate, FUTEX_WAIT, gate, &left, NULL, 0);
    }
    __atomic_sub_fetch(&slot->sleepers, 1, __ATOMIC_SEQ_CST);
    errno = kept_errno;
}
