/* SPDX-License-Identifier: Apache-2.0 */
/* The region alone: invalid files, dead processes, and eight racing processes that are killed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "base/life.h"
#include "base/process.h"
#include "share/region.h"

#define MIB (1ull << 20)

enum { PROCESSES = 8, THREADS = 4, ROUNDS = 12 };

static char path[64], missing[80];
static struct gpushare_grant grant = {"GPU-00000000-1111-2222-3333-444444444444", 64 * MIB, 3 * MIB,
                                      0};

static struct gs_region *fresh(void)
{
    CHECK(gpushare_region_create(path, &grant, 1) == 0);
    struct gs_region *region = gs_region_map(path);
    CHECK(region);
    return region;
}

static void check_invariants(struct gs_region *region)
{
    CHECK(gs_region_lock(region));
    uint64_t sum = 0;
    for (uint32_t s = 0; s < region->slots_high; s++)
        sum += region->slot[s].pid ? region->slot[s].charged[0] : 0;
    CHECK(sum == region->gpu[0].used);
    CHECK(region->gpu[0].peak <= region->gpu[0].limit);
    gs_region_unlock(region);
    CHECK(region->sequence % 2 == 0);
}

static void refuses_what_is_no_region(void)
{
    CHECK(!gs_region_map(missing) && errno == ENOENT);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && !gs_region_map(path) && errno == EBADMSG);
    CHECK(ftruncate(fd, sizeof(struct gs_region)) == 0);
    CHECK(!gs_region_map(path) && errno == EBADMSG);
    CHECK(gpushare_region_set_limit(path, grant.uuid, 1) == -EBADMSG);
    close(fd);
    CHECK(gpushare_region_create(path, &grant, 0) == -EINVAL);
    CHECK(gpushare_region_create(missing, &grant, 1) == -ENOENT);
}

static void counts_and_refuses(void)
{
    struct gs_region *region = fresh();
    CHECK(gs_region_lock(region));
    int slot = gs_region_join(region, gs_life_begin(region));
    CHECK(slot == 0);
    CHECK(gs_region_reserve(region, slot, 0, 64 * MIB));
    CHECK(!gs_region_reserve(region, slot, 0, 1));
    CHECK(!gs_region_reserve(region, slot, 0, UINT64_MAX));
    gs_region_release(region, slot, 0, 60 * MIB);
    gs_region_unlock(region);
    CHECK(region->gpu[0].used == 4 * MIB && region->gpu[0].peak == 64 * MIB);

    CHECK(gpushare_region_set_limit(path, grant.uuid, 2 * MIB) == 0);
    CHECK(gpushare_region_set_limit(path, "GPU-unknown", 2 * MIB) == -ENODEV);
    CHECK(gs_region_lock(region));
    CHECK(!gs_region_reserve(region, slot, 0, 0) && region->gpu[0].used == 4 * MIB);
    CHECK(region->gpu[0].generation == 1);
    gs_region_unlock(region);
    gs_region_unmap(region);
}

static void *outlive_the_main_thread(void *ready)
{
    CHECK(write(*(int *)ready, "x", 1) == 1);
    pause();
    return NULL;
}

static void knows_what_is_alive(void)
{
    uint64_t start = gs_process_start(getpid());
    CHECK(start && prctl(PR_SET_NAME, "a) Z 0 (b) X") == 0);
    CHECK(gs_process_start(getpid()) == start && gs_process_alive(getpid(), start));
    CHECK(!gs_process_alive(getpid(), start + 1)); /* another process with this pid */

    static int ready[2]; /* the main thread's stack goes with it */
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, outlive_the_main_thread, &ready[1]);
        pthread_exit(NULL);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(gs_process_alive(child, gs_process_start(child)));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(!gs_process_alive(child, 0));
    close(ready[0]);
    close(ready[1]);
}

static pid_t child_that_holds(struct gs_region *region, uint64_t bytes, bool dies_inside)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(gs_region_lock(region));
        CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, bytes));
        if (dies_inside)
            region->gpu[0].used += 12345; /* killed between two writes */
        else
            gs_region_unlock(region);
        raise(SIGKILL);
    }
    return child;
}

static void frees_slots_of_the_dead(void)
{
    struct gs_region *region = fresh();
    pid_t child = child_that_holds(region, 64 * MIB, false);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0); /* a zombie now */
    CHECK(!gs_process_alive(child, 0));
    CHECK(gs_region_lock(region));
    CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, 64 * MIB));
    gs_region_unlock(region);
    waitpid(child, NULL, 0);

    waitpid(child_that_holds(region, 0, true), NULL, 0);
    check_invariants(region); /* takes the lock over from the dead owner */
    CHECK(region->gpu[0].used == 64 * MIB);
    gs_region_unmap(region);
}

static void the_daemon_does_not_wait_for_the_lock(void)
{
    struct gs_region *region = fresh();
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(gs_region_lock(region) && write(ready[1], "x", 1) == 1);
        pause();
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(gpushare_region_set_limit(path, grant.uuid, 7) == 0 && region->gpu[0].limit == 7);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    gs_region_unmap(region);
}

/* What a racing thread charges with. */
struct charge {
    struct gs_region *region;
    int slot;
    unsigned seed;
};

static void *race(void *argument)
{
    struct charge *charge = argument;
    struct gs_region *region = charge->region;
    for (;;) {
        uint64_t bytes = ((uint64_t)rand_r(&charge->seed) % 24 + 1) * MIB;
        CHECK(gs_region_lock(region));
        bool taken = gs_region_reserve(region, charge->slot, 0, bytes);
        CHECK(region->gpu[0].used <= region->gpu[0].limit);
        gs_region_unlock(region);
        CHECK(gs_region_lock(region));
        if (taken)
            gs_region_release(region, charge->slot, 0, bytes);
        gs_region_unlock(region);
    }
    return NULL;
}

static void racer(struct gs_region *region, unsigned seed)
{
    pthread_t threads[THREADS];
    struct charge charges[THREADS];
    CHECK(gs_region_lock(region));
    int slot = gs_region_join(region, gs_life_begin(region));
    gs_region_unlock(region);
    CHECK(slot >= 0);
    for (int t = 0; t < THREADS; t++) {
        charges[t] = (struct charge){region, slot, seed * 31 + (unsigned)t};
        pthread_create(&threads[t], NULL, race, &charges[t]);
    }
    pause();
}

static pid_t start_racer(struct gs_region *region, unsigned seed)
{
    pid_t child = fork();
    if (child == 0) {
        racer(region, seed);
        _exit(0);
    }
    return child;
}

static void survives_killing(void)
{
    struct gs_region *region = fresh();
    pid_t racers[PROCESSES];
    unsigned seed = 20;
    for (int p = 0; p < PROCESSES; p++)
        racers[p] = start_racer(region, ++seed);
    for (int round = 0; round < ROUNDS * PROCESSES; round++) {
        uint64_t before = __atomic_load_n(&region->sequence, __ATOMIC_RELAXED);
        while (__atomic_load_n(&region->sequence, __ATOMIC_RELAXED) < before + 200)
            sched_yield();
        int p = round % PROCESSES;
        kill(racers[p], SIGKILL);
        waitpid(racers[p], NULL, 0);
        racers[p] = start_racer(region, ++seed);
    }
    for (int p = 0; p < PROCESSES; p++) {
        kill(racers[p], SIGKILL);
        waitpid(racers[p], NULL, 0);
    }
    check_invariants(region);
    CHECK(gs_region_lock(region));
    gs_region_sweep(region);
    gs_region_unlock(region);
    CHECK(region->gpu[0].used == 0 && region->slots_high <= 2 * PROCESSES);
    gs_region_unmap(region);
}

static void runs_out_of_slots(void)
{
    struct gs_region *region = fresh();
    CHECK(gs_region_lock(region));
    for (int s = 0; s < GS_REGION_SLOTS; s++)
        region->slot[s] = (struct gs_region_slot){.pid = 1,
                                                  .start = gs_process_start(1),
                                                  .pid_namespace = gs_process_namespace()};
    region->slots_high = GS_REGION_SLOTS;
    CHECK(gs_region_join(region, gs_life_begin(region)) == -1);
    region->slot[7].start++; /* now a dead process */
    CHECK(gs_region_join(region, gs_life_begin(region)) == 7);
    gs_region_unlock(region);
    gs_region_unmap(region);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/gs-region-test-%d", (int)getpid());
    snprintf(missing, sizeof missing, "%s.missing/region", path);
    refuses_what_is_no_region();
    counts_and_refuses();
    knows_what_is_alive();
    frees_slots_of_the_dead();
    the_daemon_does_not_wait_for_the_lock();
    runs_out_of_slots();
    survives_killing();
    unlink(path);
    return 0;
}
