/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dead processes left in a region, a GPU page and a host pool is freed by any process, also by
 * one of another pid namespace, and what the living have is kept. A life ends with the process or
 * its exec, and not with the descriptors that it closes or the children that it leaves.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/life.h"
#include "base/process.h"
#include "check.h"
#include "elsewhere.h"
#include "schedule/decide/arbiter.h"
#include "schedule/process/attachment.h"
#include "share/gpu_page.h"
#include "share/lease.h"
#include "share/region.h"
#include "share/swap_pool.h"

#define MIB (1ull << 20)

enum { UNIT = 4096 };

static const struct gpushare_grant grant = {"GPU-00000000-1111-2222-3333-444444444444", 64 * MIB, 0,
                                            0};
static struct gs_region *region;
static struct gs_gpu_page *page;
static struct gs_swap_pool *pool;
static char folder[64], region_path[80], page_path[80];
static uint64_t judge; /* the life of the process that sweeps, on the page */

static struct gs_share_slot *low(void)
{
    return &page->share_slot[3];
}

static void reset(void)
{
    memset(region->slot, 0, sizeof region->slot);
    region->slots_high = 0;
    memset(page->process_slot, 0, sizeof page->process_slot);
    page->preempt_bits = low()->gate = 0;
    strcpy(low()->policy.share, "low");
    low()->policy.rank = GS_LOW;
    memset(pool->owner, 0, sizeof pool->owner);
}

/* What a process has in all three: memory, a closed gate, a unit. */
static void take_part(void)
{
    int data;
    uint64_t life;
    CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, MIB));
    int number = gs_gpu_page_join(page, 5);
    CHECK(number == 0);
    gs_gpu_page_close(page, gs_gpu_page_preempt_bit(page, number));
    CHECK(gs_swap_pool_map(folder, &data, &life) && gs_swap_pool_take(pool, 0, life));
}

static void sweep(int expected)
{
    CHECK(gs_region_sweep(region, gs_life_begin(region)) == expected);
    CHECK(gs_gpu_page_sweep(page, judge) == expected);
    CHECK(gpushare_swap_pool_reap(folder) == expected);
}

static void check_kept(void)
{
    CHECK(gs_region_used(region, 0) == MIB && region->slot[0].pid);
    CHECK(page->process_slot[0].pid && low()->gate);
    CHECK(pool->owner[0].owner);
}

static void check_freed(void)
{
    CHECK(gs_region_used(region, 0) == 0 && !region->slot[0].pid);
    CHECK(!page->process_slot[0].pid && !page->process_slot[0].life && !low()->gate);
    CHECK(!pool->owner[0].owner);
}

static void wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void leave_behind(void)
{
    reset();
    pid_t child = fork();
    if (child == 0) {
        take_part();
        _exit(0);
    }
    wait_for(child);
    check_kept();
}

static void the_dead_are_freed(void)
{
    leave_behind();
    sweep(1);
    check_freed();
}

/* Killed while it waited for the GPU: the arbiter must not give it turns for good. */
static void the_dead_want_no_turns(void)
{
    reset();
    CHECK(gs_gpu_page_join(page, 3) == 0);
    page->process_slot[0].busy = 1;
    page->process_slot[1] = (struct gs_process_slot){.pid = 7, .life = 1ull << 50, .busy = 1};
    page->process_slots_high = 2;
    low()->policy.limit = GS_FULL / 2;
    struct gs_attachment attachment = {.page = page,
                                       .share = low(),
                                       .process = &page->process_slot[0]};
    gs_arbiter_tick(&attachment, 0, gs_now());
    CHECK(page->process_slot[0].pid && !page->process_slot[1].pid && page->passes == 1);
    gs_arbiter_forget();
    low()->policy.limit = GS_FULL;
    gs_lease_drop(page, 0);
    page->turns = 0;
}

/* Invariant 5 of gpu_page.h: programs of version 1 and of this one on the same page. */
static void a_page_of_version_1_is_shared_with_its_programs(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    wait_for(child);
    reset();
    page->version = GS_GPU_PAGE_FORMER;
    CHECK(gs_gpu_page_map(page_path));
    struct gs_process_slot *slot = page->process_slot;
    slot[0] = (struct gs_process_slot){.pid = getpid(),
                                       .pid_namespace = gs_process_namespace(),
                                       .life = gs_process_start(getpid())};
    slot[1] =
        (struct gs_process_slot){.pid = child, .pid_namespace = gs_process_namespace(), .life = 1};
    slot[2].pid = -1; /* about to be taken by a program of version 1, which has no life yet */
    page->process_slots_high = 3;
    CHECK(gs_gpu_page_sweep(page, judge) == 1 && slot[0].pid && !slot[1].pid && slot[2].pid == -1);
    CHECK(gs_gpu_page_join(page, 5) == 1 && gs_gpu_page_join(page, 5) == 3);
    CHECK(!slot[1].pid_namespace && slot[1].pid == getpid() && slot[1].life);
    CHECK(gs_gpu_page_sweep(page, judge) == 0);
    gs_gpu_page_leave(page, 1);
    CHECK(!slot[1].pid && !slot[1].life);
    page->version = GS_GPU_PAGE_VERSION;
}

static void the_living_are_kept(void)
{
    int end[2];
    char byte;
    reset();
    CHECK(pipe(end) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(end[1]);
        take_part();
        sweep(0);
        _exit(read(end[0], &byte, 1) != 0);
    }
    while (!__atomic_load_n(&pool->owner[0].owner, __ATOMIC_SEQ_CST))
        sched_yield();
    sweep(0);
    check_kept();
    close(end[0]);
    close(end[1]);
    wait_for(child);
}

/* A life that is judged by others while this process does something that must not end it. */
static void check_survives(void (*act)(void))
{
    int told[2], end[2];
    char byte;
    reset();
    CHECK(pipe(told) == 0 && pipe(end) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(dup2(told[1], 1) == 1 && dup2(end[0], 0) == 0);
        close(told[0]);
        close(end[1]);
        take_part();
        act();
        CHECK(write(1, "x", 1) == 1);
        _exit(read(0, &byte, 1) != 0);
    }
    close(told[1]);
    close(end[0]);
    CHECK(read(told[0], &byte, 1) == 1);
    sweep(0);
    check_kept();
    close(end[1]);
    close(told[0]);
    wait_for(child);
    sweep(1);
    check_freed();
}

static void close_everything(void)
{
    CHECK(syscall(SYS_close_range, 3u, ~0u, 0u) == 0);
    sweep(0);
}

/* Then it cannot open the files and frees nothing. Containers refuse it to users without root. */
static bool enter_another_root(void)
{
    return (geteuid() == 0 || unshare(CLONE_NEWUSER) == 0) && chroot("/proc/self") == 0;
}

static bool may_enter_another_root(void)
{
    pid_t child = fork();
    int status = child == 0 ? !enter_another_root() : 0;
    if (child == 0)
        _exit(status);
    return waitpid(child, &status, 0) == child && status == 0;
}

static void change_the_root(void)
{
    CHECK(enter_another_root() && gs_life_begin(region) == 0);
    CHECK(gs_region_sweep(region, 0) == 0);
    CHECK(gs_gpu_page_sweep(page, judge) == 0);
}

static void fork_and_lose_the_child(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    wait_for(child);
}

/* Without the handlers that fork() runs, as some run-time systems do. */
static void a_child_does_not_keep_its_parent(void)
{
    int end[2];
    char byte;
    reset();
    CHECK(pipe(end) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(end[1]);
        take_part();
        if (syscall(SYS_fork) == 0)
            _exit(read(end[0], &byte, 1) != 0);
        _exit(0);
    }
    close(end[0]);
    wait_for(child);
    sweep(1);
    check_freed();
    close(end[1]);
}

/* What a program does after this one has executed it. */
static void judge_after_exec(void)
{
    sweep(1);
    check_freed();
}

static void an_exec_ends_the_life(const char *program)
{
    reset();
    pid_t child = fork();
    if (child == 0) {
        take_part();
        execl(program, program, folder, NULL);
        _exit(1);
    }
    wait_for(child);
}

static void another_file_of_that_name_says_nothing(void)
{
    leave_behind();
    struct gs_region *old = region;
    CHECK(gpushare_region_create(region_path, &grant, 1) == 0);
    CHECK(gs_life_begin(old) == 0 && gs_region_sweep(old, 0) == 0);
    gs_region_unmap(old);
    region = gs_region_map(region_path);
    CHECK(region);
}

static void judge_here(void)
{
    judge = gs_life_begin(page);
    sweep(1);
    check_freed();
}

static void a_process_in_a_container_is_judged_from_outside(void)
{
    struct elsewhere there;
    reset();
    if (!start_elsewhere(&there, take_part))
        return;
    CHECK(region->slot[0].pid == 1);
    sweep(0);
    check_kept();
    end_elsewhere(&there);
    sweep(1);
    check_freed();
}

static void a_process_outside_is_judged_from_a_container(void)
{
    struct elsewhere there;
    leave_behind();
    if (start_elsewhere(&there, judge_here))
        end_elsewhere(&there);
}

/* Where the file system has no such locks. */
static void without_a_life_only_the_own_namespace_judges(void)
{
    leave_behind();
    region->slot[0].life = GS_REGION_NO_LIFE | (uint32_t)region->slot[0].pid;
    region->slot[0].pid_namespace = gs_process_namespace() + 1;
    CHECK(gs_region_sweep(region, 0) == 0);
    region->slot[0].pid_namespace--;
    CHECK(gs_region_sweep(region, 0) == 1);
}

static void map_all(void)
{
    int data;
    uint64_t life;
    snprintf(region_path, sizeof region_path, "%s/region", folder);
    snprintf(page_path, sizeof page_path, "%s/page", folder);
    region = gs_region_map(region_path);
    page = gs_gpu_page_map(page_path);
    pool = gs_swap_pool_map(folder, &data, &life);
    CHECK(region && page && pool && (judge = gs_life_begin(page)));
}

static void begin(void)
{
    char path[80];
    snprintf(folder, sizeof folder, "/tmp/gs-liveness-test-%d", (int)getpid());
    CHECK(mkdir(folder, 0700) == 0 && gpushare_swap_pool_create(folder, 4 * UNIT, UNIT) == 0);
    snprintf(path, sizeof path, "%s/region", folder);
    CHECK(gpushare_region_create(path, &grant, 1) == 0);
    snprintf(path, sizeof path, "%s/page", folder);
    CHECK(gpushare_gpu_page_create(path, grant.uuid) == 0);
    map_all();
}

static void end(void)
{
    char file[80];
    for (const char **name = (const char *[]){"table", "data", "region", "page", NULL}; *name;
         name++) {
        snprintf(file, sizeof file, "%s/%s", folder, *name);
        unlink(file);
    }
    rmdir(folder);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        snprintf(folder, sizeof folder, "%s", arguments[1]);
        map_all();
        judge_after_exec();
        return 0;
    }
    begin();
    the_dead_are_freed();
    the_dead_want_no_turns();
    a_page_of_version_1_is_shared_with_its_programs();
    the_living_are_kept();
    check_survives(close_everything);
    if (may_enter_another_root())
        check_survives(change_the_root);
    check_survives(fork_and_lose_the_child);
    a_child_does_not_keep_its_parent();
    an_exec_ends_the_life(arguments[0]);
    a_process_in_a_container_is_judged_from_outside();
    a_process_outside_is_judged_from_a_container();
    without_a_life_only_the_own_namespace_judges();
    another_file_of_that_name_says_nothing();
    end();
    return 0;
}
