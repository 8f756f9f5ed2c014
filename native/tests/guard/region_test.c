/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region alone: invalid files, dead processes, processes that are stopped at any instruction, and
 * eight racing processes that are killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "base/life.h"
#include "base/process.h"
#include "share/region.h"

#define MIB (1ull << 20)

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define INSTRUMENTED true
#else
#define INSTRUMENTED false
#endif

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
    CHECK(gs_region_used(region, 0) <= region->gpu[0].limit);
    CHECK(region->gpu[0].peak <= region->gpu[0].limit);
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
    int slot = gs_region_join(region, gs_life_begin(region));
    CHECK(slot == 0);
    CHECK(gs_region_reserve(region, slot, 0, 64 * MIB));
    CHECK(!gs_region_reserve(region, slot, 0, 1));
    CHECK(!gs_region_reserve(region, slot, 0, UINT64_MAX));
    gs_region_release(region, slot, 0, 60 * MIB);
    CHECK(gs_region_used(region, 0) == 4 * MIB && region->gpu[0].peak == 64 * MIB);

    CHECK(gpushare_region_set_limit(path, grant.uuid, 2 * MIB) == 0);
    CHECK(gpushare_region_set_limit(path, "GPU-unknown", 2 * MIB) == -ENODEV);
    CHECK(!gs_region_reserve(region, slot, 0, 0) && gs_region_used(region, 0) == 4 * MIB);
    CHECK(region->gpu[0].generation == 1);
    CHECK(gpushare_region_set_peak(path, "GPU-unknown", 1) == -ENODEV);
    CHECK(gpushare_region_set_peak(path, grant.uuid, 1) == 0 && region->gpu[0].peak == 1);
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

static pid_t child_that_holds(struct gs_region *region, uint64_t bytes)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, bytes));
        raise(SIGKILL);
    }
    return child;
}

static void frees_slots_of_the_dead(void)
{
    struct gs_region *region = fresh();
    pid_t child = child_that_holds(region, 64 * MIB);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0); /* a zombie now */
    CHECK(!gs_process_alive(child, 0));
    CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, 64 * MIB));
    waitpid(child, NULL, 0);
    gs_region_unmap(region);
}

/* A child that does `act` one instruction after the other, and nothing between two of them. */
static pid_t start_stepping(void (*act)(struct gs_region *), struct gs_region *region)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        raise(SIGSTOP);
        act(region);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    return child;
}

/* False when it has ended. */
static bool step(pid_t child, unsigned instructions)
{
    int status;
    for (unsigned i = 0; i < instructions; i++) {
        CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
        CHECK(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status))
            return false;
    }
    return true;
}

static int slot_of_child; /* taken before the steps: reading /proc takes thousands of them */

static void take_and_give(struct gs_region *region)
{
    CHECK(gs_region_reserve(region, slot_of_child, 0, 40 * MIB));
    gs_region_release(region, slot_of_child, 0, 40 * MIB);
}

static void join_and_take(struct gs_region *region)
{
    CHECK(gs_region_reserve(region, gs_region_join(region, gs_life_begin(region)), 0, 40 * MIB));
}

static void sweep(struct gs_region *region)
{
    gs_region_sweep(region, gs_life_begin(region));
}

/* What others may do next to a stopped process: everything, within the limit, without waiting. */
static void use_next_to_it(struct gs_region *region, int slot)
{
    CHECK(gs_region_reserve(region, slot, 0, 20 * MIB));
    CHECK(gs_region_used(region, 0) <= 64 * MIB && gs_region_used(region, 0) >= 20 * MIB);
    gs_region_release(region, slot, 0, 20 * MIB);
}

static void a_process_stopped_at_any_instruction_holds_up_no_other(void)
{
    struct gs_region *region = fresh();
    slot_of_child = gs_region_join(region, gs_life_begin(region)); /* as if the child had joined */
    int slot = gs_region_join(region, gs_life_begin(region));
    pid_t child = start_stepping(take_and_give, region);
    unsigned steps = 0, refused = 0;
    for (; step(child, 1); steps++) {
        use_next_to_it(region, slot);
        /* More than is left next to what it has and asks for: refused in the end. */
        if (refused < 2 && region->slot[0].asked) {
            CHECK(!gs_region_reserve(region, slot, 0, 30 * MIB));
            refused++;
        }
    }
    CHECK(steps > 50 && refused == 2 && gs_region_used(region, 0) == 0);
    gs_region_unmap(region);
}

static void nothing_is_left_of(pid_t child, struct gs_region *region)
{
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    gs_region_sweep(region, gs_life_begin(region));
    CHECK(gs_region_used(region, 0) == 0);
    for (uint32_t s = 0; s < region->slots_high; s++)
        CHECK(region->slot[s].life == 0);
}

static void a_process_killed_at_any_instruction_leaves_nothing(void (*act)(struct gs_region *),
                                                               bool next_to_a_dead_one)
{
    enum { STRIDE = 97 };
    struct gs_region *region = fresh();
    for (unsigned steps = 1;; steps += STRIDE) {
        if (next_to_a_dead_one)
            waitpid(child_that_holds(region, 40 * MIB), NULL, 0);
        pid_t child = start_stepping(act, region);
        if (!step(child, steps))
            break;
        nothing_is_left_of(child, region);
    }
    gs_region_unmap(region);
}

/* What a racing thread charges with. */
struct charge {
    struct gs_region *region;
    int slot;
    unsigned seed;
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* as in charge.c */

static void *race(void *argument)
{
    struct charge *charge = argument;
    struct gs_region *region = charge->region;
    for (;;) {
        uint64_t bytes = ((uint64_t)rand_r(&charge->seed) % 24 + 1) * MIB;
        pthread_mutex_lock(&one_at_a_time);
        bool taken = gs_region_reserve(region, charge->slot, 0, bytes);
        pthread_mutex_unlock(&one_at_a_time);
        if (!taken)
            continue;
        pthread_mutex_lock(&one_at_a_time);
        gs_region_release(region, charge->slot, 0, bytes);
        pthread_mutex_unlock(&one_at_a_time);
    }
    return NULL;
}

static void racer(struct gs_region *region, unsigned seed)
{
    pthread_t threads[THREADS];
    struct charge charges[THREADS];
    int slot = gs_region_join(region, gs_life_begin(region));
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
        uint64_t before = __atomic_load_n(&region->gpu[0].allocations, __ATOMIC_RELAXED);
        while (__atomic_load_n(&region->gpu[0].allocations, __ATOMIC_RELAXED) < before + 100)
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
    gs_region_sweep(region, gs_life_begin(region));
    CHECK(gs_region_used(region, 0) == 0 && region->slots_high <= 2 * PROCESSES);
    gs_region_unmap(region);
}

static void runs_out_of_slots(void)
{
    struct gs_region *region = fresh();
    for (int s = 0; s < GS_REGION_SLOTS; s++)
        region->slot[s] = (struct gs_region_slot){.life = GS_REGION_NO_LIFE | 1,
                                                  .pid = 1,
                                                  .start = gs_process_start(1),
                                                  .pid_namespace = gs_process_namespace()};
    region->slots_high = GS_REGION_SLOTS;
    CHECK(gs_region_join(region, gs_life_begin(region)) == -1);
    region->slot[7].start++; /* now a dead process */
    CHECK(gs_region_join(region, gs_life_begin(region)) == 7);
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
    if (INSTRUMENTED) {
        fprintf(stderr, "skipped: instrumented code takes too many steps\n");
    } else {
        a_process_stopped_at_any_instruction_holds_up_no_other();
        a_process_killed_at_any_instruction_leaves_nothing(join_and_take, false);
        a_process_killed_at_any_instruction_leaves_nothing(sweep, true);
    }
    runs_out_of_slots();
    survives_killing();
    unlink(path);
    return 0;
}
