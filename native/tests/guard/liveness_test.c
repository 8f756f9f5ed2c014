/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dead processes left in a region, a GPU page and a host pool is freed by a process of their
 * pid namespace. A process of another namespace cannot tell whether they are dead and frees
 * nothing.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "check.h"
#include "share/gpu_page.h"
#include "share/region.h"
#include "share/swap_pool.h"

#define MIB (1ull << 20)

enum { UNIT = 4096, NOT_ALLOWED = 77 };

/* Everything that processes of a share and of a GPU share. */
struct shared {
    struct gs_region region;
    struct gs_gpu_page page;
};

static struct shared *shared;
static struct gs_swap_pool *pool;
static char folder[64];

static struct gs_share_slot *low(void)
{
    return &shared->page.share_slot[3];
}

static void reset(void)
{
    memset(shared, 0, sizeof *shared);
    shared->region.gpu_count = 1;
    shared->region.slot_count = GS_REGION_SLOTS;
    shared->region.gpu[0].limit = 64 * MIB;
    strcpy(low()->policy.share, "low");
    low()->policy.rank = GS_LOW;
    memset(pool->owner, 0, sizeof pool->owner);
}

/* What a process has in all three: memory, a closed gate, a unit. */
static void take_part(void)
{
    CHECK(gs_region_reserve(&shared->region, gs_region_join(&shared->region, getpid()), 0, MIB));
    int number = gs_gpu_page_join(&shared->page, 5);
    gs_gpu_page_close(&shared->page, gs_gpu_page_preempt_bit(&shared->page, number));
    CHECK(gs_swap_pool_take(pool, 0));
}

static void sweep(int expected)
{
    CHECK(gs_region_sweep(&shared->region) == expected);
    CHECK(gs_gpu_page_sweep(&shared->page) == expected);
    CHECK(gpushare_swap_pool_reap(folder) == expected);
}

static void check_kept(void)
{
    CHECK(shared->region.gpu[0].used == MIB && shared->region.slot[0].pid);
    CHECK(shared->page.process_slot[0].pid && low()->gate);
    CHECK(pool->owner[0].owner);
}

static void check_freed(void)
{
    CHECK(shared->region.gpu[0].used == 0 && !shared->region.slot[0].pid);
    CHECK(!shared->page.process_slot[0].pid && !low()->gate);
    CHECK(!pool->owner[0].owner);
}

static void leave_behind(void)
{
    reset();
    pid_t child = fork();
    if (child == 0) {
        take_part();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    check_kept();
}

static void the_dead_of_this_namespace_are_freed(void)
{
    leave_behind();
    sweep(1);
    check_freed();
}

static void the_dead_of_another_namespace_are_kept(void)
{
    leave_behind();
    uint32_t other = gs_process_namespace() + 1;
    shared->region.slot[0].pid_namespace = other;
    shared->page.process_slot[0].pid_namespace = other;
    pool->owner[0].owner = (uint64_t)other << 32 | (uint32_t)pool->owner[0].owner;
    sweep(0);
    check_kept();
}

static void the_living_are_kept(void)
{
    reset();
    take_part();
    sweep(0);
    check_kept();
}

/* The first process of a pid namespace, with a /proc of its own. */
static void live_elsewhere(const int ready[2], const int end[2])
{
    char byte;
    close(end[1]);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("proc", "/proc", "proc", 0, NULL) < 0)
        _exit(NOT_ALLOWED);
    take_part();
    CHECK(write(ready[1], "x", 1) == 1);
    CHECK(read(end[0], &byte, 1) == 0);
    _exit(0);
}

static void start_elsewhere(const int ready[2], const int end[2])
{
    int spaces = CLONE_NEWPID | CLONE_NEWNS, status;
    if (unshare(spaces) < 0 && unshare(spaces | CLONE_NEWUSER) < 0)
        _exit(NOT_ALLOWED);
    pid_t child = fork();
    if (child == 0)
        live_elsewhere(ready, end);
    close(ready[1]);
    close(end[1]);
    CHECK(waitpid(child, &status, 0) == child);
    _exit(WEXITSTATUS(status));
}

static void a_process_in_a_container_is_kept(void)
{
    int ready[2], end[2], status;
    char byte;
    reset();
    CHECK(pipe(ready) == 0 && pipe(end) == 0);
    pid_t child = fork();
    if (child == 0)
        start_elsewhere(ready, end);
    close(ready[1]);
    close(end[0]);
    bool started = read(ready[0], &byte, 1) == 1;
    if (started) {
        CHECK(shared->region.slot[0].pid == 1);
        sweep(0);
        check_kept();
    }
    close(end[1]);
    close(ready[0]);
    CHECK(waitpid(child, &status, 0) == child);
    if (!started && WEXITSTATUS(status) == NOT_ALLOWED)
        fprintf(stderr, "skipped: this user may not create a pid namespace with its /proc\n");
    else
        CHECK(started && status == 0);
}

static void begin(void)
{
    int data;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    snprintf(folder, sizeof folder, "/tmp/gs-liveness-test-%d", (int)getpid());
    CHECK(mkdir(folder, 0700) == 0 && gpushare_swap_pool_create(folder, 4 * UNIT, UNIT) == 0);
    pool = gs_swap_pool_map(folder, &data);
    CHECK(pool);
}

static void end(void)
{
    char file[80];
    for (const char **name = (const char *[]){"table", "data", NULL}; *name; name++) {
        snprintf(file, sizeof file, "%s/%s", folder, *name);
        unlink(file);
    }
    rmdir(folder);
}

int main(void)
{
    begin();
    the_dead_of_this_namespace_are_freed();
    the_dead_of_another_namespace_are_kept();
    the_living_are_kept();
    a_process_in_a_container_is_kept();
    end();
    return 0;
}
